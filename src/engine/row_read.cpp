#include "engine/row_read.h"

#include "engine/session.h"

extern "C" {
#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {

void NoteSkippedVersion(Relation relation, const RowVersion& version, Snapshot snapshot) {
  if (!CheckForSerializableConflictOutNeeded(relation, snapshot)) return;
  if (version.meta.xid == 0 || StateOf(version.meta, version.hints) == XidState::kAborted) return;
  TransactionId xid = ShortXid(version.meta);
  if (TransactionIdIsCurrentTransactionId(xid)) return;
  xid = SubTransGetTopmostTransaction(xid);
  if (TransactionIdPrecedes(xid, TransactionXmin)) return;
  if (TransactionIdEquals(xid, GetTopTransactionIdIfAny())) return;
  CheckForSerializableConflictOut(relation, xid, snapshot);
}

void LockRowForSerializable(Relation relation, const RowId& id, Snapshot snapshot) {
  if (!IsMVCCSnapshot(snapshot) || !CheckForSerializableConflictOutNeeded(relation, snapshot))
    return;
  ItemPointerData tid;
  EncodeTid(RowId{id.block, id.slot, 0}, &tid);
  PredicateLockTID(relation, &tid, snapshot, InvalidTransactionId);
}

namespace {

// What an alias counts. Not the insert, and not what confirms it: a flush makes one of the two.
bool CountsForAliases(VersionKind kind) {
  return kind != VersionKind::kInsert && kind != VersionKind::kSpeculativeConfirm &&
         kind != VersionKind::kSpeculativeAbort;
}

}  // namespace

int OwnOrdinal(const ReadView& view, Relation relation, StorageId storage, const RowId& id,
               Lsn entry_lsn, int* total) {
  Lsn first = FirstOwnLsn(relation);
  int own = 0, newer = -1;
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  while (cursor.Next(&version) && version.meta.lsn >= first) {
    if (StateOf(version.meta, version.hints) != XidState::kOwn) continue;
    if (!CountsForAliases(version.meta.kind)) continue;
    if (version.meta.lsn == entry_lsn) newer = own;
    own++;
  }
  cursor.Close();
  if (total != nullptr) *total = own;
  return newer < 0 ? 0 : own - newer;
}

uint8_t AliasOf(const ReadView& view, Relation relation, StorageId storage, const RowId& id,
                const RowVersion& version) {
  if (version.meta.kind != VersionKind::kUpdate || !IsOwnVersion(version.meta)) return 0;
  int ordinal = OwnOrdinal(view, relation, storage, id, version.meta.lsn, nullptr);
  return static_cast<uint8_t>(Min(ordinal, kAliasNewest));
}

namespace {

bool EndsRow(VersionKind kind) {
  return kind == VersionKind::kDelete || kind == VersionKind::kMove;
}

uint32_t SpeculativeTokenOf(const RowVersion& version) {
  constexpr size_t kSize = sizeof(uint32_t);
  if (version.payload.size() < kSize) return 0;
  return LoadFixed<uint32_t>(version.payload.data() + version.payload.size() - kSize);
}

// How a snapshot that is not MVCC takes one version.
enum class Take { kSkip, kRow, kNothing };

Take TakeSelf(const RowVersion& version) {
  switch (StateOf(version.meta, version.hints)) {
    case XidState::kAborted:
    case XidState::kInProgress:
      return Take::kSkip;
    default:
      return EndsRow(version.meta.kind) ? Take::kNothing : Take::kRow;
  }
}

Take TakeDirty(const RowVersion& version, bool confirmed, Snapshot snapshot) {
  TransactionId xid = ShortXid(version.meta);
  switch (StateOf(version.meta, version.hints)) {
    case XidState::kAborted:
      return Take::kSkip;
    case XidState::kInProgress:
      if (version.meta.kind == VersionKind::kInsert) {
        snapshot->xmin = xid;
        if ((version.meta.flags & kVersionSpeculative) != 0 && !confirmed) {
          snapshot->speculativeToken = SpeculativeTokenOf(version);
        }
        return Take::kRow;
      }
      // An update in place, a move or a delete that may yet abort or commit: the row below counts,
      // and the caller waits for its end.
      snapshot->xmax = xid;
      return Take::kSkip;
    default:
      return EndsRow(version.meta.kind) ? Take::kNothing : Take::kRow;
  }
}

Take TakeNonVacuumable(const RowVersion& version, Snapshot snapshot) {
  if (!EndsRow(version.meta.kind)) {
    return StateOf(version.meta, version.hints) == XidState::kAborted ? Take::kSkip : Take::kRow;
  }
  if (StateOf(version.meta, version.hints) != XidState::kCommitted) return Take::kSkip;
  return EndedForEveryone(version.meta, snapshot->vistest) ? Take::kNothing : Take::kSkip;
}

}  // namespace

bool WalkToVisible(RowCursor* cursor, Relation relation, Snapshot snapshot, RowVersion* version) {
  bool confirmed = false;
  TransactionId newer = InvalidTransactionId;
  while (cursor->Next(version)) {
    VersionKind kind = version->meta.kind;
    version->superseded_by = newer;
    if (kind == VersionKind::kLock) {
      newer = ShortXid(version->meta);
      continue;
    }
    if (kind == VersionKind::kSpeculativeConfirm) {
      confirmed = true;
      continue;
    }
    if (kind == VersionKind::kSpeculativeAbort) return false;
    Take take;
    switch (snapshot->snapshot_type) {
      case SNAPSHOT_MVCC:
        if (EffectInSnapshot(version->meta, version->hints, snapshot)) {
          take = EndsRow(kind) ? Take::kNothing : Take::kRow;
        } else {
          NoteSkippedVersion(relation, *version, snapshot);
          take = Take::kSkip;
        }
        break;
      case SNAPSHOT_SELF:
        take = TakeSelf(*version);
        break;
      case SNAPSHOT_DIRTY:
        take = TakeDirty(*version, confirmed, snapshot);
        break;
      case SNAPSHOT_NON_VACUUMABLE:
        take = TakeNonVacuumable(*version, snapshot);
        break;
      case SNAPSHOT_ANY:
        take = CarriesRow(kind) && StateOf(version->meta, version->hints) != XidState::kAborted
                   ? Take::kRow
                   : Take::kSkip;
        break;
      default:
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("omendb tables cannot be read with snapshots of type %d",
                               static_cast<int>(snapshot->snapshot_type))));
    }
    if (take == Take::kRow) return true;
    if (take == Take::kNothing) return false;
    newer = ShortXid(version->meta);
  }
  return false;
}

