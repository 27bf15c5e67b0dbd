// Index entries whose rows a scan found dead to everyone: what btree does by marking them in their
// page (kill_prior_tuple). Here they are removed, as VACUUM would have done, so that the next scan
// does not meet them again. Only of omendb tables: heap may use a TID again between the look at the
// row and the removal.
#pragma once

#include "base/index_entry.h"
#include "pg/server.h"

namespace omendb {

// Owned by a memory context.
struct DeadEntries;
// nullptr if entries of the index must be left to VACUUM. table: of the index, may be nullptr.
DeadEntries* NewDeadEntries(Relation index, Relation table, StorageId storage);

// Notes one; removes them when there are enough.
void NoteDeadEntry(DeadEntries* dead, Slice key, TidNumber tid);
// Removes what was noted; or drops it where that would have to wait or could fail: no reader is
// held up.
void RemoveDeadEntries(DeadEntries* dead);

}  // namespace omendb
