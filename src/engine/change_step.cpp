#include "engine/change_step.h"

#include "wal/log.h"

extern "C" {
#include "access/xact.h"
}

namespace omendb {

FullXid OwnFullXid() { return U64FromFullTransactionId(GetCurrentFullTransactionId()); }

bool BeginChange(const ChangeContext& context, const RowId& id, const RowState& state, size_t bound,
                 const BlockNo* other_block, ChangeStep* step) {
  step->ticket = WriteGateEnter(bound);
  step->first = StripeLock(context.storage, id.block);
  step->second = other_block != nullptr ? StripeLock(context.storage, *other_block) : nullptr;
  if (step->second == step->first) step->second = nullptr;
  // Always in address order, so that two moves cannot wait for each other.
  if (step->second != nullptr && step->second < step->first) std::swap(step->first, step->second);
  LWLockAcquire(step->first, LW_EXCLUSIVE);
  if (step->second != nullptr) LWLockAcquire(step->second, LW_EXCLUSIVE);
  // The pin comes after the gate: waiting for room with a pin would keep the room from coming.
  ReadView view;
  ReadPin(&view);
  Lsn newest = NewestBufferedLsn(view, context.storage, id.block, id.slot);
  ReadUnpin();
  // A row of which the buffer has nothing may have been changed and flushed meanwhile. (One that it
  // still has cannot: segments leave the buffer oldest first.)
  bool same_store = newest != 0 || view.generation == state.generation;
  if (newest == state.newest_buffered && same_store) return true;
  EndChange(step);
  return false;
}

size_t CarryBound(const RowState& state) { return state.carried * Segment::BoundForVersion(1); }

void CarryLocks(const ChangeContext& context, const RowId& id, const RowState& state,
                ChangeStep* step) {
  for (int i = 0; i < state.carried; i++) {
    VersionMeta meta{state.carried_locks[i].xid, 0, FirstCommandId, VersionKind::kLock, 0};
    char strength = static_cast<char>(state.carried_locks[i].strength);
    LogAndApplyVersion(&step->ticket, context.relation, context.storage, id.block, id.slot, &meta,
                       Slice(&strength, 1), false);
  }
}

void EndChange(ChangeStep* step) {
  if (step->second != nullptr) LWLockRelease(step->second);
  LWLockRelease(step->first);
  WriteGateLeave(&step->ticket);
}

}  // namespace omendb