namespace {

// The n-th newest own entry's row version: the entry itself or what it locks.
bool WalkToOwnEntry(RowCursor* cursor, int from_newest, RowVersion* version) {
  int seen = 0;
  bool below = false;
  while (cursor->Next(version)) {
    XidState state = StateOf(version->meta, version->hints);
    if (state == XidState::kAborted) continue;
    if (!below && state == XidState::kOwn && CountsForAliases(version->meta.kind)) {
      if (++seen == from_newest) below = true;
    }
    if (below && CarriesRow(version->meta.kind) && state != XidState::kInProgress) return true;
  }
  return false;
}

bool WalkToNewest(RowCursor* cursor, RowVersion* version) {
  while (cursor->Next(version)) {
    if (!CarriesRow(version->meta.kind)) continue;
    XidState state = StateOf(version->meta, version->hints);
    if (state == XidState::kOwn || state == XidState::kCommitted) return true;
  }
  return false;
}

}  // namespace

namespace {

// A deferred exclusion constraint looks for the TID that its row was inserted under, and must know
// it again after an update in place. ON CONFLICT needs the alias: of versions that its own command
// made, and of rows that were there before the transaction.
bool IsRecheckedRow(const ReadView& view, Relation relation, StorageId storage, const RowId& id,
                    const RowVersion& found, Snapshot snapshot) {
  if (snapshot->snapshot_type != SNAPSHOT_DIRTY || found.meta.kind != VersionKind::kUpdate ||
      found.meta.cid >= GetCurrentCommandId(false)) {
    return false;
  }
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  bool own_row = false;
  while (cursor.Next(&version)) {
    if (version.meta.kind != VersionKind::kInsert) continue;
    own_row = version.meta.xid != 0 && StateOf(version.meta, version.hints) == XidState::kOwn;
    break;
  }
  cursor.Close();
  return own_row;
}

}  // namespace

bool ReadRow(Relation relation, StorageId storage, RowId id, Snapshot snapshot, RowHolder* holder) {
  if (storage == 0) return false;
  EnsureEngineSession();
  if (snapshot->snapshot_type == SNAPSHOT_DIRTY) {
    snapshot->xmin = snapshot->xmax = InvalidTransactionId;
    snapshot->speculativeToken = 0;
  }
  LockRowForSerializable(relation, id, snapshot);
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  bool found = WalkToVisible(&cursor, relation, snapshot, &version);
  if (!cursor.asked_store()) CountBlockAccess(relation, true);
  if (found) {
    RowId named{id.block, id.slot, 0};
    if (!IsRecheckedRow(view, relation, storage, named, version, snapshot)) {
      named.alias = AliasOf(view, relation, storage, named, version);
    }
    HoldRow(holder, version, named, relation, storage);
  }
  cursor.Close();
  ReadUnpin();
  return found;
}

