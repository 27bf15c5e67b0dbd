// Index entries that a session has put into the write buffer and not yet into the WAL: one record
// says many of them, instead of one each. A record costs as much as all else that an insert does
// to the buffer, and its head is larger than an entry.
//
// Elsewhere a change is logged first, and a flush brings the log to disk before the store. Here a
// flush may bring an entry to the store whose record is not yet written, and a crash or an abort
// may leave it without one. That does no harm, because
// - nobody but its transaction believes in the row it leads to, and the record is written before
//   the transaction commits or is prepared; so whoever replays the WAL has the entry before the row
//   is to be seen;
// - the row itself was logged before, and its TID never means another row, so what is left of an
//   ended transaction is an entry that leads to nothing, as every aborted insert leaves one;
// - a record may be replayed on a store that has its entries already: they count once;
// - who removes an entry does so when the transaction has ended, after its record.
// Heap uses TIDs again, even those of a row whose record a crash lost: its indexes log at once.
#pragma once

#include "base/index_entry.h"
#include "base/types.h"
#include "pg/write_gate.h"

namespace omendb {

// As LogAndApplyIndexEntries with one entry that comes to an index of an omendb table, but its
// record may be written later. `body` has room for IndexEntryBound(entry).
void ApplyIndexEntryAndLogLater(WriteTicket* ticket, Relation index, StorageId storage,
                                const IndexEntry& entry, char* body);

// Writes the records of all that is pending. The end of the transaction, the start of a
// subtransaction, and whatever else is written about an index do it by themselves.
void LogPendingIndexEntries();

}  // namespace omendb
