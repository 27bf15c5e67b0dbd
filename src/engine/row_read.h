// Reads one row by its TID under any kind of snapshot.
//
// A TID names a version (DESIGN §3). Alias n = 1 .. 14 is the n-th entry (update or lock) that the
// running transaction made on the row, oldest first: for an update that version, for a lock the
// version under it. Alias 15 is the newest version. A plain TID (alias 0) is the row: what the
// snapshot sees of it.
#pragma once

#include "engine/row_holder.h"

namespace omendb {

// True and fills the holder if the snapshot sees a row. SnapshotDirty's fields are set as heap
// does. For versions made by the running transaction holder->id carries the alias, otherwise it is
// plain.
bool ReadRow(Relation relation, StorageId storage, RowId id, Snapshot snapshot, RowHolder* holder);

// The version that the TID names, whether or not a snapshot sees it (SnapshotAny). Plain TID: what
// the active snapshot sees; if this transaction superseded the row, what it superseded first.
bool ReadNamedVersion(Relation relation, StorageId storage, RowId id, RowHolder* holder);

// Newest row version that is neither aborted nor of a running other transaction.
bool ReadNewestRow(Relation relation, StorageId storage, RowId id, RowHolder* holder);

// True if the version in the holder is what the snapshot sees of its row.
bool RowIsVisible(Relation relation, StorageId storage, const RowHolder& holder, Snapshot snapshot);

// Ordinal of the transaction's own entry with the given LSN on the row (1 = its oldest), 0 if it is
// not one of its entries. REQUIRES: the view is pinned.
int OwnOrdinal(const ReadView& view, Relation relation, StorageId storage, const RowId& id,
               Lsn entry_lsn, int* total);

// Walks the cursor to the version that the snapshot takes; false if it sees no row.
bool WalkToVisible(RowCursor* cursor, Relation relation, Snapshot snapshot, RowVersion* version);

// The alias under which a version made by this transaction is known, 0 for all others.
uint8_t AliasOf(const ReadView& view, Relation relation, StorageId storage, const RowId& id,
                const RowVersion& version);

// Under a serializable snapshot, leaves the mark by which writers find who read the row. Before the
// row is looked at: whoever writes it after the look must find the mark.
void LockRowForSerializable(Relation relation, const RowId& id, Snapshot snapshot);

// Reports a read-write conflict out, where the snapshot is serializable and skipped a version.
void NoteSkippedVersion(Relation relation, const RowVersion& version, Snapshot snapshot);

}  // namespace omendb
