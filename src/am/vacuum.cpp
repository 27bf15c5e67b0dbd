// VACUUM: counts rows, removes index entries of rows that are dead to all, and marks blocks in the
// visibility map. Rows themselves are collected by compaction.
#include "am/callbacks.h"
#include "am/vacuum_freeze.h"
#include "engine/row_life.h"
#include "mvcc/visibility.h"
#include "pg/shown_entries.h"
#include "pg/storage_table.h"
#include "pg/vacuum_cost.h"
#include "pg/visibility_map.h"
#include "pg/write_gate.h"
#include "wal/log.h"

extern "C" {
#include "access/genam.h"
#include "access/multixact.h"
#include "access/visibilitymap.h"
#include "commands/dbcommands.h"
#include "commands/progress.h"
#include "pgstat.h"
#include "postmaster/autovacuum.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_rusage.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

// Marked blocks are skipped in runs of at least so many, as heap does: rows of small tables are
// counted, not estimated.
constexpr BlockNo kShortestSkip = 32;
// Autovacuum does not walk through the indexes for so small a part of the blocks, as for heap's
// pages with dead items, if there are so many.
constexpr BlockNo kOneInSoMany = 50, kManyBlocks = 1000;
// For index-only scans that are in the way of marks: they mean a lock or a slow client if so long.
constexpr int kPatienceMs = 1000;

// Slots that were not dead to all when VACUUM came by: for most index entries an answer that needs
// no look at the row. Of the first blocks, as many as maintenance_work_mem has room for. Where a
// block is marked these are from the look that says so: after an earlier one an insert may have
// been rolled back, and its entry has to go.
struct AliveSlots {
  using Block = uint64[kSlotsPerBlock / 64];
  Block* slots;
  BlockNo blocks;

  bool Has(const RowId& id) const {
    return id.block < blocks && (slots[id.block][id.slot / 64] >> id.slot % 64 & 1) != 0;
  }
  void Note(BlockNo block, const BlockLife& life) {
    if (block < blocks) memcpy(slots[block], life.alive, sizeof(Block));
  }
  // Marked blocks: what an index has of them are rows that all see.
  void NoteMarked(BlockNo first, BlockNo end) {
    end = Min(end, blocks);
    if (first < end) memset(slots[first], 0xff, (end - first) * sizeof(Block));
  }
};

// Blocks that could be marked once the indexes are clean. Where every slot has a row that all see
// there is nothing to clean: slots are not used twice, so no insert into the block was rolled back.
struct Markable {
  uint8* whole;    // a bit for each block that was marked and is such a one
  BlockNo* later;  // others, of which there are too few as yet
  BlockNo later_count, most_later;
  bool all;                   // others are marked as they come
  bool any_whole, any_other;  // was marked
};

struct Vacuum {
  Relation relation;
  const VacuumParams* params;
  TimestampTz start;
  BufferAccessStrategy strategy;
  StorageId storage;
  BlockNumber blocks;
  TransactionId oldest_xmin;  // rows that died before it are dead to all
  FullXid told;               // standbys know that entries of rows dead before it go
  Relation* indexes;
  int index_count;
  RowHolder holder;
  // What was found.
  AliveSlots alive;
  Markable markable;
  BlockNumber scanned;  // blocks that were not skipped
  double live, recently_dead;
  uint64_t asked, dead;
  double rows;  // reltuples
};

void TellStandbys(Vacuum* vacuum) {
  vacuum->told = MissingBefore(vacuum->oldest_xmin);
  LogIndexCleanup(vacuum->relation, vacuum->told);
}

// True if no snapshot will ever see a row under the TID. Slots are not used twice, so a row that is
// gone stays gone; a row that an unfinished insert just made is seen as in progress.
bool IsDead(ItemPointer tid, void* argument) {
  auto* vacuum = static_cast<Vacuum*>(argument);
  if (++vacuum->asked % 1024 == 0) vacuum_delay_point();
  RowId id = DecodeTid(tid);
  if (vacuum->alive.Has(id)) return false;
  RowLifeInfo info;
  JudgeRow(vacuum->relation, vacuum->storage, id, vacuum->oldest_xmin, &vacuum->holder, &info);
  if (info.life != RowLife::kNone) return false;
  vacuum->dead++;
  // The store may have thrown it away by a later horizon than VACUUM's.
  if (info.died_unknown && MissingBefore(vacuum->oldest_xmin) > vacuum->told) TellStandbys(vacuum);
  return true;
}

// Marks a block of which JudgeBlock said that it can be seen by all, unless it has changed since.
bool Mark(Vacuum* vacuum, BlockNo block, const BlockState& judged, Buffer* map) {
  PrepareToMark(vacuum->relation, block, map);
  LWLock* stripe = StripeLock(vacuum->storage, block);
  LWLockAcquire(stripe, LW_EXCLUSIVE);
  const bool is_still = LookAtBlock(vacuum->storage, block).IsStill(judged);
  if (is_still) MarkUnchanged(block, *map);
  LWLockRelease(stripe);
  return is_still;
}

bool IsWhole(const BlockLife& life) {
  for (uint64_t word : life.alive) {
    if (word != ~uint64_t{0}) return false;
  }
  return true;
}

// Looks at a block once more, now that it is known from which state on it must not change.
void JudgeAndMark(Vacuum* vacuum, BlockWalk* walk, BlockNo block, BlockRows* rows, Buffer* map) {
  BlockState state = LookAtBlock(vacuum->storage, block);
  OneBlockRows(walk, block, SnapshotAny, SlotFilter{nullptr}, rows);
  BlockLife life;
  JudgeBlock(vacuum->relation, vacuum->storage, *rows, vacuum->oldest_xmin, &vacuum->holder, &life);
  vacuum->alive.Note(block, life);
  if (!life.seen_by_all) return;
  Markable* markable = &vacuum->markable;
  const bool whole = IsWhole(life);
  if (!whole && !markable->all) {
    if (markable->later_count < markable->most_later) {
      markable->later[markable->later_count++] = block;
      return;
    }
    markable->all = true;
  }
  if (!Mark(vacuum, block, state, map)) return;
  (whole ? markable->any_whole : markable->any_other) = true;
  if (whole) markable->whole[block / 8] |= static_cast<uint8>(1 << block % 8);
}

// Entries are looked for if rows died since the last time, as for heap; and before blocks count as
// seen by all: a row whose insert was rolled back leaves an entry and no trace in its block.
bool WantsCleanup(const Vacuum& vacuum) {
  if (vacuum.params->index_cleanup == VACOPTVALUE_DISABLED) return false;
  if (vacuum.params->index_cleanup == VACOPTVALUE_ENABLED || vacuum.markable.any_other) return true;
  PgStat_StatTabEntry* statistics = pgstat_fetch_stat_tabentry_ext(
      vacuum.relation->rd_rel->relisshared, RelationGetRelid(vacuum.relation));
  return statistics == nullptr || statistics->n_dead_tuples > 0;
}

void MakeMarkable(Vacuum* vacuum) {
  Markable* markable = &vacuum->markable;
  markable->whole = static_cast<uint8*>(
      palloc_extended(vacuum->blocks / 8 + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  markable->all = !IsAutoVacuumWorkerProcess() || vacuum->index_count == 0 ||
                  vacuum->blocks < kManyBlocks || WantsCleanup(*vacuum);
  if (markable->all) return;
  markable->most_later = vacuum->blocks / kOneInSoMany;
  markable->later = static_cast<BlockNo*>(palloc(markable->most_later * sizeof(BlockNo)));
}

void MakeAliveSlots(Vacuum* vacuum) {
  if (vacuum->index_count == 0) return;
  bool own_limit = IsAutoVacuumWorkerProcess() && autovacuum_work_mem != -1;
  Size room = static_cast<Size>(own_limit ? autovacuum_work_mem : maintenance_work_mem) * 1024;
  AliveSlots* alive = &vacuum->alive;
  alive->blocks = static_cast<BlockNo>(
      Min(static_cast<Size>(vacuum->blocks), room / sizeof(AliveSlots::Block)));
  alive->slots = static_cast<AliveSlots::Block*>(
      palloc_extended(Max(alive->blocks, BlockNo{1}) * sizeof(AliveSlots::Block),
                      MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
}

// Counts the rows of every block that is not known to be seen by all, and marks what can be.
void ScanBlocks(Vacuum* vacuum) {
  if (vacuum->storage == 0) return;
  bool skips = (vacuum->params->options & VACOPT_DISABLE_PAGE_SKIPPING) == 0;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb vacuum scan", ALLOCSET_DEFAULT_SIZES);
  BlockRows* rows = MakeBlockRows(context);
  BlockRows* again = MakeBlockRows(context);
  BlockWalk walk{};
  StartBlockWalk(&walk, vacuum->relation, vacuum->storage, 0, vacuum->blocks, context);
  Buffer read_map = InvalidBuffer, mark_map = InvalidBuffer;
  vacuum->scanned = vacuum->blocks;
  for (;;) {
    vacuum_delay_point();
    if (skips) {
      BlockNo next = NextUnmarkedBlock(vacuum->relation, walk.next, vacuum->blocks, &read_map);
      if (next - walk.next >= kShortestSkip) {
        vacuum->scanned -= next - walk.next;
        vacuum->alive.NoteMarked(walk.next, next);
        walk.next = next;
      }
    }
    BlockNo from = walk.next;
    if (!NextBlockRows(&walk, SnapshotAny, rows)) break;
    ChargePageRead();
    BlockNo block = rows->block;
    // Blocks without a row are seen by all as well. Those at the end may be about to be filled.
    for (BlockNo gap = from; gap < block; gap++) {
      gap = NextUnmarkedBlock(vacuum->relation, gap, block, &read_map);
      if (gap < block) JudgeAndMark(vacuum, &walk, gap, again, &mark_map);
      vacuum_delay_point();
    }
    pgstat_progress_update_param(PROGRESS_VACUUM_HEAP_BLKS_SCANNED, block);
    BlockLife life;
    JudgeBlock(vacuum->relation, vacuum->storage, *rows, vacuum->oldest_xmin, &vacuum->holder,
               &life);
    vacuum->alive.Note(block, life);
    bool is_marked = NextUnmarkedBlock(vacuum->relation, block, block + 1, &read_map) > block;
    if (life.seen_by_all && !is_marked) JudgeAndMark(vacuum, &walk, block, again, &mark_map);
    vacuum->live += life.live;
    vacuum->recently_dead += life.recently_dead;
  }
  const Markable& markable = vacuum->markable;
  for (BlockNo i = 0; markable.all && i < markable.later_count; i++) {
    vacuum_delay_point();
    JudgeAndMark(vacuum, &walk, markable.later[i], again, &mark_map);
  }
  if (read_map != InvalidBuffer) ReleaseBuffer(read_map);
  if (mark_map != InvalidBuffer) ReleaseBuffer(mark_map);
  EndBlockWalk(&walk);
  LetRowGo(&vacuum->holder);
  MemoryContextDelete(context);
  pgstat_progress_update_param(PROGRESS_VACUUM_HEAP_BLKS_SCANNED, vacuum->blocks);
}

void CleanIndexes(Vacuum* vacuum, bool delete_entries) {
  if (delete_entries) TellStandbys(vacuum);
  pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_VACUUM_INDEX);
  for (int i = 0; i < vacuum->index_count; i++) {
    IndexVacuumInfo info{};
    info.index = vacuum->indexes[i];
    info.analyze_only = false;
    info.report_progress = false;
    info.estimated_count = vacuum->scanned < vacuum->blocks;
    info.message_level = (vacuum->params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2;
    info.num_heap_tuples = vacuum->rows;
    info.strategy = vacuum->strategy;
    IndexBulkDeleteResult* result = nullptr;
    if (delete_entries) result = index_bulk_delete(&info, nullptr, IsDead, vacuum);
    result = index_vacuum_cleanup(&info, result);
    if (result == nullptr) continue;
    if (!result->estimated_count) {
      vac_update_relstats(vacuum->indexes[i], result->num_pages, result->num_index_tuples, 0, false,
                          InvalidTransactionId, InvalidMultiXactId, nullptr, nullptr, false);
    }
    pfree(result);
  }
  LetRowGo(&vacuum->holder);
}

void WarnOfParallel(const Vacuum& vacuum) {
  if (vacuum.params->nworkers <= 0 || !RelationUsesLocalBuffers(vacuum.relation)) return;
  ereport(WARNING, (errmsg("disabling parallel option of vacuum on \"%s\" --- cannot vacuum "
                           "temporary tables in parallel",
                           RelationGetRelationName(vacuum.relation))));
}

// To the client of VACUUM (VERBOSE), or to the log if autovacuum took as long as
// log_autovacuum_min_duration says.
void Report(const Vacuum& vacuum, BlockNumber seen_by_all, const PGRUsage* usage) {
  const VacuumParams& params = *vacuum.params;
  bool verbose = (params.options & VACOPT_VERBOSE) != 0;
  long elapsed = TimestampDifferenceMilliseconds(vacuum.start, GetCurrentTimestamp());
  bool log = IsAutoVacuumWorkerProcess() && params.log_min_duration >= 0 &&
             elapsed >= params.log_min_duration;
  if (!verbose && !log) return;
  Relation relation = vacuum.relation;
  const char* name = verbose ? RelationGetRelationName(relation)
                             : psprintf("%s.%s.%s", get_database_name(MyDatabaseId),
                                        get_namespace_name(RelationGetNamespace(relation)),
                                        RelationGetRelationName(relation));
  const char* kind = verbose                ? "table"
                     : params.is_wraparound ? "automatic vacuum to prevent wraparound of table"
                                            : "automatic vacuum of table";
  ereport(verbose ? INFO : LOG,
          (errmsg("%s \"%s\": found %.0f rows in %u of %u row blocks, removed entries of %llu dead "
                  "rows from %d indexes",
                  kind, name, vacuum.live, vacuum.scanned, vacuum.blocks,
                  static_cast<unsigned long long>(vacuum.dead), vacuum.index_count),
           errdetail("%u blocks are seen by all; %.0f rows are dead but still needed.%s%s",
                     seen_by_all, vacuum.recently_dead,
                     verbose ? "" : " System usage: ", verbose ? "" : pg_rusage_show(usage))));
}

}  // namespace

void omendb_relation_vacuum(Relation relation, struct VacuumParams* params,
                            BufferAccessStrategy strategy) {
  pgstat_progress_start_command(PROGRESS_COMMAND_VACUUM, RelationGetRelid(relation));
  auto* vacuum = static_cast<Vacuum*>(palloc0(sizeof(Vacuum)));
  vacuum->relation = relation;
  vacuum->params = params;
  vacuum->start = GetCurrentTimestamp();
  PGRUsage usage;
  pg_rusage_init(&usage);
  vacuum->strategy = strategy;
  vacuum->storage = StorageOf(relation);
  vacuum->blocks = vacuum->storage == 0 ? 0 : StorageBlockCount(vacuum->storage);
  vacuum->oldest_xmin = GetOldestNonRemovableTransactionId(relation);
  InitRowHolder(&vacuum->holder, CurrentMemoryContext);
  vac_open_indexes(relation, RowExclusiveLock, &vacuum->index_count, &vacuum->indexes);
  if (vacuum->index_count > 0) WarnOfParallel(*vacuum);
  MakeAliveSlots(vacuum);
  MakeMarkable(vacuum);

  pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_SCAN_HEAP);
  pgstat_progress_update_param(PROGRESS_VACUUM_TOTAL_HEAP_BLKS, vacuum->blocks);
  ScanBlocks(vacuum);
  vacuum->rows = vac_estimate_reltuples(relation, vacuum->blocks, vacuum->scanned, vacuum->live);
  // Even where nothing is to be deleted, a GIN index empties its pending list and a BRIN index
  // summarizes what is new.
  bool cleanup = vacuum->index_count > 0 && vacuum->storage != 0 &&
                 params->index_cleanup != VACOPTVALUE_DISABLED;
  bool delete_entries = cleanup && WantsCleanup(*vacuum);
  if (cleanup) CleanIndexes(vacuum, delete_entries);
  // Other marks stay as they are until the next time.
  const bool all_clean = delete_entries || vacuum->index_count == 0;
  if (vacuum->storage != 0 && (all_clean || vacuum->markable.any_whole) &&
      StartMarkRound(kPatienceMs)) {
    PromoteMarks(relation, MissingBefore(vacuum->oldest_xmin),
                 all_clean ? nullptr : vacuum->markable.whole, vacuum->blocks);
  }

  FreezeCutoffs cutoffs = FreezeForVacuum(relation, params);
  BlockNumber seen_by_all = 0;
  visibilitymap_count(relation, &seen_by_all, nullptr);
  vac_update_relstats(relation, vacuum->blocks, vacuum->rows, Min(seen_by_all, vacuum->blocks),
                      vacuum->index_count > 0, cutoffs.frozen_xid, cutoffs.min_multi, nullptr,
                      nullptr, false);
  vac_close_indexes(vacuum->index_count, vacuum->indexes, NoLock);
  pgstat_report_vacuum(RelationGetRelid(relation), relation->rd_rel->relisshared,
                       static_cast<PgStat_Counter>(Max(vacuum->rows, 0)),
                       static_cast<PgStat_Counter>(vacuum->recently_dead));
  Report(*vacuum, seen_by_all, &usage);
  pgstat_progress_end_command();
}

}  // namespace omendb
