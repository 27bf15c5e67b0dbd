// How alive a row is, for index builds, ANALYZE and VACUUM: as HeapTupleSatisfiesVacuum, per row.
#pragma once

#include "engine/block_scan.h"

namespace omendb {

enum class RowLife {
  kNone,  // nothing there, or dead to everyone
  kLive,
  kRecentlyDead,      // deleted or moved; some snapshot may still see it
  kInsertInProgress,  // inserted by a running transaction (maybe the own one)
  kDeleteInProgress,  // deleted or moved by a running transaction (maybe the own one)
  kUpdateInProgress,  // updated in place by another running transaction
};

struct RowLifeInfo {
  RowLife life;
  TransactionId xid;    // of the running transaction
  bool own;             // that one is the current transaction
  bool older_versions;  // some snapshot may see another version under the same TID
  bool seen_by_all;     // every snapshot sees some version of the row (set by JudgeRow)
  // kNone: the last transaction that ended the row. Invalid if no snapshot ever saw it (its insert
  // aborted); died_unknown if the store has forgotten already.
  TransactionId died_by;
  bool died_unknown;
};

// Judges one row; leaves its newest version in the holder if there is any that counts.
void JudgeRow(Relation relation, StorageId storage, const RowId& id, TransactionId oldest_xmin,
              RowHolder* holder, RowLifeInfo* info);

// What an MVCC snapshot says of a row, for indexes that are built beside writers.
enum class RowInSnapshot {
  kNone,  // not there yet, or dead to everyone
  kVisible,
  kEnded,  // deleted or moved; some older snapshot, if only of a standby, may still see it
};
// Leaves the version in the holder unless it is kNone.
RowInSnapshot LookInSnapshot(Relation relation, StorageId storage, const RowId& id,
                             Snapshot snapshot, TransactionId oldest_xmin, RowHolder* holder);

// The version that the one with this LSN has replaced under the same TID. REQUIRES: that one is of
// a transaction that has committed.
bool LookBelow(Relation relation, StorageId storage, const RowId& id, Lsn lsn, RowHolder* holder);

// Whether VACUUM and ANALYZE count the row as live. As for heap: also what the current transaction
// inserted and what another one is about to delete.
bool CountsAsLive(const RowLifeInfo& info);

// The same for a row that has no other version than this one.
RowLifeInfo LifeOfSoleVersion(const VersionMeta& meta, TransactionId oldest_xmin);

// All the rows of a block, for VACUUM.
struct BlockLife {
  double live, recently_dead;
  // Every TID of the block is a row that every snapshot sees, or is dead to all.
  bool seen_by_all;
  // Slots that are not dead to all.
  uint64_t alive[kSlotsPerBlock / 64];
};
// `rows` holds the block's rows under SnapshotAny.
void JudgeBlock(Relation relation, StorageId storage, const BlockRows& rows,
                TransactionId oldest_xmin, RowHolder* holder, BlockLife* life);

}  // namespace omendb
