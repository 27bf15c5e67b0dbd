#include "am/callbacks.h"
#include "am/slot.h"
#include "engine/row_life.h"
#include "mvcc/visibility.h"
#include "pg/storage_table.h"
#include "wal/log.h"

extern "C" {
#include "access/relscan.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
}

namespace omendb {
namespace {

// What evaluating index expressions and predicates needs.
struct IndexEvaluation {
  EState* estate;
  ExprContext* econtext;
  ExprState* predicate;
  TupleTableSlot* slot;
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
};

void StartEvaluation(IndexInfo* info, TupleTableSlot* slot, IndexEvaluation* evaluation) {
  evaluation->estate = CreateExecutorState();
  evaluation->econtext = GetPerTupleExprContext(evaluation->estate);
  evaluation->slot = slot;
  evaluation->econtext->ecxt_scantuple = slot;
  evaluation->predicate = ExecPrepareQual(info->ii_Predicate, evaluation->estate);
}

// False if the partial index does not want the row in the slot.
bool Evaluate(IndexInfo* info, IndexEvaluation* evaluation) {
  MemoryContextReset(evaluation->econtext->ecxt_per_tuple_memory);
  if (evaluation->predicate != nullptr && !ExecQual(evaluation->predicate, evaluation->econtext)) {
    return false;
  }
  FormIndexDatum(info, evaluation->slot, evaluation->estate, evaluation->values, evaluation->nulls);
  return true;
}

// After an error in an evaluation: its state goes as that of an aborted query does.
void RestartEvaluation(IndexInfo* info, IndexEvaluation* evaluation) {
  MemoryContextDelete(evaluation->estate->es_query_cxt);
  info->ii_ExpressionsState = NIL;
  info->ii_PredicateState = nullptr;
  StartEvaluation(info, evaluation->slot, evaluation);
}

// What a command tells of its progress, which the end of a subtransaction takes away.
class Progress {
 public:
  Progress()
      : command_(MyBEEntry->st_progress_command), of_(MyBEEntry->st_progress_command_target) {
    memcpy(values_, MyBEEntry->st_progress_param, sizeof(values_));
  }
  void Restore() const {
    if (command_ == PROGRESS_COMMAND_INVALID) return;
    int places[PGSTAT_NUM_PROGRESS_PARAM];
    for (int i = 0; i < PGSTAT_NUM_PROGRESS_PARAM; i++) places[i] = i;
    pgstat_progress_start_command(command_, of_);
    pgstat_progress_update_multi_param(PGSTAT_NUM_PROGRESS_PARAM, places, values_);
  }

