#include "engine/change_step.h"
#include "engine/session.h"
#include "wal/log.h"

extern "C" {
#include "access/xact.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

// Makes sure this transaction holds the lock on the newest version. False: examine again.
bool WriteLock(const ChangeContext& context, const RowId& id, CommandId cid, LockStrength strength,
               RowState* state) {
  // A version of one's own is locked by being uncommitted.
  if (IsOwnVersion(state->newest)) return true;
  if (state->own_lock && state->own_strength >= strength) return true;
  FullXid xid = OwnFullXid();
  ChangeStep step;
  if (!BeginChange(context, id, *state, Segment::BoundForVersion(1), nullptr, &step)) return false;
  VersionMeta meta{xid, 0, cid, VersionKind::kLock, 0};
  char payload = static_cast<char>(strength);
  Lsn lsn = LogAndApplyVersion(&step.ticket, context.relation, context.storage, id.block, id.slot,
                               &meta, Slice(&payload, 1), false);
  EndChange(&step);
  NoteOwnLsn(context.relation, lsn);
  state->own_entries++;
  state->own_lock = true;
  state->own_lock_ordinal = state->own_entries;
  return true;
}

struct LockedRow {
  StorageId storage;
  RowId id;
  FullXid xid;
  CommandId cid;
};
LockedRow g_last_locked = {};

// What became of an attempt to lock a row where it moves to.
enum class Chase { kLocked, kWouldBlock, kLookAgain };

// Locks the row for KEY SHARE at every place that updates which left the key alone have taken it
// to, or are taking it to: whoever changes the key or deletes the row meets the lock there.
Chase LockWhereRowGoes(const ChangeContext& context, RowId at, CommandId cid, LockWaitPolicy policy,
                       RowState* state) {
  constexpr LockStrength kWanted = LockStrength::kKeyShare;
  bool in_queue = false;
  for (;;) {
    ExamineRow(context.relation, context.storage, at, cid, InvalidSnapshot, kWanted, context.holder,
               state);
    if (TransactionIdIsValid(state->wait_for)) {
      if (WaitForRow(context.relation, at, *state, kWanted, policy, XLTW_LockUpdated, &in_queue)) {
        continue;
      }
      LeaveQueue(context.relation, at, kWanted, &in_queue);
      return Chase::kWouldBlock;
    }
    if (state->moved && !state->key_changed) {
      LeaveQueue(context.relation, at, kWanted, &in_queue);
      at = state->moved_to;
      continue;
    }
    // A running transaction's new row is invisible, and it is what has to be locked.
    bool lockable = state->has_newest || state->result == TM_Invisible;
    if (lockable && !WriteLock(context, at, cid, kWanted, state)) continue;
    LeaveQueue(context.relation, at, kWanted, &in_queue);
    if (!lockable) return Chase::kLookAgain;
    if (!state->moving) return Chase::kLocked;
    at = state->moved_to;
  }
}

}  // namespace

TM_Result LockRow(const ChangeContext& context, RowId* id, CommandId cid, Snapshot snapshot,
                  LockStrength strength, LockWaitPolicy policy, uint8 flags,
                  TM_FailureData* failure) {
  bool follow = (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) != 0;
  // INSERT ... ON CONFLICT and logical replication lock whatever is the newest.
  bool newest_will_do = flags == 0 && !IsolationUsesXactSnapshot();
  bool in_queue = false, chased = false, waited = false;
  auto* state = static_cast<RowState*>(palloc(sizeof(RowState)));
  failure->traversed = false;
  EnsureEngineSession();
  (void)GetCurrentTransactionId();
  for (;;) {
    ExamineRow(context.relation, context.storage, *id, cid, snapshot, strength, context.holder,
               state);
    // A key that nobody changed can be locked as the snapshot saw it. Not at the newest version: a
    // foreign key's check must not fail, under REPEATABLE READ, because of a change beside the key.
    // Unless there was a wait: that was for somebody who held the key itself, and a READ COMMITTED
    // statement looks at what became of the row.
    bool key_stands =
        !chased && !(waited && follow) && strength == LockStrength::kKeyShare && id->alias == 0 &&
        snapshot != InvalidSnapshot && IsMVCCSnapshot(snapshot) &&
        !TransactionIdIsValid(state->wait_for) &&
        ((state->result == TM_Ok && state->moving) ||
         (state->result == TM_Updated && !state->moved_partition && !state->key_changed));
    if (key_stands) {
      chased = true;
      Chase chase = LockWhereRowGoes(context, *id, cid, policy, state);
      if (chase == Chase::kWouldBlock) {
        LeaveQueue(context.relation, *id, strength, &in_queue);
        FillFailure(*state, *id, failure);
        return TM_WouldBlock;
      }
      if (chase == Chase::kLocked &&
          ReadRow(context.relation, context.storage, *id, snapshot, context.holder)) {
        LeaveQueue(context.relation, *id, strength, &in_queue);
        *id = context.holder->id;
        return TM_Ok;
      }
      continue;
    }
    if (state->result == TM_Updated && state->moved && follow) {
      LeaveQueue(context.relation, *id, strength, &in_queue);
      *id = state->moved_to;
      id->alias = kAliasNewest;
      failure->traversed = true;
      continue;
    }
    bool lockable = state->has_newest && (state->result == TM_Ok || follow || newest_will_do);
    bool must_wait =
        TransactionIdIsValid(state->wait_for) && (lockable || state->result == TM_BeingModified);
    if (must_wait) {
      if (!WaitForRow(context.relation, *id, *state, strength, policy, XLTW_Lock, &in_queue)) {
        FillFailure(*state, *id, failure);
        return TM_WouldBlock;
      }
      waited = true;
      continue;
    }
    if (!lockable) {
      // ON CONFLICT found a row that this very command wrote, and wants to see whose it is.
      bool named = (state->result == TM_Invisible || state->result == TM_SelfModified) &&
                   flags == 0 &&
                   ReadNamedVersion(context.relation, context.storage, *id, context.holder) &&
                   context.holder->meta.cid >= cid && IsOwnVersion(context.holder->meta);
      if (named) {
        state->result = TM_Invisible;
      } else {
        context.holder->meta = VersionMeta{};
      }
      break;
    }
    bool meant = state->result == TM_Ok;
    if (!WriteLock(context, *id, cid, strength, state)) continue;
    LeaveQueue(context.relation, *id, strength, &in_queue);
    if (!meant) failure->traversed = true;
    if (state->newest_ordinal > 0) {
      id->alias = AliasForOrdinal(state->newest_ordinal);
    } else if (!meant || id->alias != 0) {
      id->alias = state->own_lock ? AliasForOrdinal(state->own_lock_ordinal) : 0;
    }
    context.holder->id = *id;
    g_last_locked = LockedRow{context.storage, *id, OwnFullXid(), cid};
    return TM_Ok;
  }
  LeaveQueue(context.relation, *id, strength, &in_queue);
  FillFailure(*state, *id, failure);
  return state->result;
}

bool WasLockedByCommand(StorageId storage, const RowId& id, CommandId cid) {
  const LockedRow& last = g_last_locked;
  return last.storage == storage && last.id.block == id.block && last.id.slot == id.slot &&
         last.cid == cid && last.xid == OwnFullXid();
}

}  // namespace omendb
