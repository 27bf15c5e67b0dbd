#include "worker/ended_xids.h"

#include <algorithm>

#include "pg/server.h"

extern "C" {
#include "access/clog.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

// Long enough to be quick, short enough not to keep a flush waiting.
constexpr FullXid kStep = 1 << 18;

FullXid OldestInClog() {
  LWLockAcquire(XactTruncationLock, LW_SHARED);
  TransactionId oldest = ShmemVariableCache->oldestClogXid;
  LWLockRelease(XactTruncationLock);
  FullTransactionId next = ReadNextFullTransactionId();
  uint32 epoch = EpochFromFullTransactionId(next);
  if (oldest > XidFromFullTransactionId(next)) epoch--;
  return (static_cast<FullXid>(epoch) << 32) | oldest;
}

struct ClogRead {
  FullXid low, from, to;
  uint64_t* committed;
  XLogRecPtr commit_lsn;
  char failure[256];
};

// The states are read as they stand: a subtransaction that clog calls sub-committed after its top
// transaction has ended belongs to one that a crash ended.
bool Read(ClogRead* read) {
  MemoryContext context = CurrentMemoryContext;
  volatile bool done = false;
  PG_TRY();
  {
    for (FullXid full = read->from; full < read->to; full++) {
      auto xid = static_cast<TransactionId>(full);
      if (!TransactionIdIsNormal(xid)) continue;
      XLogRecPtr lsn;
      if (TransactionIdGetStatus(xid, &lsn) != TRANSACTION_STATUS_COMMITTED) continue;
      read->commit_lsn = std::max(read->commit_lsn, lsn);
      read->committed[(full - read->low) / 64] |= uint64_t{1} << (full - read->low) % 64;
    }
    done = true;
  }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    MemoryContextSwitchTo(context);
    error_context_stack = nullptr;
    ErrorData* error = CopyErrorData();
    snprintf(read->failure, sizeof(read->failure), "%s: %s", error->message,
             error->detail != nullptr ? error->detail : "");
    FreeErrorData(error);
    LWLockReleaseAll();
    pgstat_report_wait_end();
    FlushErrorState();
    RESUME_INTERRUPTS();
  }
  PG_END_TRY();
  return done;
}

}  // namespace

EndedXids::EndedXids(FullXid low, FullXid high)
    : low_(std::min(std::max(low, OldestInClog()), high)), high_(high), next_(low_) {
  committed_.resize((high_ - low_) / 64 + 1);
}

Status EndedXids::ReadOn(bool* done) {
  ClogRead read{low_, next_, std::min(next_ + kStep, high_), committed_.data(), commit_lsn_, ""};
  if (!Read(&read)) {
    return Status::Internal("could not look up the ends of transactions", read.failure);
  }
  next_ = read.to;
  commit_lsn_ = read.commit_lsn;
  *done = next_ == high_;
  if (*done && commit_lsn_ != 0 && !RecoveryInProgress()) XLogFlush(commit_lsn_);
  return Status::Ok();
}

}  // namespace omendb
