#include "pg/write_buffer.h"

#include <algorithm>

#include "pg/failure_point.h"
#include "pg/segment_verdicts.h"
#include "pg/shared_state.h"
#include "pg/store_failure.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "postmaster/startup.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

void LockOutWriters() {
  LWLockAcquire(FreezeQueueLock(), LW_EXCLUSIVE);
  g_shared->freeze_wanted = true;
  LWLockAcquire(FreezeLock(), LW_EXCLUSIVE);
}

void LetWritersIn() {
  g_shared->freeze_wanted = false;
  LWLockRelease(FreezeLock());
  LWLockRelease(FreezeQueueLock());
}

int FindFreeSegment() {
  for (int i = 0; i < kSegmentCount; i++) {
    if (g_shared->segments[i].state == SegmentState::kFree) return i;
  }
  return -1;
}

// Only freezers push, under the lock; the store worker may take the oldest off at any time.
void PushLive(int index) {
  uint64_t list = g_shared->live;
  uint64_t longer;
  do {
    longer = ((list & ~uint64_t{0xff}) << 8) | (static_cast<uint64_t>(index) << 8) |
             static_cast<uint64_t>(LiveCount(list) + 1);
  } while (!g_shared->live.compare_exchange_weak(list, longer));
}

void Activate(int index) {
  SegmentSlot* slot = &g_shared->segments[index];
  slot->sequence = g_shared->next_sequence++;
  slot->state = SegmentState::kActive;
  g_shared->active = index;
  PushLive(index);
}

bool IsEmpty(Segment segment) { return segment.used() == 0 && segment.last_lsn() == 0; }

// The startup process has no other way to hear of a shutdown while it waits for the store worker.
void WaitInRecovery(Wait wait) {
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5, WaitEventOf(wait));
  ResetLatch(MyLatch);
  HandleStartupProcInterrupts();
}

// After a crash the postmaster does not start workers again by itself while recovery runs.
void AskForWorkers(int round) {
  if (round % 20 == 0) SendPostmasterSignal(PMSIGNAL_BACKGROUND_WORKER_CHANGE);
}

void WaitForSequence(uint64_t sequence) {
  for (int round = 0; g_shared->flushed_sequence < sequence; round++) {
    WaitForWorkerInRecovery(round, Wait::kFlush);
  }
}

// What clog says in the startup process is what was replayed, no more and no less.
void JudgeInRecovery(int index) {
  SegmentSlot* slot = &g_shared->segments[index];
  Segment segment = SegmentAt(index);
  XidTable table;
  XLogRecPtr lsn = segment.last_lsn();
  // Without verdicts the versions keep their transaction ids; that costs readers, not rows.
  if (CollectXids(segment, &table)) {
    for (size_t i = 0; i < table.capacity; i++) {
      if (table.xids[i] != 0) table.verdicts[i] = VerdictInRecovery(table.xids[i], &lsn);
    }
    MarkVerdicts(segment, &table);
    g_shared->counters.judged_xids += table.count;
    FreeXids(&table);
  }
  // The store must not get ahead of the point that a standby's recovery has to reach again, and
  // neither may verdicts: clog has no LSN of what redo aborted.
  TimeLineID unused;
  XLogFlush(std::max(lsn, GetCurrentReplayRecPtr(&unused)));
  slot->state = SegmentState::kJudged;
  WakeStoreWorker();
}

// A disk that is full or away for a while must not end a standby; what is damaged stays so.
bool IsWorthWaiting(bool store_is_needed) {
  StoreState state = g_shared->store_state;
  return state == StoreState::kStarting ||
         (store_is_needed && state == StoreState::kFailed && StoreFailureMayPass());
}

