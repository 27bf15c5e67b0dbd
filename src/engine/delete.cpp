#include "engine/change_step.h"
#include "engine/session.h"
#include "wal/log.h"

extern "C" {
#include "access/xact.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/rel.h"
}

namespace omendb {

TM_Result DeleteRow(const ChangeContext& context, const RowId& id, CommandId cid, Snapshot snapshot,
                    Snapshot crosscheck, bool wait, bool moved_partition, TM_FailureData* failure) {
  constexpr LockStrength kWanted = LockStrength::kExclusive;
  bool in_queue = false;
  auto* state = static_cast<RowState*>(palloc(sizeof(RowState)));
  EnsureEngineSession();
  FullXid xid = OwnFullXid();
  for (;;) {
    ExamineRow(context.relation, context.storage, id, cid, snapshot, kWanted, context.holder,
               state);
    bool blocked = TransactionIdIsValid(state->wait_for) &&
                   (state->result == TM_Ok || state->result == TM_BeingModified);
    if (blocked) {
      if (!wait) {
        FillFailure(*state, id, failure);
        return TM_BeingModified;
      }
      WaitForRow(context.relation, id, *state, kWanted, LockWaitBlock, XLTW_Delete, &in_queue);
      continue;
    }
    if (state->result == TM_Ok && crosscheck != InvalidSnapshot &&
        !EffectInSnapshot(state->newest, nullptr, crosscheck)) {
      state->result = TM_Updated;
    }
    if (state->result != TM_Ok) {
      LeaveQueue(context.relation, id, kWanted, &in_queue);
      FillFailure(*state, id, failure);
      return state->result;
    }
    ItemPointerData tid;
    EncodeTid(RowId{id.block, id.slot, 0}, &tid);
    CheckForSerializableConflictIn(context.relation, &tid, id.block);
    ChangeStep step;
    if (!BeginChange(context, id, *state, Segment::BoundForVersion(0) + CarryBound(*state), nullptr,
                     &step)) {
      continue;
    }
    VersionMeta meta{xid, 0, cid, VersionKind::kDelete,
                     static_cast<uint8_t>(moved_partition ? kVersionMovedPartition : 0)};
    Lsn lsn = LogAndApplyVersion(&step.ticket, context.relation, context.storage, id.block, id.slot,
                                 &meta, Slice(), false);
    CarryLocks(context, id, *state, &step);
    EndChange(&step);
    NoteOwnLsn(context.relation, lsn);
    // As for an update: a reader may have come between the first look and the write.
    CheckForSerializableConflictIn(context.relation, &tid, id.block);
    break;
  }
  LeaveQueue(context.relation, id, kWanted, &in_queue);
  DeleteToastOf(context.relation, DecodeHeld(context.relation, context.holder, context.columns),
                false);
  pgstat_count_heap_delete(context.relation);
  return TM_Ok;
}

}  // namespace omendb
