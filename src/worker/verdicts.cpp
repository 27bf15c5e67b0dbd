#include "worker/verdicts.h"

#include <algorithm>

#include "mvcc/visibility.h"
#include "pg/failure_point.h"
#include "pg/shared_state.h"

extern "C" {
#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

// The distinct transactions of a segment: open addressing, in palloc'd memory.
struct XidTable {
  FullXid* xids;  // 0 = unused
  Verdict* verdicts;
  size_t capacity;  // power of two
  size_t count;
  bool out_of_memory;
  FullXid last;
};

size_t Position(const XidTable& table, FullXid xid) {
  size_t mask = table.capacity - 1;
  size_t at = (xid * 0x9e3779b97f4a7c15ull >> 32) & mask;
  while (table.xids[at] != 0 && table.xids[at] != xid) at = (at + 1) & mask;
  return at;
}

bool Allocate(XidTable* table, size_t capacity) {
  constexpr int kFlags = MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO;
  table->xids = static_cast<FullXid*>(
      MemoryContextAllocExtended(CurrentMemoryContext, capacity * sizeof(FullXid), kFlags));
  table->verdicts = static_cast<Verdict*>(
      MemoryContextAllocExtended(CurrentMemoryContext, capacity * sizeof(Verdict), kFlags));
  table->capacity = capacity;
  return table->xids != nullptr && table->verdicts != nullptr;
}

void Add(XidTable* table, FullXid xid) {
  size_t at = Position(*table, xid);
  if (table->xids[at] == xid) return;
  table->xids[at] = xid;
  if (++table->count < table->capacity / 2) return;
  XidTable larger = *table;
  if (!Allocate(&larger, table->capacity * 2)) {
    table->out_of_memory = true;
    return;
  }
  for (size_t i = 0; i < table->capacity; i++) {
    if (table->xids[i] != 0) larger.xids[Position(larger, table->xids[i])] = table->xids[i];
  }
  pfree(table->xids);
  pfree(table->verdicts);
  *table = larger;
}

void CollectXid(void* context, FullXid xid, std::atomic<uint8_t>*) {
  auto* table = static_cast<XidTable*>(context);
  if (xid == table->last || table->out_of_memory) return;
  table->last = xid;
  Add(table, xid);
}

void MarkVerdict(void* context, FullXid xid, std::atomic<uint8_t>* flags) {
  const auto* table = static_cast<const XidTable*>(context);
  switch (table->verdicts[Position(*table, xid)]) {
    case Verdict::kCommitted:
      flags->fetch_or(kVersionCommitted);
      break;
    case Verdict::kAborted:
      flags->fetch_or(kVersionAborted);
      break;
    case Verdict::kUnknown:
      break;
  }
}

// While it stands, RecentXmin is right and nothing that the tests look up is truncated away.
void TakeSnapshot() {
  static SnapshotData snapshot = {};
  snapshot.snapshot_type = SNAPSHOT_MVCC;
  GetSnapshotData(&snapshot);
}

void DropSnapshot() { MyProc->xmin = InvalidTransactionId; }

// REQUIRES: TakeSnapshot. *commit_lsn: raised to what must be on disk for the verdict to hold.
Verdict Judge(FullXid full, XLogRecPtr* commit_lsn) {
  if (full == kFrozenXid) return Verdict::kCommitted;
  auto xid = static_cast<TransactionId>(full);
  if (!TransactionIdIsNormal(xid)) return Verdict::kUnknown;
  // More than half a lap behind: the 32-bit number would be taken for another transaction.
  uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
  if (full >= next || next - full >= (uint64{1} << 31) - 1) return Verdict::kUnknown;
  if (TransactionIdIsInProgress(xid)) return Verdict::kUnknown;
  if (!TransactionIdDidCommit(xid)) return Verdict::kAborted;
  *commit_lsn = std::max(*commit_lsn, TransactionIdGetCommitLSN(xid));
  return Verdict::kCommitted;
}

// An ERROR (an unreadable clog page) leaves that transaction without a verdict. It must not keep
// the caller from going on: the same page would fail it again for ever, and flushes, checkpoints
// and the shutdown wait for it. REQUIRES: TakeSnapshot, no locks held. *reported: one ERROR of a
// batch is enough in the log.
Verdict JudgeOrGiveUp(FullXid full, XLogRecPtr* commit_lsn, bool* reported) {
  MemoryContext context = CurrentMemoryContext;
  volatile Verdict verdict = Verdict::kUnknown;
  PG_TRY();
  { verdict = Judge(full, commit_lsn); }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    error_context_stack = nullptr;
    verdict = Verdict::kUnknown;
    if (!*reported) EmitErrorReport();
    *reported = true;
    LWLockReleaseAll();
    pgstat_report_wait_end();
    MemoryContextSwitchTo(context);
    FlushErrorState();
    RESUME_INTERRUPTS();
  }
  PG_END_TRY();
  return verdict;
}

}  // namespace

void JudgeSegment(int index) {
  FailurePoint("before_judge");
  SegmentSlot* slot = &g_shared->segments[index];
  Segment segment = SegmentAt(index);
  XidTable table = {};
  bool judge = Allocate(&table, 1024);
  if (judge) {
    segment.VisitXids(CollectXid, &table);
    judge = !table.out_of_memory;
  }
  XLogRecPtr lsn = segment.last_lsn();
  if (judge) {
    TakeSnapshot();
    bool reported = false;
    for (size_t i = 0; i < table.capacity; i++) {
      if (table.xids[i] != 0) table.verdicts[i] = JudgeOrGiveUp(table.xids[i], &lsn, &reported);
    }
    DropSnapshot();
  }
  if (lsn != 0) XLogFlush(lsn);
  // Without verdicts the versions keep their transaction ids; that costs readers, not rows.
  if (judge) segment.VisitXids(MarkVerdict, &table);
  g_shared->counters.judged_xids += table.count;
  slot->state = SegmentState::kJudged;
  FailurePoint("after_judge");
  WakeStoreWorker();
}

void AnswerOracle() {
  OracleMailbox* mailbox = &g_shared->oracle;
  if (mailbox->state != OracleState::kAsked) return;
  XLogRecPtr lsn = 0;
  TakeSnapshot();
  bool reported = false;
  for (uint32_t i = 0; i < mailbox->count; i++) {
    mailbox->verdicts[i] = JudgeOrGiveUp(mailbox->xids[i], &lsn, &reported);
  }
  DropSnapshot();
  if (lsn != 0) XLogFlush(lsn);
  mailbox->state = OracleState::kAnswered;
  WakeStoreWorker();
}

void PublishHorizon() {
  TransactionId oldest = GetOldestNonRemovableTransactionId(nullptr);
  if (!TransactionIdIsNormal(oldest)) return;
  FullXid horizon = WidenXid(oldest);
  if (horizon > g_shared->horizon) g_shared->horizon = horizon;
}

}  // namespace omendb