 private:
  ProgressCommandType command_;
  Oid of_;
  int64 values_[PGSTAT_NUM_PROGRESS_PARAM];
};

enum class EndedRow { kIndexed, kNotWanted, kFailed };

// For a row that has ended and only older snapshots see. Its expressions may fail: that can be why
// it was deleted, and heap does not look at it.
EndedRow EvaluateEnded(IndexInfo* info, IndexEvaluation* evaluation) {
  if (info->ii_Expressions == NIL && info->ii_Predicate == NIL) {
    return Evaluate(info, evaluation) ? EndedRow::kIndexed : EndedRow::kNotWanted;
  }
  // No subtransactions there, and without one errors cannot be caught.
  if (IsInParallelMode()) return EndedRow::kFailed;
  MemoryContext caller = CurrentMemoryContext;
  ResourceOwner owner = CurrentResourceOwner;
  const Progress progress;
  volatile EndedRow result = EndedRow::kFailed;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(caller);
  PG_TRY();
  {
    result = Evaluate(info, evaluation) ? EndedRow::kIndexed : EndedRow::kNotWanted;
    ReleaseCurrentSubTransaction();
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(caller);
    ErrorData* error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    CurrentResourceOwner = owner;
    progress.Restore();
    int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
    if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES ||
        category == ERRCODE_INTERNAL_ERROR) {
      ReThrowError(error);
    }
    FreeErrorData(error);
    RestartEvaluation(info, evaluation);
    result = EndedRow::kFailed;
  }
  PG_END_TRY();
  MemoryContextSwitchTo(caller);
  CurrentResourceOwner = owner;
  return result;
}

void EndEvaluation(IndexInfo* info, IndexEvaluation* evaluation) {
  ExecDropSingleTupleTableSlot(evaluation->slot);
  FreeExecutorState(evaluation->estate);
  // They pointed into the executor state.
  info->ii_ExpressionsState = NIL;
  info->ii_PredicateState = nullptr;
}

struct BuildDecision {
  bool index_it, alive, counts;
};

// SnapshotAny: decides what becomes of a row, waiting for running transactions where the answer
// depends on their end. Puts the version to index into the slot.
BuildDecision DecideRow(Relation table, StorageId storage, const RowId& id, IndexInfo* info,
                        bool any_visible, TransactionId oldest_xmin, const VersionMeta* sole,
                        TupleTableSlot* slot) {
  bool unique = info->ii_Unique || info->ii_ExclusionOps != nullptr;
  ItemPointerData tid;
  EncodeTid(id, &tid);
  for (;;) {
    RowLifeInfo life;
    if (sole != nullptr) {
      life = LifeOfSoleVersion(*sole, oldest_xmin);
      sole = nullptr;  // after a wait there may be more
      if (life.life == RowLife::kNone) return BuildDecision{false, false, false};
    } else {
      ExecClearTuple(slot);
      JudgeRow(table, storage, id, oldest_xmin, HolderOf(slot), &life);
      if (life.life == RowLife::kNone) return BuildDecision{false, false, false};
      ShowHeldRow(slot, table);
    }
    // Old snapshots may see another version under this TID, with other keys: they must not use
    // the index.
    if (life.older_versions) info->ii_BrokenHotChain = true;
    switch (life.life) {
      case RowLife::kLive:
        return BuildDecision{true, true, true};
      case RowLife::kRecentlyDead:
        return BuildDecision{true, false, false};
      case RowLife::kInsertInProgress:
        if (any_visible || life.own) return BuildDecision{true, true, true};
        if (!unique) return BuildDecision{true, true, false};
        break;
      case RowLife::kDeleteInProgress:
        if (any_visible) return BuildDecision{true, false, true};
        if (life.own) return BuildDecision{true, false, false};
        if (!unique) return BuildDecision{true, false, true};
        break;
      case RowLife::kUpdateInProgress:
        // BRIN summarises beside writers; what the index has of the row is the same in both
        // versions.
        if (any_visible) return BuildDecision{true, true, true};
        break;
      default:
        break;
    }
    XactLockTableWait(life.xid, table, &tid, XLTW_InsertIndexUnique);
    CHECK_FOR_INTERRUPTS();
  }
}

// An MVCC snapshot, and others may write: the rows that it sees. Also those that older snapshots of
// a standby may see, for nobody waits for these to go before the index is used.
RowInSnapshot DecideBesideWriters(Relation table, StorageId storage, const RowId& id,
                                  Snapshot snapshot, TransactionId oldest_xmin,
                                  const VersionMeta* sole, TupleTableSlot* slot) {
  if (sole != nullptr) {
    return EffectInSnapshot(*sole, nullptr, snapshot) ? RowInSnapshot::kVisible
                                                      : RowInSnapshot::kNone;
  }
  ExecClearTuple(slot);
  RowInSnapshot seen = LookInSnapshot(table, storage, id, snapshot, oldest_xmin, HolderOf(slot));
  if (seen != RowInSnapshot::kNone) ShowHeldRow(slot, table);
  return seen;
}

// A standby's snapshots may be older than any here, and see what the index does not have.
void TellStandbys(Relation table, FullXid missing_before) {
  bool is_new = table->rd_createSubid != InvalidSubTransactionId;
  if (StorageOf(table) == 0 || is_new) return;
  LogIndexCleanup(table, missing_before);
}

// A row that ended before the snapshot is not in the index.
void NoteMissing(Snapshot snapshot, FullXid* unseen_before) {
  *unseen_before = Max(*unseen_before, WidenXid(snapshot->xmax));
}

// What tells whether updates in place have changed what an index is made of. Unless another index
// had these columns at the time, they may have: an older snapshot must not come to the row by the
// new key. Those of the primary are waited for.
struct OlderKeys {
  Bitmapset* columns;  // of the index, from FirstLowInvalidHeapAttributeNumber on
  TupleTableSlot* slot;
  FullXid unseen_before;  // snapshots that see no transaction from here on may be misled
};

void StartOlderKeys(Relation table, IndexInfo* info, OlderKeys* older) {
  *older = OlderKeys{};
  older->slot = table_slot_create(table, nullptr);
  for (int i = 0; i < info->ii_NumIndexAttrs; i++) {
    AttrNumber column = info->ii_IndexAttrNumbers[i];
    if (column == 0) continue;  // an expression
    older->columns = bms_add_member(older->columns, column - FirstLowInvalidHeapAttributeNumber);
  }
  pull_varattnos(reinterpret_cast<Node*>(info->ii_Expressions), 1, &older->columns);
  pull_varattnos(reinterpret_cast<Node*>(info->ii_Predicate), 1, &older->columns);
}

bool SameColumns(Relation table, const Bitmapset* columns, TupleTableSlot* one,
                 TupleTableSlot* other) {
  TupleDesc descriptor = RelationGetDescr(table);
  bool whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, columns);
  for (AttrNumber column = 1; column <= descriptor->natts; column++) {
    bool wanted = whole_row || bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns);
    if (!wanted) continue;
    const FormData_pg_attribute* attribute = TupleDescAttr(descriptor, column - 1);
    bool is_null, other_is_null;
    Datum value = slot_getattr(one, column, &is_null);
    Datum other_value = slot_getattr(other, column, &other_is_null);
    if (is_null != other_is_null) return false;
    if (!is_null && !datumIsEqual(value, other_value, attribute->attbyval, attribute->attlen)) {
      return false;
    }
  }
  return true;
}

