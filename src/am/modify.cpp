#include "am/callbacks.h"
#include "am/slot.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

void ChangeScope::Enter(Relation relation, bool for_write) {
  static MemoryContext work = nullptr;
  if (work == nullptr) {
    work = AllocSetContextCreate(TopMemoryContext, "omendb change", ALLOCSET_DEFAULT_SIZES);
  }
  // Wait for the WAL of this transaction when it commits: it must have an xid before it writes.
  if (for_write) (void)GetCurrentTransactionId();
  StorageId storage = for_write ? StorageForWrite(relation) : StorageOf(relation);
  MemoryContextReset(work);
  caller_ = MemoryContextSwitchTo(work);
  auto* holder = static_cast<RowHolder*>(palloc(sizeof(RowHolder)));
  InitRowHolder(holder, work);
  context = ChangeContext{relation, storage, MakeColumns(RelationGetDescr(relation), work), holder};
}

void ChangeScope::Leave() {
  LetRowGo(context.holder);
  MemoryContextSwitchTo(caller_);
}

void omendb_tuple_insert(Relation relation, TupleTableSlot* slot, CommandId cid, int options,
                         struct BulkInsertStateData*) {
  ChangeScope scope;
  scope.Enter(relation, true);
  InsertRow(scope.context, slot, cid, options, 0);
  scope.Leave();
  ShowAsWritten(slot, cid, false);
}

void omendb_tuple_insert_speculative(Relation relation, TupleTableSlot* slot, CommandId cid,
                                     int options, struct BulkInsertStateData*, uint32 token) {
  ChangeScope scope;
  scope.Enter(relation, true);
  InsertRow(scope.context, slot, cid, options, token);
  scope.Leave();
  ShowAsWritten(slot, cid, false);
}

void omendb_tuple_complete_speculative(Relation relation, TupleTableSlot* slot, uint32,
                                       bool succeeded) {
  ChangeScope scope;
  scope.Enter(relation, true);
  CompleteSpeculative(scope.context, slot, succeeded);
  scope.Leave();
}

void omendb_multi_insert(Relation relation, TupleTableSlot** slots, int count, CommandId cid,
                         int options, struct BulkInsertStateData*) {
  ChangeScope scope;
  scope.Enter(relation, true);
  InsertRows(scope.context, slots, count, cid, options);
  scope.Leave();
}

TM_Result omendb_tuple_delete(Relation relation, ItemPointer tid, CommandId cid, Snapshot snapshot,
                              Snapshot crosscheck, bool wait, TM_FailureData* failure,
                              bool changing_partition) {
  ChangeScope scope;
  scope.Enter(relation, true);
  TM_Result result = DeleteRow(scope.context, DecodeTid(tid), cid, snapshot, crosscheck, wait,
                               changing_partition, failure);
  scope.Leave();
  return result;
}

TM_Result omendb_tuple_update(Relation relation, ItemPointer tid, TupleTableSlot* slot,
                              CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                              TM_FailureData* failure, LockTupleMode* mode, bool* update_indexes) {
  ChangeScope scope;
  scope.Enter(relation, true);
  UpdateResult result =
      UpdateRow(scope.context, DecodeTid(tid), slot, cid, snapshot, crosscheck, wait, failure);
  scope.Leave();
  if (result.result == TM_Ok) ShowAsWritten(slot, cid, result.was_locked);
  *mode = result.lock_mode;
  *update_indexes = result.result == TM_Ok && result.new_tid;
  return result.result;
}

namespace {

LockStrength StrengthFor(LockTupleMode mode) {
  switch (mode) {
    case LockTupleKeyShare:
      return LockStrength::kKeyShare;
    case LockTupleShare:
      return LockStrength::kShare;
    case LockTupleNoKeyExclusive:
      return LockStrength::kNoKeyExclusive;
    case LockTupleExclusive:
      return LockStrength::kExclusive;
  }
  return LockStrength::kExclusive;
}

}  // namespace

TM_Result omendb_tuple_lock(Relation relation, ItemPointer tid, Snapshot snapshot,
                            TupleTableSlot* slot, CommandId cid, LockTupleMode mode,
                            LockWaitPolicy policy, uint8 flags, TM_FailureData* failure) {
  ChangeScope scope;
  scope.Enter(relation, true);
  // Logical replication passes the TID that stands in the slot.
  RowId id = DecodeTid(tid);
  ExecClearTuple(slot);
  ChangeContext context = scope.context;
  context.holder = HolderOf(slot);
  context.holder->meta = VersionMeta{};
  TM_Result result =
      LockRow(context, &id, cid, snapshot, StrengthFor(mode), policy, flags, failure);
  scope.Leave();
  if (result == TM_Updated && ItemPointerIndicatesMovedPartitions(&failure->ctid) &&
      (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) != 0) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("tuple to be locked was already moved to another partition due to "
                           "concurrent update")));
  }
  if (result == TM_Ok) {
    // The caller comes back with the TID; conditions on ctid are checked again with the slot's.
    EncodeTid(id, tid);
    failure->ctid = *tid;
    ShowHeldRow(slot, relation);
    EncodeTid(RowId{id.block, id.slot, 0}, &slot->tts_tid);
  } else if (result == TM_Invisible && context.holder->meta.xid != 0) {
    ShowHeldRow(slot, relation);
  }
  return result;
}

void omendb_finish_bulk_insert(Relation, int) {}

}  // namespace omendb
