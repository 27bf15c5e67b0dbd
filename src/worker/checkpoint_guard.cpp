// The checkpoint guard: keeps a checkpoint from completing before what is older than its redo
// pointer is in the store.
//
// CreateCheckPoint, having written the buffers, waits for every virtual transaction that holds
// DELAY_CHKPT_COMPLETE. The guard holds no transaction: it sets a local transaction id by hand and
// keeps that flag for ever. A checkpoint that waits goes on when the guard takes a new id, which it
// does as long as the redo pointer is one that it has flushed up to. DELAY_CHKPT_START around that
// keeps a new redo pointer from slipping in between the look and the new id. (A real transaction
// re-armed after every flush hangs spread checkpoints: the flag would be set again before the
// checkpoint looks.)
//
// Any way out of this process clears the flags. So it ends only when the buffer is closed and
// flushed, or empty, or takes the server down with it.
#include <signal.h>
#include <unistd.h>

#include "pg/failure_point.h"
#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "pg/write_buffer.h"
#include "worker/storage_sweep.h"
#include "worker/verdicts.h"

extern "C" {
#include "access/xlog.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "storage/sinvaladt.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PGDLLEXPORT void omendb_checkpoint_guard_main(Datum);
}

namespace omendb {
namespace {

constexpr long kBusyMs = 20;
constexpr long kIdleMs = 100;
constexpr int kSweepLookMs = 2000;
constexpr uint64_t kNotFrozen = ~uint64_t{0};
constexpr int kCloseTimeoutMs = 60 * 1000;

struct Guard {
  bool armed;
  XLogRecPtr flushed_redo;    // everything older is in the store
  XLogRecPtr pending_redo;    // being flushed for, 0 = none
  uint64_t pending_sequence;  // of the segments it waits for, or kNotFrozen
  TimestampTz last_sweep_look;
  bool sweep;
  bool closing;
  TimestampTz close_deadline;
  MemoryContext context;
};
Guard g_guard;

// With the postmaster gone, a checkpoint that is under way would complete as soon as our flags
// vanish, and the rows in the buffer would be behind its redo pointer. It has to end before us.
[[noreturn]] void DieWithPostmaster() {
  Latch* checkpointer = ProcGlobal->checkpointerLatch;
  int pid = checkpointer != nullptr ? checkpointer->owner_pid : 0;
  if (g_guard.armed && pid > 0) {
    kill(pid, SIGQUIT);
    for (int i = 0; i < 100 && kill(pid, 0) == 0; i++) pg_usleep(1000);
    kill(pid, SIGKILL);
    pg_usleep(10 * 1000);
  }
  _exit(2);
}

bool IsEmptyOfWork() {
  for (const SegmentSlot& slot : g_shared->segments) {
    if (slot.state == SegmentState::kFrozen) return false;
  }
  return g_guard.pending_redo == 0;
}

void HandleInterrupts() {
  CHECK_FOR_INTERRUPTS();
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
    LoadFailurePoint();
  }
  // Not by ProcessCatchupInterrupt: it starts a transaction, which would take our place's id.
  if (catchupInterruptPending) {
    catchupInterruptPending = false;
    AcceptInvalidationMessages();
  }
}

void HoldCheckpoints() {
  MyProc->lxid = GetNextLocalTransactionId();
  MyProc->delayChkptFlags |= DELAY_CHKPT_COMPLETE;
  pg_memory_barrier();
}

void LetCheckpointsGo() {
  MyProc->delayChkptFlags = 0;
  pg_memory_barrier();
  MyProc->lxid = InvalidLocalTransactionId;
}

void SettleDrops() {
  LWLockAcquire(FreezeLock(), LW_SHARED);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  SettleDropsAfterRecovery(CurrentDropSequence());
  LWLockRelease(StorageTableLock());
  LWLockRelease(FreezeLock());
}

void Arm() {
  HoldCheckpoints();
  if (!ArmWriteBuffer()) {
    LetCheckpointsGo();
    return;
  }
  SettleDrops();
  g_guard.armed = true;
  g_guard.flushed_redo = InvalidXLogRecPtr;
  g_guard.pending_redo = InvalidXLogRecPtr;
  g_guard.sweep = true;
}

// In the order in which they were frozen, so that the store worker can go on with the oldest.
void JudgeFrozenSegments() {
  uint64_t list = g_shared->live;
  for (int i = LiveCount(list) - 1; i >= 0; i--) {
    int index = LiveAt(list, i);
    if (g_shared->segments[index].state == SegmentState::kFrozen) JudgeSegment(index);
  }
}

void FlushForCheckpoint() {
  if (g_guard.pending_redo == InvalidXLogRecPtr) {
    XLogRecPtr redo = GetRedoRecPtr();
    if (redo == g_guard.flushed_redo) return;
    g_guard.pending_redo = redo;
    g_guard.pending_sequence = kNotFrozen;
    FailurePoint("checkpoint_flush");
  }
  if (g_guard.pending_sequence == kNotFrozen) {
    uint64_t wait_for;
    if (FreezeActiveSegment(FreezeRequest{}, &wait_for) == Freeze::kNoFreeSegment) return;
    NoteCheckpointRedo(g_guard.pending_redo, wait_for);
    g_guard.pending_sequence = wait_for;
    JudgeFrozenSegments();
  }
  if (g_shared->flushed_sequence < g_guard.pending_sequence) return;
  // A store that cannot be opened or written has nothing to bring in: the rest of the server can
  // have its checkpoint.
  if (g_shared->durable_lsn < g_guard.pending_redo && g_shared->store_state == StoreState::kOpen &&
      g_shared->write_failure == 0) {
    return WakeStoreWorker();
  }
  g_guard.flushed_redo = g_guard.pending_redo;
  g_guard.pending_redo = InvalidXLogRecPtr;
  g_shared->counters.checkpoints++;
}

// The entry of a dropped storage is free once the segments that may hold rows of it are in the
// store, and on a server that writes little nobody else freezes the active one.
void FreezeIfDropsPileUp() {
  if (!StorageDropsPileUp() || LiveCount(g_shared->live) > 1) return;
  uint64_t unused;
  FreezeActiveSegment(FreezeRequest{}, &unused);
}

void ReleaseFlushedCheckpoint() {
  MyProc->delayChkptFlags |= DELAY_CHKPT_START;
  pg_memory_barrier();
  if (GetRedoRecPtr() == g_guard.flushed_redo) MyProc->lxid = GetNextLocalTransactionId();
  pg_memory_barrier();
  MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
}

void SweepIfDue() {
  TimestampTz now = GetCurrentTimestamp();
  if (TimestampDifferenceExceeds(g_guard.last_sweep_look, now, kSweepLookMs)) {
    g_guard.last_sweep_look = now;
    // One look later: the checkpointer deletes the files after it has written the control file.
    // Files of temporary relations do not wait for it.
    bool logged = SweepStorages(g_guard.sweep ? SweepScope::kAll : SweepScope::kTemporary);
    // Else their space would come back with the next checkpoint only.
    uint64_t unused;
    if (logged) FreezeActiveSegment(FreezeRequest{}, &unused);
    g_guard.sweep = CheckpointWasCompleted();
  }
}

// Returns true when everything is in the store and the guard may go.
bool Close() {
  TimestampTz now = GetCurrentTimestamp();
  if (!g_guard.closing) {
    g_guard.closing = true;
    g_guard.close_deadline = TimestampTzPlusMilliseconds(now, kCloseTimeoutMs);
    FreezeRequest request;
    request.close = true;
    uint64_t wait_for;
    FreezeActiveSegment(request, &wait_for);
    g_guard.pending_sequence = wait_for;
    g_guard.pending_redo = GetRedoRecPtr();
  }
  JudgeFrozenSegments();
  WakeStoreWorker();
  if (g_shared->flushed_sequence >= g_guard.pending_sequence) return true;
  if (g_shared->write_failure != 0 && now > g_guard.close_deadline) {
    ereport(PANIC,
            (errmsg("could not bring the omendb write buffer into the store at shutdown"),
             errhint("The rows are safe in the WAL: they are recovered at the next start.")));
  }
  return false;
}

// True: the process may end.
bool Tick() {
  HandleInterrupts();
  if (g_shared->store_state == StoreState::kOpen && !ShutdownRequestPending) SweepIfDue();
  if (RecoveryInProgress()) {
    PublishHorizon();
    AnswerOracle();
    return ShutdownRequestPending;
  }
  if (!g_guard.armed) {
    if (ShutdownRequestPending) return true;
    if (HeldAtFailurePoint("before_arm")) return false;
    Arm();
    if (!g_guard.armed) return false;
  }
  if (ShutdownRequestPending) return Close();
  ErrorAtFailurePoint("guard_tick");
  FreezeIfDropsPileUp();
  if (!HeldAtFailurePoint("before_judge")) JudgeFrozenSegments();
  FlushForCheckpoint();
  ReleaseFlushedCheckpoint();
  PublishHorizon();
  AnswerOracle();
  return false;
}

// An ERROR (an unreadable clog page, no memory) is reported and tried again: leaving would let
// checkpoints go. The flags are as they were; no transaction is open that could have cleared them.
bool GuardedTick() {
  volatile bool done = false;
  MemoryContextSwitchTo(g_guard.context);
  PG_TRY();
  { done = Tick(); }
  PG_CATCH();
  {
    HOLD_INTERRUPTS();
    error_context_stack = nullptr;
    MyProc->xmin = InvalidTransactionId;
    EmitErrorReport();
    LWLockReleaseAll();
    ConditionVariableCancelSleep();
    pgstat_report_wait_end();
    MemoryContextSwitchTo(g_guard.context);
    FlushErrorState();
    MyProc->delayChkptFlags &= ~DELAY_CHKPT_START;
    RESUME_INTERRUPTS();
    pg_usleep(100 * 1000);
  }
  PG_END_TRY();
  MemoryContextReset(g_guard.context);
  return done;
}

void AtExit(int, Datum) {
  g_shared->guard_latch = nullptr;
  if (!g_guard.armed) return;
  if (!PostmasterIsAlive()) DieWithPostmaster();
  LWLockReleaseAll();
  if (!CloseWriteBufferIfEmpty()) {
    ereport(PANIC,
            (errmsg("omendb checkpoint guard stopped while the write buffer was not empty")));
  }
}

}  // namespace
}  // namespace omendb

void omendb_checkpoint_guard_main(Datum) {
  using namespace omendb;
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
  LoadFailurePoint();
  g_guard.context =
      AllocSetContextCreate(TopMemoryContext, "omendb checkpoint guard", ALLOCSET_DEFAULT_SIZES);
  before_shmem_exit(AtExit, 0);
  g_shared->guard_latch = MyLatch;

  while (!GuardedTick()) {
    int events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH,
                           IsEmptyOfWork() ? kIdleMs : kBusyMs, WaitEventOf(Wait::kWorkerIdle));
    // A latch that is set again and again hides the event.
    if ((events & WL_POSTMASTER_DEATH) != 0 || !PostmasterIsAlive()) DieWithPostmaster();
    ResetLatch(MyLatch);
  }
  // Status 1: started again unless the server is shutting down.
  proc_exit(1);
}