// Looks below the version in the slot.
void NoteOlderKeys(Relation table, StorageId storage, const RowId& id, TransactionId oldest_xmin,
                   TupleTableSlot* slot, OlderKeys* older) {
  constexpr int kPatience = 16;  // the walk begins at the top each time
  VersionMeta meta = AsOmendbSlot(slot)->holder.meta;
  for (int steps = 0; meta.kind == VersionKind::kUpdate; steps++) {
    if (SeenByEveryone(meta, XidState::kCommitted, oldest_xmin)) return;
    if (steps < kPatience) {
      ExecClearTuple(older->slot);
      if (!LookBelow(table, storage, id, meta.lsn, HolderOf(older->slot))) return;
      ShowHeldRow(older->slot, table);
    }
    if (steps == kPatience || !SameColumns(table, older->columns, slot, older->slot)) {
      older->unseen_before = Max(older->unseen_before, meta.xid + 1);
      return;
    }
    meta = AsOmendbSlot(older->slot)->holder.meta;
  }
}

}  // namespace

double omendb_index_build_range_scan(Relation table, Relation index, struct IndexInfo* info, bool,
                                     bool any_visible, bool progress, BlockNumber start,
                                     BlockNumber count, IndexBuildCallback callback,
                                     void* callback_state, TableScanDesc scan) {
  IndexEvaluation evaluation;
  StartEvaluation(info, table_slot_create(table, nullptr), &evaluation);
  TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(table);
  bool builds = scan == nullptr || scan->rs_parallel != nullptr;  // else amcheck compares
  Snapshot own_snapshot = nullptr;
  if (scan == nullptr) {
    if (info->ii_Concurrent) own_snapshot = RegisterSnapshot(GetTransactionSnapshot());
    scan = table_beginscan_strat(table, own_snapshot != nullptr ? own_snapshot : SnapshotAny, 0,
                                 nullptr, true, false);
    SetScanLimits(scan, start, count);
  }
  Snapshot snapshot = scan->rs_snapshot;
  bool beside_writers = builds && snapshot != SnapshotAny;
  if (beside_writers) scan->rs_snapshot = SnapshotAny;
  OlderKeys older;
  StartOlderKeys(table, info, &older);
  StorageId storage = StorageOf(table);
  BlockNumber blocks = storage == 0 ? 0 : StorageBlockCount(storage);
  if (progress) pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
  BlockNumber reported = InvalidBlockNumber;
  double live_rows = 0;
  while (omendb_scan_getnextslot(scan, ForwardScanDirection, evaluation.slot)) {
    CHECK_FOR_INTERRUPTS();
    RowId id = DecodeTid(&evaluation.slot->tts_tid);
    if (progress && id.block != reported) {
      pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, id.block);
      reported = id.block;
    }
    id.alias = 0;
    BuildDecision decision{true, true, true};
    bool evaluated = false;
    if (beside_writers) {
      RowInSnapshot seen = DecideBesideWriters(table, storage, id, snapshot, oldest_xmin,
                                               CurrentSoleVersion(scan), evaluation.slot);
      bool visible = seen == RowInSnapshot::kVisible;
      decision = BuildDecision{seen != RowInSnapshot::kNone, visible, visible};
      if (decision.index_it) {
        NoteOlderKeys(table, storage, id, oldest_xmin, evaluation.slot, &older);
      }
      if (seen == RowInSnapshot::kEnded) {
        EndedRow ended = EvaluateEnded(info, &evaluation);
        if (ended == EndedRow::kFailed) NoteMissing(snapshot, &older.unseen_before);
        if (ended != EndedRow::kIndexed) continue;
        evaluated = true;
      }
    } else if (snapshot == SnapshotAny) {
      decision = DecideRow(table, storage, id, info, any_visible, oldest_xmin,
                           CurrentSoleVersion(scan), evaluation.slot);
    }
    if (decision.counts) live_rows += 1;
    if (!decision.index_it || !(evaluated || Evaluate(info, &evaluation))) continue;
    ItemPointerData tid;
    EncodeTid(id, &tid);
    callback(index, &tid, evaluation.values, evaluation.nulls, decision.alive, callback_state);
  }
  if (progress) pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, blocks);
  scan->rs_snapshot = snapshot;  // the scan may have to unregister it
  table_endscan(scan);
  if (own_snapshot != nullptr) UnregisterSnapshot(own_snapshot);
  EndEvaluation(info, &evaluation);
  ExecDropSingleTupleTableSlot(older.slot);
  if (builds) TellStandbys(table, Max(older.unseen_before, MissingBefore(oldest_xmin)));
  return live_rows;
}

