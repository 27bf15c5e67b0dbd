// Which versions a snapshot sees: PostgreSQL's rules on OmenDB's versions. No combo command ids, no
// multixacts: every version has its own (xid, cid), and a row's versions form a list, newest first.
//
// Hints: where the caller has a flag byte in shared memory it passes it along, and the end of a
// transaction is remembered there. Hints never leave memory; what is persisted are verdicts.
#pragma once

#include <atomic>

#include "base/types.h"
#include "pg/server.h"

namespace omendb {

enum class XidState { kOwn, kInProgress, kCommitted, kAborted };

// REQUIRES, for more than showing it: the version is of a transaction that ended less than half a
// lap ago. One without a verdict is: VACUUM sees to it.
inline TransactionId ShortXid(const VersionMeta& meta) {
  return static_cast<TransactionId>(meta.xid);
}

// The 64-bit form of an xid that is not ahead of the next one to be given out and less than half a
// lap behind it: an xmin, a horizon. Cheap for the same xid again within a transaction.
FullXid WidenXid(TransactionId xid);

// True if the version was made by the running transaction. Versions with a verdict stay in the
// store for ever with their full xid, so its lower half alone says nothing.
bool IsOwnVersion(const VersionMeta& meta);

// For the server's 32-bit comparisons: the frozen xid once the real one would be taken for a later.
TransactionId ShortXidOrFrozen(const VersionMeta& meta);

// The state now, not by any snapshot. May read clog.
XidState StateOf(const VersionMeta& meta, std::atomic<uint8_t>* hints);

// True if the version's effect (a row, a delete, a move) belongs to what an MVCC snapshot sees.
bool EffectInSnapshot(const VersionMeta& meta, std::atomic<uint8_t>* hints, Snapshot snapshot);

// True if the transaction of the version ended so long ago that every snapshot knows its end.
bool EndedForEveryone(const VersionMeta& meta, struct GlobalVisState* horizon);

// True if every snapshot sees the version, or the delete or move, whose transaction is in this
// state. No horizon (invalid): nobody has an older snapshot than now.
bool SeenByEveryone(const VersionMeta& meta, XidState state, TransactionId oldest_xmin);

// What ended before it may be missing: by the caller's own horizon, or since compaction has thrown
// it away by the store's, which may be the later one. For standbys, whose snapshots may be older
// than both; asked after the last look at the rows.
FullXid MissingBefore(TransactionId oldest_xmin);

// Whether a lock of strength `held` by one transaction keeps another from getting `wanted`.
bool LocksConflict(LockStrength held, LockStrength wanted);

// The row lock that a version implies while its transaction runs.
LockStrength ImpliedLock(const VersionMeta& meta);

}  // namespace omendb
