#include "am/callbacks.h"
#include "am/slot.h"
#include "engine/row_life.h"
#include "pg/storage_table.h"
#include "wal/log.h"

extern "C" {
#include "access/genam.h"
#include "access/multixact.h"
#include "commands/progress.h"
#include "pgstat.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

// What VACUUM knows while it removes index entries.
struct VacuumPass {
  Relation relation;
  StorageId storage;
  TransactionId oldest_xmin;
  MemoryContext context;  // of the holder, reset now and then
  RowHolder holder;
  uint64_t asked, dead;
};

// True if no snapshot will ever see a row under the TID. Slots are not used twice, so a row that is
// gone stays gone; a row that an unfinished insert just made is seen as in progress.
bool IsDead(ItemPointer tid, void* argument) {
  auto* pass = static_cast<VacuumPass*>(argument);
  if (++pass->asked % 1024 == 0) vacuum_delay_point();
  RowId id = DecodeTid(tid);
  RowLifeInfo info;
  JudgeRow(pass->relation, pass->storage, id, pass->oldest_xmin, &pass->holder, &info);
  if (info.life != RowLife::kNone) return false;
  pass->dead++;
  return true;
}

double CountVisible(Relation relation, StorageId storage) {
  if (storage == 0) return 0;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb count", ALLOCSET_DEFAULT_SIZES);
  BlockRows* rows = MakeBlockRows(context);
  BlockWalk walk{};
  StartBlockWalk(&walk, relation, storage, 0, StorageBlockCount(storage), context);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  double visible = 0;
  while (NextBlockRows(&walk, snapshot, rows)) {
    visible += rows->count;
    vacuum_delay_point();
  }
  UnregisterSnapshot(snapshot);
  EndBlockWalk(&walk);
  MemoryContextDelete(context);
  return visible;
}

// As for heap: entries are looked for only if rows died since the last time.
bool WantsCleanup(Relation relation, const VacuumParams* params) {
  if (params->index_cleanup == VACOPTVALUE_DISABLED) return false;
  if (params->index_cleanup == VACOPTVALUE_ENABLED) return true;
  PgStat_StatTabEntry* statistics =
      pgstat_fetch_stat_tabentry_ext(relation->rd_rel->relisshared, RelationGetRelid(relation));
  return statistics == nullptr || statistics->n_dead_tuples > 0;
}

}  // namespace

void omendb_relation_vacuum(Relation relation, struct VacuumParams* params,
                            BufferAccessStrategy strategy) {
  pgstat_progress_start_command(PROGRESS_COMMAND_VACUUM, RelationGetRelid(relation));
  StorageId storage = StorageOf(relation);
  int index_count = 0;
  Relation* indexes = nullptr;
  vac_open_indexes(relation, RowExclusiveLock, &index_count, &indexes);
  double visible = CountVisible(relation, storage);
  // Even where nothing is to be deleted, a GIN index empties its pending list and a BRIN index
  // summarizes what is new.
  bool cleanup = index_count > 0 && storage != 0 &&
                 params->index_cleanup != VACOPTVALUE_DISABLED;
  bool delete_entries = cleanup && WantsCleanup(relation, params);
  VacuumPass pass{};
  if (cleanup) {
    pass.relation = relation;
    pass.storage = storage;
    pass.oldest_xmin = GetOldestNonRemovableTransactionId(relation);
    pass.context = CurrentMemoryContext;
    InitRowHolder(&pass.holder, CurrentMemoryContext);
    if (delete_entries) LogIndexCleanup(relation, pass.oldest_xmin);
    pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_VACUUM_INDEX);
    for (int i = 0; i < index_count; i++) {
      IndexVacuumInfo info{};
      info.index = indexes[i];
      info.analyze_only = false;
      info.report_progress = false;
      info.estimated_count = false;
      info.message_level = (params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2;
      info.num_heap_tuples = visible;
      info.strategy = strategy;
      IndexBulkDeleteResult* result = nullptr;
      if (delete_entries) result = index_bulk_delete(&info, nullptr, IsDead, &pass);
      result = index_vacuum_cleanup(&info, result);
      if (result == nullptr) continue;
      if (!result->estimated_count) {
        vac_update_relstats(indexes[i], result->num_pages, result->num_index_tuples, 0, false,
                            InvalidTransactionId, InvalidMultiXactId, nullptr, nullptr, false);
      }
      pfree(result);
    }
    LetRowGo(&pass.holder);
  }
  BlockNumber blocks = storage == 0 ? 0 : StorageBlockCount(storage);
  vac_update_relstats(relation, blocks, visible, 0, index_count > 0, InvalidTransactionId,
                      InvalidMultiXactId, nullptr, nullptr, false);
  vac_close_indexes(index_count, indexes, NoLock);
  pgstat_report_vacuum(RelationGetRelid(relation), relation->rd_rel->relisshared,
                       static_cast<PgStat_Counter>(visible), 0);
  if ((params->options & VACOPT_VERBOSE) != 0) {
    ereport(INFO, (errmsg("table \"%s\": found %.0f rows in %u row blocks, removed entries of "
                          "%llu dead rows from %d indexes",
                          RelationGetRelationName(relation), visible, blocks,
                          static_cast<unsigned long long>(pass.dead), index_count)));
  }
  pgstat_progress_end_command();
}

bool omendb_scan_analyze_next_block(TableScanDesc scan, BlockNumber block, BufferAccessStrategy) {
  StartAnalyzeBlock(scan, block);
  return true;
}

bool omendb_scan_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin,
                                    double* live_rows, double* dead_rows, TupleTableSlot* slot) {
  Relation relation = scan->rs_rd;
  StorageId storage = StorageOf(relation);
  RowId id;
  while (NextAnalyzeRow(scan, &id, slot)) {
    RowLifeInfo info;
    const VersionMeta* sole = CurrentSoleVersion(scan);
    if (sole != nullptr) {
      info = LifeOfSoleVersion(*sole);
    } else {
      ExecClearTuple(slot);
      JudgeRow(relation, storage, id, oldest_xmin, HolderOf(slot), &info);
    }
    // The same rows count as live as for heap: those that the current transaction inserted and
    // those that another one is about to delete.
    bool live = info.life == RowLife::kLive || info.life == RowLife::kUpdateInProgress ||
                (info.life == RowLife::kInsertInProgress && info.own) ||
                (info.life == RowLife::kDeleteInProgress && !info.own);
    if (info.life == RowLife::kRecentlyDead ||
        (info.life == RowLife::kDeleteInProgress && info.own) || info.life == RowLife::kNone) {
      *dead_rows += 1;
    }
    if (!live) continue;
    *live_rows += 1;
    if (sole == nullptr) ShowHeldRow(slot, relation);
    return true;
  }
  ExecClearTuple(slot);
  return false;
}

}  // namespace omendb
