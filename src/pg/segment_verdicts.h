// The transactions of a frozen segment and what became of them. Who may judge, and by which rules,
// is decided elsewhere: worker/verdicts.h for the guard, pg/write_buffer.cpp for recovery.
#pragma once

#include "buffer/segment.h"
#include "pg/server.h"

namespace omendb {

// The distinct transactions of a segment: open addressing, in palloc'd memory.
struct XidTable {
  FullXid* xids;  // 0 = unused
  Verdict* verdicts;
  size_t capacity;  // power of two
  size_t count;
  bool out_of_memory;
  FullXid last;
};

// False if memory is short: then there is nothing to free. All verdicts are kUnknown at first.
bool CollectXids(Segment segment, XidTable* table);
// Sets kVersionCommitted and kVersionAborted.
void MarkVerdicts(Segment segment, XidTable* table);
void FreeXids(XidTable* table);

// Recovery, hot standby's sessions included: what clog says for certain. A transaction that is not
// explicitly aborted may be prepared, or one that recovery has not come to the end of.
// *commit_lsn: raised to what must be on disk for the verdict to hold.
Verdict VerdictInRecovery(FullXid xid, XLogRecPtr* commit_lsn);

}  // namespace omendb
