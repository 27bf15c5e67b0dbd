#include "worker/verdicts.h"

#include <algorithm>

#include "mvcc/visibility.h"
#include "pg/failure_point.h"
#include "pg/segment_verdicts.h"
#include "pg/shared_state.h"

extern "C" {
#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
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

// While it stands, RecentXmin is right and nothing that the tests look up is truncated away.
void TakeSnapshot() {
  static SnapshotData snapshot = {};
  snapshot.snapshot_type = SNAPSHOT_MVCC;
  GetSnapshotData(&snapshot);
}

void DropSnapshot() { MyProc->xmin = InvalidTransactionId; }

// REQUIRES: TakeSnapshot. *commit_lsn: raised to what must be on disk for the verdict to hold.
Verdict Judge(FullXid full, bool in_recovery, XLogRecPtr* commit_lsn) {
  if (full == kFrozenXid) return Verdict::kCommitted;
  auto xid = static_cast<TransactionId>(full);
  if (!TransactionIdIsNormal(xid)) return Verdict::kUnknown;
  // More than half a lap behind: the 32-bit number would be taken for another transaction.
  uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
  if (full >= next || next - full >= (uint64{1} << 31) - 1) return Verdict::kUnknown;
  if (TransactionIdIsInProgress(xid)) return Verdict::kUnknown;
  if (in_recovery) return VerdictInRecovery(full, commit_lsn);
  if (!TransactionIdDidCommit(xid)) return Verdict::kAborted;
  *commit_lsn = std::max(*commit_lsn, TransactionIdGetCommitLSN(xid));
  return Verdict::kCommitted;
}

// An ERROR (an unreadable clog page) leaves that transaction without a verdict. It must not keep
// the caller from going on: the same page would fail it again for ever, and flushes, checkpoints
// and the shutdown wait for it. REQUIRES: TakeSnapshot, no locks held. *reported: one ERROR of a
// batch is enough in the log.
Verdict JudgeOrGiveUp(FullXid full, bool in_recovery, XLogRecPtr* commit_lsn, bool* reported) {
  MemoryContext context = CurrentMemoryContext;
  volatile Verdict verdict = Verdict::kUnknown;
  PG_TRY();
  { verdict = Judge(full, in_recovery, commit_lsn); }
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
  XidTable table;
  bool judge = CollectXids(segment, &table);
  XLogRecPtr lsn = segment.last_lsn();
  if (judge) {
    TakeSnapshot();
    bool reported = false;
    for (size_t i = 0; i < table.capacity; i++) {
      if (table.xids[i] != 0) {
        table.verdicts[i] = JudgeOrGiveUp(table.xids[i], false, &lsn, &reported);
      }
    }
    DropSnapshot();
  }
  if (lsn != 0) XLogFlush(lsn);
  // Without verdicts the versions keep their transaction ids; that costs readers, not rows.
  if (judge) {
    MarkVerdicts(segment, &table);
    g_shared->counters.judged_xids += table.count;
    FreeXids(&table);
  }
  slot->state = SegmentState::kJudged;
  FailurePoint("after_judge");
  WakeStoreWorker();
}

void AnswerOracle() {
  OracleMailbox* mailbox = &g_shared->oracle;
  if (mailbox->state != OracleState::kAsked) return;
  XLogRecPtr lsn = 0;
  bool in_recovery = RecoveryInProgress();
  TakeSnapshot();
  bool reported = false;
  for (uint32_t i = 0; i < mailbox->count; i++) {
    mailbox->verdicts[i] = JudgeOrGiveUp(mailbox->xids[i], in_recovery, &lsn, &reported);
  }
  DropSnapshot();
  // clog has no LSN of what redo aborted. The whole of what was replayed must be replayed again
  // then before anybody sees the store: this moves minRecoveryPoint.
  TimeLineID unused;
  if (in_recovery) lsn = std::max(lsn, GetCurrentReplayRecPtr(&unused));
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
