#include "engine/row_life.h"

#include "engine/session.h"

extern "C" {
#include "access/transam.h"
}

namespace omendb {
namespace {

bool SeenByEveryone(const RowVersion& version, XidState state, TransactionId oldest_xmin) {
  if (version.meta.xid == 0) return true;
  return state == XidState::kCommitted &&
         TransactionIdPrecedes(ShortXid(version.meta), oldest_xmin);
}

}  // namespace

RowLifeInfo LifeOfSoleVersion(const VersionMeta& meta) {
  switch (StateOf(meta, nullptr)) {
    case XidState::kCommitted:
      return RowLifeInfo{RowLife::kLive, InvalidTransactionId, false,
                         false,          InvalidTransactionId, false};
    case XidState::kOwn:
      return RowLifeInfo{RowLife::kInsertInProgress, ShortXid(meta), true, false,
                         InvalidTransactionId,       false};
    case XidState::kInProgress:
      return RowLifeInfo{RowLife::kInsertInProgress, ShortXid(meta), false, false,
                         InvalidTransactionId,       false};
    case XidState::kAborted:
      break;
  }
  return RowLifeInfo{RowLife::kNone, InvalidTransactionId, false,
                     false,          InvalidTransactionId, false};
}

void JudgeRow(Relation relation, StorageId storage, const RowId& id, TransactionId oldest_xmin,
              RowHolder* holder, RowLifeInfo* info) {
  *info =
      RowLifeInfo{RowLife::kNone, InvalidTransactionId, false, false, InvalidTransactionId, false};
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  RowLife ended = RowLife::kNone;  // what a delete or move above the row says
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
      if (SeenByEveryone(version, state, oldest_xmin)) {
        info->died_by = ShortXid(version.meta);
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
    info->older_versions =
        kind == VersionKind::kUpdate && !SeenByEveryone(version, state, oldest_xmin);
    HoldRow(holder, version, RowId{id.block, id.slot, 0}, relation, storage);
    if (ended != RowLife::kNone) {
      info->life = ended;
    } else if (running) {
      info->life = kind == VersionKind::kInsert ? RowLife::kInsertInProgress
                   : state == XidState::kOwn    ? RowLife::kLive
                                                : RowLife::kUpdateInProgress;
      info->xid = ShortXid(version.meta);
      info->own = state == XidState::kOwn;
    } else {
      info->life = RowLife::kLive;
    }
    break;
  }
  cursor.Close();
  ReadUnpin();
}

}  // namespace omendb
