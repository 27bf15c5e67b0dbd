// Looks at a row before it is changed or locked: which version is the newest, whose, and who is in
// the way.
#pragma once

#include "engine/row_read.h"

extern "C" {
#include "access/tableam.h"
#include "nodes/lockoptions.h"
#include "storage/lmgr.h"
}

namespace omendb {

// A lock of another running transaction that does not conflict: an update must carry it along, so
// that all live locks stand above the newest row version.
struct CarriedLock {
  FullXid xid;
  LockStrength strength;
};
inline constexpr int kMaxCarriedLocks = 64;

struct RowState {
  // TM_Ok: the newest version is the one that the TID and the snapshot mean. TM_Updated: it is not,
  // or the row moved on (moved). TM_BeingModified: a running transaction changed it (wait_for).
  // TM_Invisible, TM_SelfModified, TM_Deleted: as for heap.
  TM_Result result;
  bool has_newest;         // `newest` and the holder are filled: TM_Ok, or TM_Updated without moved
  VersionMeta newest;      // newest row version that is not aborted
  TransactionId wait_for;  // first conflicting transaction, changer or locker; Invalid = none
  bool moved;              // committed kMove: to moved_to
  bool key_changed;        // ... with another key
  bool moving;             // a running transaction moves it to moved_to, which does not conflict
  bool moved_partition;    // committed delete that moved the row to another partition
  RowId moved_to;
  TransactionId changer;  // xmax and cmax for TM_FailureData
  CommandId changer_cid;
  int own_entries;            // entries that this transaction made on the row, inserts apart
  int newest_ordinal;         // own ordinal of `newest`, 0 if it is not one of them
  bool own_lock;              // this transaction holds a lock on `newest` ...
  LockStrength own_strength;  // ... of this strength
  int own_lock_ordinal;
  Lsn newest_buffered;  // NewestBufferedLsn when it was looked at
  uint64_t generation;      // of the store then; decides where the buffer has nothing of the row
  int carried;
  CarriedLock carried_locks[kMaxCarriedLocks];
};

// Pins a view itself. Fills the holder with the newest row version if there is one.
void ExamineRow(Relation relation, StorageId storage, const RowId& id, CommandId cid,
                Snapshot snapshot, LockStrength wanted, RowHolder* holder, RowState* state);

// Waits for state->wait_for as the policy says. False: would block. `have_lock` remembers whether
// the queue's heavyweight lock on the TID is held; give it back with LeaveQueue. Whoever has a lock
// on the row already does not queue: those in the queue wait for it.
bool WaitForRow(Relation relation, const RowId& id, const RowState& state, LockStrength wanted,
                LockWaitPolicy policy, XLTW_Oper operation, bool* have_lock);
void LeaveQueue(Relation relation, const RowId& id, LockStrength wanted, bool* have_lock);

// The alias under which the transaction may come back to the version that it holds the newest
// entry on.
uint8_t AliasForOrdinal(int ordinal);

void FillFailure(const RowState& state, const RowId& id, TM_FailureData* failure);

}  // namespace omendb