void FreezeInRecovery(uint64_t only_sequence, uint64_t* wait_for) {
  FreezeRequest request;
  request.only_sequence = only_sequence;
  for (int round = 0; FreezeActiveSegment(request, wait_for) == Freeze::kNoFreeSegment; round++) {
    WaitForWorkerInRecovery(round, Wait::kBufferSpace);
  }
  uint64_t list = g_shared->live;
  for (int i = LiveCount(list) - 1; i >= 0; i--) {
    int index = LiveAt(list, i);
    if (g_shared->segments[index].state == SegmentState::kFrozen) JudgeInRecovery(index);
  }
}

void AskForReclaimInRecovery(bool sweep) {
  uint64_t number = RequestReclaim(sweep);
  for (int round = 0; g_shared->reclaim_done < number; round++) {
    WaitForWorkerInRecovery(round, Wait::kFlush);
  }
}

}  // namespace

Freeze FreezeActiveSegment(const FreezeRequest& request, uint64_t* wait_for) {
  Freeze result = Freeze::kDone;
  LockOutWriters();
  if (request.close) g_shared->closed = true;
  int active = g_shared->active;
  *wait_for = g_shared->next_sequence - 1;
  if (active >= 0) {
    SegmentSlot* slot = &g_shared->segments[active];
    Segment segment = SegmentAt(active);
    bool wanted =
        request.only_sequence == 0 ? !IsEmpty(segment) : request.only_sequence == slot->sequence;
    if (!wanted) {
      if (IsEmpty(segment)) *wait_for = slot->sequence - 1;
    } else if (int free = FindFreeSegment(); free < 0 && !request.close) {
      result = Freeze::kNoFreeSegment;
    } else {
      g_shared->active = -1;
      slot->state = SegmentState::kFrozen;
      if (!request.close) Activate(free);
    }
  }
  LetWritersIn();
  // Not where nothing changed: the guard would wake itself, again and again.
  if (result == Freeze::kDone) {
    WakeGuard();
    WakeStoreWorker();
  }
  return result;
}

uint64_t RequestReclaim(bool sweep) {
  if (sweep) g_shared->reclaim_sweep = true;
  uint64_t number = ++g_shared->reclaim_requested;
  WakeStoreWorker();
  return number;
}

void SleepUntilFlushed() {
  if (g_shared->write_failure != 0) {
    ConditionVariableCancelSleep();
    RaiseWriteFailure();
  }
  ConditionVariableTimedSleep(&g_shared->buffer_space, 20, WaitEventOf(Wait::kFlush));
}

void FlushWriteBuffer() {
  uint64_t wait_for;
  ConditionVariablePrepareToSleep(&g_shared->buffer_space);
  while (FreezeActiveSegment(FreezeRequest{}, &wait_for) == Freeze::kNoFreeSegment) {
    SleepUntilFlushed();
  }
  while (g_shared->flushed_sequence < wait_for) SleepUntilFlushed();
  ConditionVariableCancelSleep();
}

void NoteCheckpointRedo(XLogRecPtr lsn, uint64_t sequence) {
  // A redo pointer may stand behind a page header that nobody wrote yet.
  XLogRecPtr flush = lsn;
  uint64 header = XLogSegmentOffset(lsn, wal_segment_size) < XLOG_BLCKSZ ? SizeOfXLogLongPHD
                                                                         : SizeOfXLogShortPHD;
  if (lsn % XLOG_BLCKSZ == header) flush -= header;
  XLogFlush(flush);
  g_shared->checkpoint_sequence = ~uint64_t{0};
  g_shared->checkpoint_redo = lsn;
  g_shared->checkpoint_sequence = sequence;
}

XLogRecPtr DurableOnceFlushed(uint64_t sequence) {
  for (;;) {
    uint64_t before = g_shared->checkpoint_sequence;
    if (before > sequence) return 0;
    XLogRecPtr lsn = g_shared->checkpoint_redo;
    if (g_shared->checkpoint_sequence == before) return lsn;
  }
}

