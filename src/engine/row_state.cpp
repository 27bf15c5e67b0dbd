#include "engine/row_state.h"

#include "engine/session.h"

extern "C" {
#include "access/xact.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

LockStrength StrengthOf(const RowVersion& version) {
  return version.payload.empty() ? LockStrength::kExclusive
                                 : static_cast<LockStrength>(version.payload[0]);
}

void NoteLocker(const RowVersion& version, LockStrength wanted, bool own, RowState* state) {
  LockStrength held = StrengthOf(version);
  if (own) {
    if (!state->own_lock || held > state->own_strength) {
      state->own_lock = true;
      state->own_strength = held;
    }
    return;
  }
  if (LocksConflict(held, wanted)) {
    if (!TransactionIdIsValid(state->wait_for)) state->wait_for = ShortXid(version.meta);
    return;
  }
  for (int i = 0; i < state->carried; i++) {
    CarriedLock* lock = &state->carried_locks[i];
    if (lock->xid != version.meta.xid) continue;
    if (held > lock->strength) lock->strength = held;
    return;
  }
  if (state->carried == kMaxCarriedLocks) {
    // Too many lockers to carry along: wait for one of them to end.
    if (!TransactionIdIsValid(state->wait_for)) state->wait_for = ShortXid(version.meta);
    return;
  }
  state->carried_locks[state->carried++] = CarriedLock{version.meta.xid, held};
}

void SetChanger(const RowVersion& version, RowState* state) {
  state->changer = ShortXid(version.meta);
  state->changer_cid = version.meta.cid;
}

bool HasMoveTarget(const RowVersion& version) {
  return version.meta.kind == VersionKind::kMove && version.payload.size() >= 5;
}

RowId MoveTarget(const RowVersion& version) {
  return RowId{LoadMoveBlock(version.payload), LoadMoveSlot(version.payload), 0};
}

// Decides what the first change that counts means. True if the walk is over.
bool JudgeChange(const RowVersion& version, XidState xid_state, CommandId cid, LockStrength wanted,
                 RowState* state) {
  const VersionMeta& meta = version.meta;
  bool row = CarriesRow(meta.kind);
  switch (xid_state) {
    case XidState::kAborted:
      return false;
    case XidState::kInProgress:
      if (meta.kind == VersionKind::kInsert) {
        state->result = TM_Invisible;
        return true;
      }
      if (!LocksConflict(ImpliedLock(meta), wanted)) {
        if (HasMoveTarget(version)) {
          state->moving = true;
          state->moved_to = MoveTarget(version);
        }
        return false;  // the row below still counts
      }
      SetChanger(version, state);
      state->wait_for = ShortXid(meta);
      state->result = TM_BeingModified;
      return true;
    case XidState::kOwn:
      if (meta.cid >= cid) {
        SetChanger(version, state);
        state->result = meta.kind == VersionKind::kInsert ? TM_Invisible : TM_SelfModified;
        return true;
      }
      if (!row) {
        state->result = TM_Invisible;
        if (HasMoveTarget(version)) {
          // WHERE CURRENT OF goes where the row went.
          state->moved = true;
          state->moved_to = MoveTarget(version);
        }
        return true;
      }
      break;
    case XidState::kCommitted:
      if (!row) {
        SetChanger(version, state);
        state->result = TM_Deleted;
        if (HasMoveTarget(version)) {
          state->result = TM_Updated;
          state->moved = true;
          state->key_changed = (meta.flags & kVersionKeyUpdated) != 0;
          state->moved_to = MoveTarget(version);
        } else if ((meta.flags & kVersionMovedPartition) != 0) {
          state->result = TM_Updated;
          state->moved_partition = true;
        }
        return true;
      }
      break;
  }
  state->has_newest = true;
  state->newest = meta;
  return true;
}

// Whether the newest version is the one that the TID, under the snapshot, means.
bool IsMeant(const RowId& id, const RowVersion& version, Snapshot snapshot, const RowState& state,
             int own_newer) {
  if (id.alias == kAliasNewest) return true;
  if (id.alias != 0) {
    int stands_on = state.own_entries - own_newer + (state.newest_ordinal > 0 ? 0 : 1);
    return id.alias >= stands_on;
  }
  if (snapshot == InvalidSnapshot || !IsMVCCSnapshot(snapshot)) return true;
  return EffectInSnapshot(version.meta, version.hints, snapshot);
}

}  // namespace

