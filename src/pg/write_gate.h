// Admission of writers to the write buffer.
//
//   WriteTicket ticket = WriteGateEnter(bound);          // may wait, may ERROR
//   LWLockAcquire(StripeLock(storage, block), LW_EXCLUSIVE);
//   ... look at the row once more; to give up: release the lock, WriteGateLeave(&ticket) ...
//   LogAndApply...(&ticket, ...)                          // wal/log.h: critical section
//   LWLockRelease(...); WriteGateLeave(&ticket);
//
// The ticket holds the freeze lock shared: between Enter and Leave the active segment stays active.
// An ERROR in between releases the LWLock as always; the reservation then stays taken until the
// segment is recycled: by the time anybody could give it back, that may have happened already.
// Several stripe locks are taken in the order of their addresses. Lock order: freeze lock, stripe
// lock, then whatever XLogInsert takes.
#pragma once

#include "buffer/segment.h"
#include "pg/server.h"

namespace omendb {

struct WriteTicket {
  Segment segment;  // the active one
  size_t reserved;  // bytes not yet applied
};

// Waits for room (wait event, cancellable), for the guard to be armed and slows down in proportion
// to compaction debt. ERRORs: disk_full while the store cannot write; admin_shutdown when the
// buffer is closed for good; read_only_sql_transaction in recovery or single-user mode;
// program_limit_exceeded if bytes is more than a segment can ever hold (the message names
// omendb.write_buffer_size). REQUIRES: the caller has its xid already; no LWLock held.
WriteTicket WriteGateEnter(size_t bytes);
// As WriteGateEnter, but false where that would wait, slow down or raise.
bool WriteGateTryEnter(size_t bytes, WriteTicket* ticket);
void WriteGateLeave(WriteTicket* ticket);

// Largest bytes that WriteGateEnter takes.
size_t WriteGateLimit();

// The lock for changes to the rows of one block.
LWLock* StripeLock(StorageId storage, BlockNo block);

}  // namespace omendb
