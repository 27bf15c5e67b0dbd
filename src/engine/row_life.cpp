#include "engine/row_life.h"

#include "engine/session.h"

extern "C" {
#include "access/transam.h"
}

namespace omendb {
namespace {

// Under an update in place: whether who does not see the update sees what it replaced.
bool OlderIsSeenByAll(RowCursor* cursor, TransactionId oldest_xmin) {
  RowVersion version;
  while (cursor->Next(&version)) {
    if (!CarriesRow(version.meta.kind)) continue;
    XidState state = StateOf(version.meta, version.hints);
    if (state == XidState::kAborted) continue;
    if (SeenByEveryone(version.meta, state, oldest_xmin)) return true;
    if (version.meta.kind == VersionKind::kInsert) return false;
  }
  return false;
}

}  // namespace

bool CountsAsLive(const RowLifeInfo& info) {
  return info.life == RowLife::kLive || info.life == RowLife::kUpdateInProgress ||
         (info.life == RowLife::kInsertInProgress && info.own) ||
         (info.life == RowLife::kDeleteInProgress && !info.own);
}

RowLifeInfo LifeOfSoleVersion(const VersionMeta& meta, TransactionId oldest_xmin) {
  RowLifeInfo info{};
  XidState state = StateOf(meta, nullptr);
  switch (state) {
    case XidState::kCommitted:
      info.life = RowLife::kLive;
      info.seen_by_all = meta.xid < WidenXid(oldest_xmin);
      break;
    case XidState::kOwn:
    case XidState::kInProgress:
      info.life = RowLife::kInsertInProgress;
      info.xid = ShortXid(meta);
      info.own = state == XidState::kOwn;
      break;
    case XidState::kAborted:
      info.life = RowLife::kNone;
      break;
  }
  return info;
}

void JudgeRow(Relation relation, StorageId storage, const RowId& id, TransactionId oldest_xmin,
              RowHolder* holder, RowLifeInfo* info) {
  *info = RowLifeInfo{};
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  RowLife ended = RowLife::kNone;  // what a delete or move above the row says
  bool updating = false;           // another transaction is updating the row in place
  info->died_unknown = true;
  while (cursor.Next(&version)) {
    info->died_unknown = false;
    VersionKind kind = version.meta.kind;
    if (kind == VersionKind::kLock || kind == VersionKind::kSpeculativeConfirm) continue;
    if (kind == VersionKind::kSpeculativeAbort) break;
    XidState state = StateOf(version.meta, version.hints);
    if (state == XidState::kAborted) continue;
    bool running = state == XidState::kOwn || state == XidState::kInProgress;
    if (!CarriesRow(kind)) {
      if (SeenByEveryone(version.meta, state, oldest_xmin)) {
        info->died_by = ShortXidOrFrozen(version.meta);
        info->died_unknown = version.meta.xid == 0;
        break;
      }
      ended = running ? RowLife::kDeleteInProgress : RowLife::kRecentlyDead;
      if (running) {
        info->xid = ShortXid(version.meta);
        info->own = state == XidState::kOwn;
      }
      continue;
    }
    if (state == XidState::kInProgress && kind == VersionKind::kUpdate) {
      // The row is what it was before, until the other transaction commits.
      updating = true;
      if (ended == RowLife::kNone) {
        info->life = RowLife::kUpdateInProgress;
        info->xid = ShortXid(version.meta);
      }
      continue;
    }
    info->older_versions = updating || (kind == VersionKind::kUpdate &&
                                        !SeenByEveryone(version.meta, state, oldest_xmin));
    HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
    if (ended != RowLife::kNone) {
      info->life = ended;
    } else if (running && kind == VersionKind::kInsert) {
      info->life = RowLife::kInsertInProgress;
      info->xid = ShortXid(version.meta);
      info->own = state == XidState::kOwn;
    } else if (!updating) {
      info->life = RowLife::kLive;
    }
    if (ended == RowLife::kNone) {
      info->seen_by_all = SeenByEveryone(version.meta, state, oldest_xmin) ||
                          (kind == VersionKind::kUpdate && OlderIsSeenByAll(&cursor, oldest_xmin));
    }
    break;
  }
  cursor.Close();
  ReadUnpin();
}

RowInSnapshot LookInSnapshot(Relation relation, StorageId storage, const RowId& id,
                             Snapshot snapshot, TransactionId oldest_xmin, RowHolder* holder) {
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  RowInSnapshot seen = RowInSnapshot::kNone;
  bool ended = false;
  while (cursor.Next(&version)) {
    VersionKind kind = version.meta.kind;
    if (kind == VersionKind::kLock || kind == VersionKind::kSpeculativeConfirm) continue;
    if (kind == VersionKind::kSpeculativeAbort) break;
    if (!EffectInSnapshot(version.meta, version.hints, snapshot)) continue;
    if (!CarriesRow(kind)) {
      if (SeenByEveryone(version.meta, XidState::kCommitted, oldest_xmin)) break;
      ended = true;
      continue;
    }
    HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
    seen = ended ? RowInSnapshot::kEnded : RowInSnapshot::kVisible;
    break;
  }
  cursor.Close();
  ReadUnpin();
  return seen;
}

bool LookBelow(Relation relation, StorageId storage, const RowId& id, Lsn lsn, RowHolder* holder) {
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  bool found = false;
  while (!found && cursor.Next(&version)) {
    if (version.meta.lsn >= lsn || !CarriesRow(version.meta.kind)) continue;
    found = StateOf(version.meta, version.hints) == XidState::kCommitted;
  }
  if (found) HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
  cursor.Close();
  ReadUnpin();
  return found;
}

void JudgeBlock(Relation relation, StorageId storage, const BlockRows& rows,
                TransactionId oldest_xmin, RowHolder* holder, BlockLife* life) {
  *life = BlockLife{0, 0, true, {}};
  for (uint32_t i = 0; i < rows.count; i++) {
    const VisibleRow& row = rows.rows[i];
    RowLifeInfo info;
    if (row.sole) {
      info = LifeOfSoleVersion(row.meta, oldest_xmin);
    } else {
      JudgeRow(relation, storage, RowId{rows.block, row.slot, 0}, oldest_xmin, holder, &info);
    }
    if (info.life == RowLife::kNone) continue;
    life->alive[row.slot / 64] |= uint64_t{1} << row.slot % 64;
    if (CountsAsLive(info)) life->live += 1;
    if (info.life == RowLife::kRecentlyDead) life->recently_dead += 1;
    life->seen_by_all = life->seen_by_all && info.seen_by_all;
  }
}

}  // namespace omendb
