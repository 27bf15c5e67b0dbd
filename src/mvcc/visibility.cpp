#include "mvcc/visibility.h"

#include "pg/shared_state.h"

extern "C" {
#include "access/subtrans.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

constexpr uint8_t kKnownCommitted = kVersionCommitted | kVersionHintCommitted;
constexpr uint8_t kKnownAborted = kVersionAborted | kVersionHintAborted;

void Remember(std::atomic<uint8_t>* hints, uint8_t bit) {
  if (hints != nullptr) hints->fetch_or(bit, std::memory_order_relaxed);
}

bool HasVerdict(const VersionMeta& meta) {
  return meta.xid == 0 || (meta.flags & (kKnownCommitted | kKnownAborted)) != 0;
}

// The next xid as of some moment of the running transaction: asking takes a lock that all share.
FullXid RecentNextXid() {
  static FullXid next = 0;
  static LocalTransactionId asked_in = InvalidLocalTransactionId;
  if (asked_in != MyProc->lxid || asked_in == InvalidLocalTransactionId) {
    next = U64FromFullTransactionId(ReadNextFullTransactionId());
    asked_in = MyProc->lxid;
  }
  return next;
}

}  // namespace

FullXid WidenXid(TransactionId xid) {
  static TransactionId last = InvalidTransactionId;
  static FullXid wide = 0;
  static LocalTransactionId asked_in = InvalidLocalTransactionId;
  if (likely(xid == last && asked_in == MyProc->lxid && asked_in != InvalidLocalTransactionId)) {
    return wide;
  }
  FullTransactionId next = ReadNextFullTransactionId();
  uint32 epoch = EpochFromFullTransactionId(next);
  if (xid > XidFromFullTransactionId(next)) epoch--;
  wide = (static_cast<FullXid>(epoch) << 32) | xid;
  last = xid;
  asked_in = MyProc->lxid;
  return wide;
}

bool IsOwnVersion(const VersionMeta& meta) {
  return !HasVerdict(meta) && TransactionIdIsCurrentTransactionId(ShortXid(meta));
}

TransactionId ShortXidOrFrozen(const VersionMeta& meta) {
  constexpr FullXid kHalfLap = FullXid{1} << 31;
  if (meta.xid == 0 || meta.xid + kHalfLap <= RecentNextXid()) return FrozenTransactionId;
  return ShortXid(meta);
}

XidState StateOf(const VersionMeta& meta, std::atomic<uint8_t>* hints) {
  if (meta.xid == 0 || (meta.flags & kKnownCommitted) != 0) return XidState::kCommitted;
  if ((meta.flags & kKnownAborted) != 0) return XidState::kAborted;
  TransactionId xid = ShortXid(meta);
  if (TransactionIdIsCurrentTransactionId(xid)) return XidState::kOwn;
  // In progress first: a transaction leaves the procarray only after clog knows its end.
  if (TransactionIdIsInProgress(xid)) return XidState::kInProgress;
  if (TransactionIdDidCommit(xid)) {
    Remember(hints, kVersionHintCommitted);
    return XidState::kCommitted;
  }
  Remember(hints, kVersionHintAborted);
  return XidState::kAborted;
}

bool EffectInSnapshot(const VersionMeta& meta, std::atomic<uint8_t>* hints, Snapshot snapshot) {
  if (meta.xid == 0) return true;
  if ((meta.flags & kKnownAborted) != 0) return false;
  TransactionId xid = ShortXid(meta);
  if ((meta.flags & kKnownCommitted) != 0) {
    return meta.xid < WidenXid(snapshot->xmin) || !XidInMVCCSnapshot(xid, snapshot);
  }
  if (TransactionIdIsCurrentTransactionId(xid)) return meta.cid < snapshot->curcid;
  if (XidInMVCCSnapshot(xid, snapshot)) return false;
  if (TransactionIdDidCommit(xid)) {
    Remember(hints, kVersionHintCommitted);
    return true;
  }
  Remember(hints, kVersionHintAborted);
  return false;
}

bool EndedForEveryone(const VersionMeta& meta, struct GlobalVisState* horizon) {
  return meta.xid == 0 ||
         GlobalVisTestIsRemovableFullXid(horizon, FullTransactionIdFromU64(meta.xid));
}

bool SeenByEveryone(const VersionMeta& meta, XidState state, TransactionId oldest_xmin) {
  if (meta.xid == 0) return true;
  if (state != XidState::kCommitted) return false;
  return !TransactionIdIsValid(oldest_xmin) || meta.xid < WidenXid(oldest_xmin);
}

FullXid MissingBefore(TransactionId oldest_xmin) {
  return Max(WidenXid(oldest_xmin), g_shared->horizon.load());
}

bool LocksConflict(LockStrength held, LockStrength wanted) {
  // PostgreSQL's table of row-level lock conflicts; both orders agree.
  static constexpr bool kConflicts[4][4] = {
      {false, false, false, true},
      {false, false, true, true},
      {false, true, true, true},
      {true, true, true, true},
  };
  return kConflicts[static_cast<int>(held)][static_cast<int>(wanted)];
}

LockStrength ImpliedLock(const VersionMeta& meta) {
  if (meta.kind == VersionKind::kUpdate) return LockStrength::kNoKeyExclusive;
  if (meta.kind == VersionKind::kMove && (meta.flags & kVersionKeyUpdated) == 0) {
    return LockStrength::kNoKeyExclusive;
  }
  return LockStrength::kExclusive;
}

}  // namespace omendb
