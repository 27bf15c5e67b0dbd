#include "am/callbacks.h"
#include "am/slot.h"
#include "engine/row_life.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/relscan.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

namespace {

struct OmendbIndexFetch {
  IndexFetchTableData base;
  TransactionId oldest_xmin;  // asked for when the first invisible row is met
  RowHolder holder;           // of invisible rows, from then on
};

// True if no snapshot will ever see a row under the TID: then its index entry may go. Slots are not
// used twice, so this never becomes wrong.
bool IsDeadToAll(Relation relation, const RowId& id, TransactionId oldest_xmin, RowHolder* holder,
                 RowLifeInfo* life) {
  JudgeRow(relation, StorageOf(relation), RowId{id.block, id.slot, 0}, oldest_xmin, holder, life);
  LetRowGo(holder);
  return life->life == RowLife::kNone;
}

}  // namespace

struct IndexFetchTableData* omendb_index_fetch_begin(Relation relation) {
  auto* fetch = static_cast<OmendbIndexFetch*>(palloc0(sizeof(OmendbIndexFetch)));
  fetch->base.rel = relation;
  return &fetch->base;
}

void omendb_index_fetch_reset(struct IndexFetchTableData*) {}

void omendb_index_fetch_end(struct IndexFetchTableData* fetch) { pfree(fetch); }

bool omendb_index_fetch_tuple(struct IndexFetchTableData* base, ItemPointer tid, Snapshot snapshot,
                              TupleTableSlot* slot, bool* call_again, bool* all_dead) {
  auto* fetch = reinterpret_cast<OmendbIndexFetch*>(base);
  Relation relation = base->rel;
  RowId id = DecodeTid(tid);
  *call_again = false;
  if (all_dead != nullptr) *all_dead = false;
  ExecClearTuple(slot);
  if (!ReadRow(relation, StorageOf(relation), id, snapshot, HolderOf(slot))) {
    if (all_dead == nullptr || RecoveryInProgress()) return false;
    if (!TransactionIdIsValid(fetch->oldest_xmin)) {
      fetch->oldest_xmin = GetOldestNonRemovableTransactionId(relation);
      InitRowHolder(&fetch->holder, GetMemoryChunkContext(fetch));
    }
    RowLifeInfo life;
    *all_dead = IsDeadToAll(relation, id, fetch->oldest_xmin, &fetch->holder, &life);
    return false;
  }
  ShowHeldRow(slot, relation);
  return true;
}

bool omendb_tuple_fetch_row_version(Relation relation, ItemPointer tid, Snapshot snapshot,
                                    TupleTableSlot* slot) {
  if (!TidInRange(tid)) return false;
  StorageId storage = StorageOf(relation);
  RowId id = DecodeTid(tid);
  // The TID may stand in the slot itself.
  ExecClearTuple(slot);
  RowHolder* holder = HolderOf(slot);
  bool found = snapshot->snapshot_type == SNAPSHOT_ANY
                   ? ReadNamedVersion(relation, storage, id, holder)
                   : ReadRow(relation, storage, id, snapshot, holder);
  if (!found) return false;
  ShowHeldRow(slot, relation);
  return true;
}

bool omendb_tuple_tid_valid(TableScanDesc scan, ItemPointer tid) {
  StorageId storage = StorageOf(scan->rs_rd);
  return ItemPointerIsValid(tid) && TidInRange(tid) && storage != 0 &&
         DecodeTid(tid).block < StorageBlockCount(storage);
}

void omendb_tuple_get_latest_tid(TableScanDesc scan, ItemPointer tid) {
  Relation relation = scan->rs_rd;
  StorageId storage = StorageOf(relation);
  RowId id = DecodeTid(tid);
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb latest tid", ALLOCSET_SMALL_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  RowHolder holder;
  InitRowHolder(&holder, context);
  // Follow moves as far as the snapshot saw them. A row that was deleted at its last place keeps
  // the TID that was asked for, as on heap. A version of this transaction needs its alias to be
  // found.
  bool visible;
  while (!(visible = ReadRow(relation, storage, RowId{id.block, id.slot, 0}, scan->rs_snapshot,
                             &holder))) {
    RowState state;
    ExamineRow(relation, storage, id, GetCurrentCommandId(false), scan->rs_snapshot,
               LockStrength::kKeyShare, &holder, &state);
    if (!state.moved) break;
    id = state.moved_to;
  }
  if (visible) EncodeTid(holder.id, tid);
  LetRowGo(&holder);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

bool omendb_tuple_satisfies_snapshot(Relation relation, TupleTableSlot* slot, Snapshot snapshot) {
  OmendbSlot* self = AsOmendbSlot(slot);
  if (!IsOmendbSlot(slot) || !self->has_row) {
    ereport(ERROR,
            (errcode(ERRCODE_INTERNAL_ERROR),
             errmsg("the row was not read from table \"%s\"", RelationGetRelationName(relation))));
  }
  return RowIsVisible(relation, StorageOf(relation), self->holder, snapshot);
}

TransactionId omendb_index_delete_tuples(Relation relation, TM_IndexDeleteOp* operation) {
  TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(relation);
  TransactionId latest = InvalidTransactionId;
  bool unknown = false;
  int deletable = 0;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb dead rows", ALLOCSET_SMALL_SIZES);
  RowHolder holder;
  InitRowHolder(&holder, context);
  for (int i = 0; i < operation->ndeltids; i++) {
    TM_IndexDelete* entry = &operation->deltids[i];
    TM_IndexStatus* status = &operation->status[entry->id];
    RowLifeInfo life;
    bool dead = IsDeadToAll(relation, DecodeTid(&entry->tid), oldest_xmin, &holder, &life);
    // Called dead once, dead for ever, even if the horizon went back since.
    if (status->knowndeletable && !dead) life.died_unknown = true;
    if (!status->knowndeletable && !dead) continue;
    status->knowndeletable = true;
    deletable++;
    unknown = unknown || life.died_unknown;
    if (TransactionIdIsValid(life.died_by) &&
        (!TransactionIdIsValid(latest) || TransactionIdFollows(life.died_by, latest))) {
      latest = life.died_by;
    }
  }
  MemoryContextDelete(context);
  if (deletable == 0) operation->ndeltids = 0;
  if (unknown) {
    // The row is gone from the store: all that is known is that it died before the horizon. A
    // standby's queries that might still see it have to go.
    latest = static_cast<TransactionId>(MissingBefore(oldest_xmin));
    TransactionIdRetreat(latest);
  }
  return latest;
}

}  // namespace omendb