bool ReadNamedVersion(Relation relation, StorageId storage, RowId id, RowHolder* holder) {
  if (storage == 0) return false;
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowVersion version;
  bool found = false;
  int own = 0;
  Lsn first_own = FirstOwnLsn(relation);
  if (first_own != ~Lsn{0}) OwnOrdinal(view, relation, storage, id, 0, &own);
  if (id.alias >= 1 && id.alias <= kMaxOwnAlias && own >= id.alias) {
    // Counted from the oldest, found from the newest: once more if another session has carried a
    // lock of ours to its new version in between.
    Lsn newest = NewestBufferedLsn(view, storage, id.block, id.slot);
    for (Lsn before = ~newest; before != newest;) {
      before = newest;
      OwnOrdinal(view, relation, storage, id, 0, &own);
      RowCursor cursor(&view, relation, storage, id.block, id.slot);
      found = WalkToOwnEntry(&cursor, own - id.alias + 1, &version);
      if (found) HoldRow(holder, version, id, relation, storage);
      cursor.Close();
      newest = NewestBufferedLsn(view, storage, id.block, id.slot);
    }
  } else if (id.alias != 0) {
    RowCursor cursor(&view, relation, storage, id.block, id.slot);
    found = WalkToNewest(&cursor, &version);
    if (found) HoldRow(holder, version, id, relation, storage);
    cursor.Close();
  } else {
    if (own > 0) {
      // The oldest own entry that superseded the row: what it stands on is what the plain TID
      // means.
      RowCursor cursor(&view, relation, storage, id.block, id.slot);
      bool superseded = false;
      RowVersion candidate;
      TransactionId newer = InvalidTransactionId;
      while (cursor.Next(&candidate) && (superseded || candidate.meta.lsn >= first_own)) {
        XidState state = StateOf(candidate.meta, candidate.hints);
        if (state == XidState::kAborted || state == XidState::kInProgress) continue;
        if (!CarriesRow(candidate.meta.kind) && !EndsRow(candidate.meta.kind)) continue;
        candidate.superseded_by = newer;
        if (superseded && CarriesRow(candidate.meta.kind)) {
          version = candidate;
          found = true;
          HoldRow(holder, version, id, relation, storage);
        }
        bool own_change = state == XidState::kOwn && (candidate.meta.kind == VersionKind::kUpdate ||
                                                      EndsRow(candidate.meta.kind));
        if (own_change) superseded = true;
        newer = ShortXid(candidate.meta);
        if (found && !own_change) break;
      }
      cursor.Close();
    }
    if (!found && ActiveSnapshotSet()) {
      RowCursor cursor(&view, relation, storage, id.block, id.slot);
      found = WalkToVisible(&cursor, relation, GetActiveSnapshot(), &version);
      if (found) HoldRow(holder, version, id, relation, storage);
      cursor.Close();
    }
    if (!found) {
      RowCursor cursor(&view, relation, storage, id.block, id.slot);
      found = WalkToNewest(&cursor, &version);
      if (found) HoldRow(holder, version, id, relation, storage);
      cursor.Close();
    }
  }
  ReadUnpin();
  return found;
}

bool ReadNewestRow(Relation relation, StorageId storage, RowId id, RowHolder* holder) {
  if (storage == 0) return false;
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  bool found = WalkToNewest(&cursor, &version);
  if (found) HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
  cursor.Close();
  ReadUnpin();
  return found;
}

bool RowIsVisible(Relation relation, StorageId storage, const RowHolder& holder,
                  Snapshot snapshot) {
  if (storage == 0) return false;
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, holder.id.block, holder.id.slot);
  RowVersion version;
  bool visible = WalkToVisible(&cursor, relation, snapshot, &version) &&
                 version.meta.xid == holder.meta.xid && version.meta.cid == holder.meta.cid;
  // Freezing between the two reads takes the xid away; the version is then the only one there is.
  if (!visible && holder.meta.xid != 0) {
    cursor.Close();
    RowCursor again(&view, relation, storage, holder.id.block, holder.id.slot);
    visible = WalkToVisible(&again, relation, snapshot, &version) && version.meta.xid == 0;
    again.Close();
  } else {
    cursor.Close();
  }
  ReadUnpin();
  return visible;
}

}  // namespace omendb