namespace {

// The TIDs that the index has, in order.
struct IndexedTids {
  Tuplesortstate* sort;
  ItemPointerData current;
  bool have, exhausted;
};

void Advance(IndexedTids* tids) {
  Datum value;
  bool is_null;
  tids->have = tuplesort_getdatum(tids->sort, true, &value, &is_null, nullptr);
  if (!tids->have) {
    tids->exhausted = true;
    return;
  }
  itemptr_decode(&tids->current, DatumGetInt64(value));
}

}  // namespace

void omendb_index_validate_scan(Relation table, Relation index, struct IndexInfo* info,
                                Snapshot snapshot, struct ValidateIndexState* state) {
  IndexEvaluation evaluation;
  StartEvaluation(info, table_slot_create(table, nullptr), &evaluation);
  TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(table);
  StorageId storage = StorageOf(table);
  TableScanDesc scan = table_beginscan_strat(table, SnapshotAny, 0, nullptr, true, false);
  IndexedTids indexed{state->tuplesort, {}, false, false};
  FullXid unseen_before = 0;
  while (omendb_scan_getnextslot(scan, ForwardScanDirection, evaluation.slot)) {
    CHECK_FOR_INTERRUPTS();
    RowId id = DecodeTid(&evaluation.slot->tts_tid);
    id.alias = 0;
    // What began after the snapshot has its entry from whoever wrote it, and maybe not in the list.
    RowInSnapshot seen = DecideBesideWriters(table, storage, id, snapshot, oldest_xmin,
                                             CurrentSoleVersion(scan), evaluation.slot);
    if (seen == RowInSnapshot::kNone) continue;
    if (seen == RowInSnapshot::kVisible) state->htups += 1;
    ItemPointerData tid;
    EncodeTid(id, &tid);
    while (!indexed.exhausted &&
           (!indexed.have || ItemPointerCompare(&indexed.current, &tid) < 0)) {
      Advance(&indexed);
    }
    if (indexed.have && ItemPointerEquals(&indexed.current, &tid)) continue;
    if (seen == RowInSnapshot::kEnded) {
      EndedRow ended = EvaluateEnded(info, &evaluation);
      if (ended == EndedRow::kFailed) NoteMissing(snapshot, &unseen_before);
      if (ended != EndedRow::kIndexed) continue;
    } else if (!Evaluate(info, &evaluation)) {
      continue;
    }
    // The unique check sees the row itself and its rivals by TID, as for any insertion.
    bool check = info->ii_Unique && seen == RowInSnapshot::kVisible;
    index_insert(index, evaluation.values, evaluation.nulls, &tid, table,
                 check ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
    state->tups_inserted += 1;
  }
  table_endscan(scan);
  EndEvaluation(info, &evaluation);
  TellStandbys(table, Max(unseen_before, MissingBefore(oldest_xmin)));
}

}  // namespace omendb