bool ArmWriteBuffer() {
  LockOutWriters();
  bool armed = !g_shared->store_exiting;
  // A guard that was told to stop closed the buffer and left no active segment.
  if (armed && g_shared->active < 0) {
    int free = FindFreeSegment();
    if (free >= 0) {
      Activate(free);
    } else {
      armed = false;
    }
  }
  if (armed) {
    g_shared->closed = false;
    g_shared->armed = true;
  }
  LetWritersIn();
  if (armed) ConditionVariableBroadcast(&g_shared->store_changed);
  return armed;
}

bool WriteBufferIsEmpty() {
  int active = g_shared->active;
  uint64_t last = g_shared->next_sequence - 1;
  if (active >= 0) {
    if (!IsEmpty(SegmentAt(active))) return false;
    last = g_shared->segments[active].sequence - 1;
  }
  return g_shared->flushed_sequence >= last;
}

bool CloseWriteBufferIfEmpty() {
  LockOutWriters();
  bool empty = WriteBufferIsEmpty();
  if (empty) g_shared->armed = false;
  LetWritersIn();
  return empty;
}

Segment ReserveInRecovery(size_t bytes) {
  for (;;) {
    int active = g_shared->active;
    Segment segment = SegmentAt(active);
    if (segment.Reserve(bytes)) return segment;
    if (bytes > segment.capacity()) {
      ereport(FATAL, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                      errmsg("a change to replay does not fit into the write buffer"),
                      errdetail("It takes %zu bytes; a buffer segment holds %zu.", bytes,
                                segment.capacity()),
                      errhint("Set \"omendb.write_buffer_size\" at least as large as on the server "
                              "that wrote the WAL.")));
    }
    uint64_t unused;
    FreezeInRecovery(g_shared->segments[active].sequence, &unused);
  }
}

void FlushInRecovery(const char* failure_point) {
  uint64_t wait_for;
  if (WriteBufferIsEmpty()) return;
  FreezeInRecovery(0, &wait_for);
  WaitForSequence(wait_for);
  FailurePoint(failure_point);
}

void FlushForRestartpoint(XLogRecPtr lsn) {
  FlushInRecovery("redo_flush");
  if (g_shared->store_state != StoreState::kOpen || g_shared->durable_lsn >= lsn) return;
  NoteCheckpointRedo(lsn, g_shared->flushed_sequence);
  // A store that takes no writes has lost nothing, and the rest of the server can go on.
  for (int round = 0; g_shared->durable_lsn < lsn && g_shared->write_failure == 0; round++) {
    WaitForWorkerInRecovery(round, Wait::kFlush);
  }
}

void ReclaimStoragesInRecovery(bool sweep) {
  AskForReclaimInRecovery(sweep);
  FlushInRecovery("redo_flush");
  AskForReclaimInRecovery(false);
}

void WaitForWorkerInRecovery(int round, Wait wait) {
  WakeStoreWorker();
  AskForWorkers(round);
  WaitInRecovery(wait);
}

void WaitForStoreInRecovery(bool fatal_if_failed) {
  if (!IsUnderPostmaster) {
    if (!fatal_if_failed) return;
    ereport(FATAL, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot recover omendb tables in single-user mode"),
                    errhint("Start the server normally and stop it before using single-user "
                            "mode.")));
  }
  TimestampTz reported = GetCurrentTimestamp();
  for (int round = 0; IsWorthWaiting(fatal_if_failed); round++) {
    AskForWorkers(round);
    WaitInRecovery(Wait::kStoreOpen);
    TimestampTz now = GetCurrentTimestamp();
    if (TimestampDifferenceExceeds(reported, now, 10 * 1000)) {
      ereport(LOG, (errmsg("recovery is waiting for the omendb store worker to open the store")));
      if (g_shared->store_state == StoreState::kFailed) ReportStoreFailure(LOG);
      reported = now;
    }
  }
  if (fatal_if_failed && g_shared->store_state == StoreState::kFailed) RaiseStoreFailure(FATAL);
}

}  // namespace omendb
