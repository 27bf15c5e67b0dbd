#include "engine/change_step.h"
#include "engine/insert_target.h"
#include "engine/session.h"
#include "wal/log.h"

extern "C" {
#include "access/xact.h"
#include "nodes/bitmapset.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// What the statement changes of a row, as far as TIDs and locks care.
struct Difference {
  bool key_changed;      // a column that a foreign key may refer to
  bool indexed_changed;  // a column of any index
};

Difference Compare(Relation relation, const StorableRow& before, const StorableRow& after) {
  Bitmapset* indexed = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_ALL);
  Bitmapset* keys = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_KEY);
  Bitmapset* changed = ChangedColumns(relation, indexed, before, after);
  Difference difference{bms_overlap(changed, keys), !bms_is_empty(changed)};
  bms_free(changed);
  bms_free(indexed);
  bms_free(keys);
  return difference;
}

// The new version in place of the old one: the TID stays.
bool WriteInPlace(const ChangeContext& context, const RowId& id, FullXid xid, CommandId cid,
                  Slice packed, RowState* state, TupleTableSlot* slot) {
  ChangeStep step;
  size_t bound = Segment::BoundForVersion(packed.size()) + CarryBound(*state);
  if (!BeginChange(context, id, *state, bound, nullptr, &step)) return false;
  VersionMeta meta{xid, 0, cid, VersionKind::kUpdate, 0};
  Lsn lsn = LogAndApplyVersion(&step.ticket, context.relation, context.storage, id.block, id.slot,
                               &meta, packed, false);
  CarryLocks(context, id, *state, &step);
  EndChange(&step);
  NoteOwnLsn(context.relation, lsn);
  EncodeTid(RowId{id.block, id.slot, AliasForOrdinal(state->own_entries + 1)}, &slot->tts_tid);
  return true;
}

// The row moves to a new TID; the old one points there.
bool WriteMove(const ChangeContext& context, const RowId& id, FullXid xid, CommandId cid,
               bool key_changed, Slice packed, RowState* state, TupleTableSlot* slot) {
  InsertPlace place = NextInsertPlace(context.relation, context.storage, 1);
  RowId target{place.block, static_cast<SlotNo>(place.first_slot), 0};
  ChangeStep step;
  // LogAndApplyMove stores block and slot of the target with the old row.
  size_t bound = Segment::BoundForVersion(8) + Segment::BoundForVersion(packed.size()) +
                 2 * CarryBound(*state);
  if (!BeginChange(context, id, *state, bound, &place.block, &step)) return false;
  VersionMeta moved{xid, 0, cid, VersionKind::kMove,
                    static_cast<uint8_t>(key_changed ? kVersionKeyUpdated : 0)};
  VersionMeta inserted{xid, 0, cid, VersionKind::kInsert, 0};
  Lsn lsn = LogAndApplyMove(&step.ticket, context.relation, context.storage, id.block, id.slot,
                            &moved, target.block, target.slot, &inserted, packed, place.new_block);
  CarryLocks(context, id, *state, &step);
  CarryLocks(context, target, *state, &step);
  EndChange(&step);
  NoteOwnLsn(context.relation, lsn);
  TookInsertPlace(context.storage, place, 1, packed.size());
  EncodeTid(target, &slot->tts_tid);
  return true;
}

}  // namespace

UpdateResult UpdateRow(const ChangeContext& context, const RowId& id, TupleTableSlot* slot,
                       CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                       TM_FailureData* failure) {
  Relation relation = context.relation;
  LockStrength wanted = LockStrength::kNoKeyExclusive;
  bool in_queue = false;
  auto* state = static_cast<RowState*>(palloc(sizeof(RowState)));
  EnsureEngineSession();
  FullXid xid = OwnFullXid();
  bool toasted = false;
  StorableRow after{};
  UpdateResult result{TM_Ok, LockTupleNoKeyExclusive, false, false};
  for (;;) {
    result.lock_mode =
        wanted == LockStrength::kExclusive ? LockTupleExclusive : LockTupleNoKeyExclusive;
    ExamineRow(relation, context.storage, id, cid, snapshot, wanted, context.holder, state);
    bool blocked = TransactionIdIsValid(state->wait_for) &&
                   (state->result == TM_Ok || state->result == TM_BeingModified);
    if (blocked) {
      if (!wait) {
        FillFailure(*state, id, failure);
        result.result = TM_BeingModified;
        return result;
      }
      WaitForRow(relation, id, *state, wanted, LockWaitBlock, XLTW_Update, &in_queue);
      continue;
    }
    if (state->result == TM_Ok && crosscheck != InvalidSnapshot &&
        !EffectInSnapshot(state->newest, nullptr, crosscheck)) {
      state->result = TM_Updated;
    }
    if (state->result != TM_Ok) {
      LeaveQueue(relation, id, wanted, &in_queue);
      FillFailure(*state, id, failure);
      result.result = state->result;
      return result;
    }
    StorableRow before = DecodeHeld(relation, context.holder, context.columns);
    StorableRow flat = FlatRow(relation, slot);
    if (!toasted && NeedsToaster(relation, flat, &before)) {
      // The toaster writes and deletes for good: hold the row first, so that the update is certain.
      // No stronger than the update itself will: foreign keys must not wait for it.
      RowId locked = id;
      LeaveQueue(relation, id, wanted, &in_queue);
      if (Compare(relation, before, flat).key_changed) wanted = LockStrength::kExclusive;
      TM_Result lock = LockRow(context, &locked, cid, snapshot, wanted,
                               wait ? LockWaitBlock : LockWaitSkip,
                               TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, failure);
      if (lock != TM_Ok) {
        result.result = lock;
        return result;
      }
      // Locking looked at the row again: what was decoded before may point into a block that is
      // gone.
      before = DecodeHeld(relation, context.holder, context.columns);
      after = MakeStorable(relation, slot, &before, 0);
      toasted = true;
      continue;
    }
    if (!toasted) after = MakeStorable(relation, slot, &before, 0);
    Difference difference = Compare(relation, before, after);
    if (difference.key_changed && wanted != LockStrength::kExclusive) {
      LeaveQueue(relation, id, wanted, &in_queue);
      wanted = LockStrength::kExclusive;
      continue;
    }
    Slice packed = PackStorable(relation, context.columns, after);
    ItemPointerData tid;
    EncodeTid(RowId{id.block, id.slot, 0}, &tid);
    CheckForSerializableConflictIn(relation, &tid, id.block);
    bool in_place = !difference.indexed_changed && state->own_entries < kMaxOwnAlias;
    bool written =
        in_place ? WriteInPlace(context, id, xid, cid, packed, state, slot)
                 : WriteMove(context, id, xid, cid, difference.key_changed, packed, state, slot);
    if (!written) continue;
    // Once more: a serializable reader that locked the row between the first look and the write
    // read the old version and knows nothing of this one.
    CheckForSerializableConflictIn(relation, &tid, id.block);
    LeaveQueue(relation, id, wanted, &in_queue);
    slot->tts_tableOid = RelationGetRelid(relation);
    result.new_tid = !in_place;
    result.was_locked = state->own_lock || WasLockedByCommand(context.storage, id, cid);
    pgstat_count_heap_update(relation, in_place);
    return result;
  }
}

}  // namespace omendb
