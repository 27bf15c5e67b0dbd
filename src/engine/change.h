// Inserts, updates, deletes and locks rows. What the table access method's callbacks call.
//
// All of them: take the transaction id first (so that a commit waits for its WAL), look at the row
// without a lock, then enter the write gate and take the stripe lock, make sure that nothing was
// added to the row since, and log and apply in one critical section.
#pragma once

#include "engine/row_bytes.h"
#include "engine/row_state.h"

namespace omendb {

// What a modification needs to know of the statement.
struct ChangeContext {
  Relation relation;
  StorageId storage;
  const Column* columns;  // of the relation's current descriptor
  RowHolder* holder;      // scratch for the old row
};

// Inserts the slot's row; sets tts_tid. speculative_token 0 = plain insert.
void InsertRow(const ChangeContext& context, TupleTableSlot* slot, CommandId cid, int options,
               uint32_t speculative_token);
// Inserts many rows, whole images where it pays; sets every tts_tid.
void InsertRows(const ChangeContext& context, TupleTableSlot** slots, int count, CommandId cid,
                int options);
// Confirms or takes back a speculative insert of this command.
void CompleteSpeculative(const ChangeContext& context, TupleTableSlot* slot, bool succeeded);

struct UpdateResult {
  TM_Result result;
  LockTupleMode lock_mode;
  bool new_tid;     // indexes need entries
  bool was_locked;  // this transaction had locked the row before
};
UpdateResult UpdateRow(const ChangeContext& context, const RowId& id, TupleTableSlot* slot,
                       CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                       TM_FailureData* failure);

TM_Result DeleteRow(const ChangeContext& context, const RowId& id, CommandId cid, Snapshot snapshot,
                    Snapshot crosscheck, bool wait, bool moved_partition, TM_FailureData* failure);

// Locks a row and leaves the locked version in the holder. *id is where it was found in the end,
// with the alias under which an update by this transaction means exactly that version. TM_Invisible
// leaves the row in the holder if this very command wrote it (ON CONFLICT), else meta.xid is 0.
TM_Result LockRow(const ChangeContext& context, RowId* id, CommandId cid, Snapshot snapshot,
                  LockStrength strength, LockWaitPolicy policy, uint8 flags,
                  TM_FailureData* failure);
// Whether the last row that this session locked is this one, and the same command did it: a version
// of one's own is locked without an entry.
bool WasLockedByCommand(StorageId storage, const RowId& id, CommandId cid);

}  // namespace omendb
