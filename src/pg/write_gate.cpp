#include "pg/write_gate.h"

#include <algorithm>

#include "pg/failure_point.h"
#include "pg/guard.h"
#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/shutdown.h"
#include "pg/store_failure.h"
#include "pg/write_buffer.h"

extern "C" {
#include "access/xlog.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

// A writer pays its compaction debt in sleeps of at least this, at most that.
constexpr uint64_t kShortestDelayUs = 2000;
constexpr uint64_t kLongestDelayUs = 100 * 1000;
uint64_t g_owed_us = 0;

// Whatever cannot change while the buffer is open.
void CheckWritable(size_t bytes) {
  if (!IsUnderPostmaster) {
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("cannot write to omendb tables in single-user mode"),
                    errhint("Start the server normally.")));
  }
  if (RecoveryInProgress()) {
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("cannot write to omendb tables during recovery")));
  }
  if (bytes > WriteGateLimit()) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("row is too large for the write buffer"),
                    errdetail("The change takes %zu bytes; a buffer segment holds %zu.", bytes,
                              WriteGateLimit()),
                    errhint("Raise \"omendb.write_buffer_size\" and restart the server.")));
  }
}

[[noreturn]] void RaiseClosed() {
  ereport(ERROR, (errcode(ERRCODE_ADMIN_SHUTDOWN),
                  errmsg("the write buffer is closed: the server is shutting down")));
  pg_unreachable();
}

// A guard that was terminated alone closed the buffer too, and its successor opens it again.
void WaitUntilAdmitted() {
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (!g_shared->armed || g_shared->closed) {
    if (g_shared->closed && ServerIsStopping()) {
      ConditionVariableCancelSleep();
      RaiseClosed();
    }
    ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kArmed));
  }
  ConditionVariableCancelSleep();
}

bool FreeSegmentExists() {
  for (const SegmentSlot& slot : g_shared->segments) {
    if (slot.state == SegmentState::kFree) return true;
  }
  return false;
}

void WaitForFreeSegment() {
  instr_time start, end;
  INSTR_TIME_SET_CURRENT(start);
  ConditionVariablePrepareToSleep(&g_shared->buffer_space);
  while (!FreeSegmentExists() && !g_shared->closed) {
    if (g_shared->write_failure != 0) {
      ConditionVariableCancelSleep();
      RaiseWriteFailure();
    }
    ConditionVariableTimedSleep(&g_shared->buffer_space, 1000, WaitEventOf(Wait::kBufferSpace));
  }
  ConditionVariableCancelSleep();
  INSTR_TIME_SET_CURRENT(end);
  INSTR_TIME_SUBTRACT(end, start);
  g_shared->counters.stalls++;
  g_shared->counters.stalled_us += INSTR_TIME_GET_MICROSEC(end);
}

void PayCompactionDebt(size_t bytes) {
  uint64_t us_per_mb = g_shared->delay_us_per_mb.load(std::memory_order_relaxed);
  if (us_per_mb == 0) {
    g_owed_us = 0;
    return;
  }
  g_owed_us += us_per_mb * bytes >> 20;
  if (g_owed_us < kShortestDelayUs) return;
  uint64_t delay = std::min(g_owed_us, kLongestDelayUs);
  g_owed_us = 0;
  g_shared->counters.delayed_us += delay;
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
            static_cast<long>(delay / 1000), WaitEventOf(Wait::kCompactionDebt));
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

}  // namespace

size_t WriteGateLimit() { return SegmentAt(0).capacity(); }

WriteTicket WriteGateEnter(size_t bytes) {
  VisitFailurePoint("before_write_gate");
  CheckWritable(bytes);
  Assert(!LWLockHeldByMe(FreezeLock()));
  if (OwnSessionSlot()->pin != kNoPin) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("write admission asked for while a read view is pinned")));
  }
  EnsureStoreOpen();
  PayCompactionDebt(bytes);
  for (;;) {
    // Shared acquirers would barge past whoever waits to freeze.
    if (g_shared->freeze_wanted) {
      LWLockAcquire(FreezeQueueLock(), LW_SHARED);
      LWLockRelease(FreezeQueueLock());
    }
    LWLockAcquire(FreezeLock(), LW_SHARED);
    if (!g_shared->armed || g_shared->closed) {
      LWLockRelease(FreezeLock());
      WaitUntilAdmitted();
      continue;
    }
    int active = g_shared->active;
    uint64_t sequence = g_shared->segments[active].sequence;
    WriteTicket ticket{SegmentAt(active), bytes};
    if (ticket.segment.Reserve(bytes)) {
      VisitFailurePoint("after_write_gate");
      return ticket;
    }
    LWLockRelease(FreezeLock());

    FreezeRequest request;
    request.only_sequence = sequence;
    uint64_t unused;
    if (FreezeActiveSegment(request, &unused) == Freeze::kNoFreeSegment) WaitForFreeSegment();
    CHECK_FOR_INTERRUPTS();
  }
}

bool WriteGateTryEnter(size_t bytes, WriteTicket* ticket) {
  if (!IsUnderPostmaster || RecoveryInProgress() || bytes > WriteGateLimit() ||
      g_shared->store_state != StoreState::kOpen || g_shared->write_failure != 0 ||
      g_shared->delay_us_per_mb != 0 || g_shared->freeze_wanted ||
      OwnSessionSlot()->pin != kNoPin) {
    return false;
  }
  LWLockAcquire(FreezeLock(), LW_SHARED);
  if (g_shared->armed && !g_shared->closed) {
    *ticket = {SegmentAt(g_shared->active), bytes};
    if (ticket->segment.Reserve(bytes)) return true;
  }
  LWLockRelease(FreezeLock());
  return false;
}

void WriteGateLeave(WriteTicket* ticket) {
  if (ticket->reserved > 0) ticket->segment.Release(ticket->reserved);
  ticket->reserved = 0;
  LWLockRelease(FreezeLock());
}

LWLock* StripeLock(StorageId storage, BlockNo block) {
  uint64_t hash = storage * 0x9e3779b97f4a7c15ull + block;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93ull;
  return StripeLocks(static_cast<int>(hash >> 56) % kStripes);
}

}  // namespace omendb