void ExamineRow(Relation relation, StorageId storage, const RowId& id, CommandId cid,
                Snapshot snapshot, LockStrength wanted, RowHolder* holder, RowState* state) {
  memset(static_cast<void*>(state), 0, offsetof(RowState, carried_locks));
  state->result = TM_Deleted;
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  state->newest_buffered = NewestBufferedLsn(view, storage, id.block, id.slot);
  state->generation = view.generation;
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  int own_newer = 0;  // own entries above the newest row version
  while (cursor.Next(&version)) {
    if (version.meta.kind == VersionKind::kSpeculativeConfirm) continue;
    if (version.meta.kind == VersionKind::kSpeculativeAbort) {
      state->result = TM_Invisible;
      break;
    }
    XidState xid_state = StateOf(version.meta, version.hints);
    if (version.meta.kind == VersionKind::kLock) {
      if (xid_state == XidState::kOwn) own_newer++;
      if (xid_state == XidState::kOwn || xid_state == XidState::kInProgress) {
        NoteLocker(version, wanted, xid_state == XidState::kOwn, state);
      }
      continue;
    }
    if (JudgeChange(version, xid_state, cid, wanted, state)) break;
  }
  if (!cursor.asked_store()) CountBlockAccess(relation, true);
  if (state->has_newest) {
    bool own_newest = version.meta.kind == VersionKind::kUpdate && IsOwnVersion(version.meta);
    HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
    if (FirstOwnLsn(relation) != ~Lsn{0}) {
      int ordinal = OwnOrdinal(view, relation, storage, id, own_newest ? version.meta.lsn : 0,
                               &state->own_entries);
      state->newest_ordinal = own_newest ? ordinal : 0;
      state->own_lock_ordinal = state->own_lock ? state->own_entries : 0;
    }
    bool meant = IsMeant(id, version, snapshot, *state, own_newer);
    state->result = meant ? TM_Ok : TM_Updated;
    if (!meant) SetChanger(version, state);
  }
  cursor.Close();
  ReadUnpin();
}

namespace {

LOCKMODE QueueLockMode(LockStrength strength) {
  switch (strength) {
    case LockStrength::kKeyShare:
      return AccessShareLock;
    case LockStrength::kShare:
      return RowShareLock;
    case LockStrength::kNoKeyExclusive:
      return ExclusiveLock;
    case LockStrength::kExclusive:
      return AccessExclusiveLock;
  }
  return AccessExclusiveLock;
}

void PlainTid(const RowId& id, ItemPointerData* tid) {
  EncodeTid(RowId{id.block, id.slot, 0}, tid);
}

[[noreturn]] void RaiseLockNotAvailable(Relation relation) {
  ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                  errmsg("could not obtain lock on row in relation \"%s\"",
                         RelationGetRelationName(relation))));
  pg_unreachable();
}

}  // namespace

bool WaitForRow(Relation relation, const RowId& id, const RowState& state, LockStrength wanted,
                LockWaitPolicy policy, XLTW_Oper operation, bool* have_lock) {
  ItemPointerData tid;
  PlainTid(id, &tid);
  LOCKMODE mode = QueueLockMode(wanted);
  if (policy == LockWaitBlock) {
    // Whoever waits longest goes first: the heavyweight lock on the TID is the queue.
    if (!*have_lock && !state.own_lock) {
      LockTuple(relation, &tid, mode);
      *have_lock = true;
    }
    XactLockTableWait(state.wait_for, relation, &tid, operation);
    return true;
  }
  if (!*have_lock && !state.own_lock) {
    *have_lock = ConditionalLockTuple(relation, &tid, mode);
    if (!*have_lock) {
      if (policy == LockWaitError) RaiseLockNotAvailable(relation);
      return false;
    }
  }
  if (ConditionalXactLockTableWait(state.wait_for)) return true;
  if (policy == LockWaitError) RaiseLockNotAvailable(relation);
  LeaveQueue(relation, id, wanted, have_lock);
  return false;
}

void LeaveQueue(Relation relation, const RowId& id, LockStrength wanted, bool* have_lock) {
  if (!*have_lock) return;
  ItemPointerData tid;
  PlainTid(id, &tid);
  UnlockTuple(relation, &tid, QueueLockMode(wanted));
  *have_lock = false;
}

uint8_t AliasForOrdinal(int ordinal) {
  return ordinal <= kMaxOwnAlias ? static_cast<uint8_t>(ordinal) : kAliasNewest;
}

void FillFailure(const RowState& state, const RowId& id, TM_FailureData* failure) {
  if (state.moved_partition) {
    ItemPointerSetMovedPartitions(&failure->ctid);
  } else if (state.moved) {
    EncodeTid(state.moved_to, &failure->ctid);
  } else {
    PlainTid(id, &failure->ctid);
  }
  failure->xmax = state.changer;
  failure->cmax = state.result == TM_SelfModified ? state.changer_cid : InvalidCommandId;
}

}  // namespace omendb
