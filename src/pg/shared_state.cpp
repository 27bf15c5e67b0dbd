#include "pg/shared_state.h"

#include "pg/leaf_memory.h"
#include "pg/restored_backup.h"
#include "pg/storage_directory.h"
#include "pg/unlogged_reset.h"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/wait_event.h"
}

#include <sys/stat.h>

namespace omendb {

SharedState* g_shared = nullptr;

namespace {

shmem_request_hook_type g_previous_request = nullptr;
shmem_startup_hook_type g_previous_startup = nullptr;

enum Tranche { kFreezeQueue, kFreeze, kStorageTable, kOpeners, kText, kStripe, kWaits };
constexpr int kTranches = kWaits + static_cast<int>(Wait::kCount);

struct TrancheName {
  const char* name;
  int locks;
};
constexpr TrancheName kTrancheNames[kTranches] = {
    {"OmenDBFreezeQueue", 1},  {"OmenDBFreeze", 1},          {"OmenDBStorageTable", 1},
    {"OmenDBStoreOpeners", 1}, {"OmenDBStoreText", 1},       {"OmenDBBlock", kStripes},
    {"OmenDBBufferFull", 1},   {"OmenDBStoreOpen", 1},       {"OmenDBFlush", 1},
    {"OmenDBAdmission", 1},    {"OmenDBCompactionDelay", 1}, {"OmenDBCompact", 1},
    {"OmenDBIngest", 1},       {"OmenDBWorkerIdle", 1},      {"OmenDBReadPins", 1},
    {"OmenDBShownEntries", 1},
};

LWLockPadded* g_locks[kTranches];

size_t SegmentSize() {
  return (static_cast<size_t>(g_write_buffer_size_kb) * 1024 / kSegmentCount) & ~size_t{4095};
}

size_t StateSize() {
  Size size = MAXALIGN(sizeof(SharedState));
  size = add_size(size, 64);
  size = add_size(size, mul_size(SessionSlotCount(), sizeof(SessionSlot)));
  return size;
}

// Each makes the server go through recovery, at whose end unlogged relations are empty.
bool RecoveryIsAskedFor() {
  struct stat unused;
  return stat("standby.signal", &unused) == 0 || stat("recovery.signal", &unused) == 0;
}

// Unlogged rows survive nothing but a clean shutdown of this very cluster.
bool LastShutdownWasClean() {
  if (RecoveryIsAskedFor()) return false;
  bool crc_ok = false;
  ControlFileData* control = get_controlfile(DataDir, &crc_ok);
  bool clean = crc_ok && (control->state == DB_SHUTDOWNED);
  pfree(control);
  return clean;
}

void RequestSharedMemory() {
  if (g_previous_request) g_previous_request();
  RequestAddinShmemSpace(StateSize());
  RequestAddinShmemSpace(add_size(mul_size(SegmentSize(), kSegmentCount), 4096));
  RequestAddinShmemSpace(StorageDirectorySize());
  RequestAddinShmemSpace(LeafMemorySize());
  for (const TrancheName& tranche : kTrancheNames) {
    RequestNamedLWLockTranche(tranche.name, tranche.locks);
  }
}

void StartSharedMemory() {
  if (g_previous_startup) g_previous_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found;
  auto* state = static_cast<SharedState*>(ShmemInitStruct("omendb state", StateSize(), &found));
  auto* buffer = static_cast<char*>(ShmemInitStruct(
      "omendb write buffer", add_size(mul_size(SegmentSize(), kSegmentCount), 4096), &found));
  for (int i = 0; i < kTranches; i++) g_locks[i] = GetNamedLWLockTranche(kTrancheNames[i].name);
  if (!found) {
    // Only the parts that must be zero: the segments format themselves.
    memset(static_cast<void*>(state), 0, StateSize());
    state->sessions = reinterpret_cast<SessionSlot*>(
        TYPEALIGN(64, reinterpret_cast<char*>(state) + MAXALIGN(sizeof(SharedState))));
    auto* memory = reinterpret_cast<char*>(TYPEALIGN(4096, buffer));
    for (int i = 0; i < kSegmentCount; i++) {
      state->segments[i].memory = memory + i * SegmentSize();
      Segment::Format(state->segments[i].memory, SegmentSize());
    }
    state->segments[0].state = SegmentState::kActive;
    state->segments[0].sequence = 1;
    state->next_sequence = 2;
    state->active = 0;
    state->live = 1;  // one segment, index 0
    state->list_epoch = 1;
    state->from_backup = NoteRestoredBackup(&state->restored_redo);
    state->drop_unlogged = NoteUnloggedReset(!state->from_backup && LastShutdownWasClean());
    ConditionVariableInit(&state->buffer_space);
    ConditionVariableInit(&state->store_changed);
  }
  g_shared = state;
  StorageDirectoryStart();
  LeafMemoryStart();
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

LWLock* FreezeQueueLock() { return &g_locks[kFreezeQueue]->lock; }
LWLock* FreezeLock() { return &g_locks[kFreeze]->lock; }
LWLock* StorageTableLock() { return &g_locks[kStorageTable]->lock; }
LWLock* StoreOpeners() { return &g_locks[kOpeners]->lock; }
LWLock* StoreTextLock() { return &g_locks[kText]->lock; }
LWLock* StripeLocks(int index) { return &g_locks[kStripe][index].lock; }

uint32 WaitEventOf(Wait wait) {
  return PG_WAIT_LWLOCK | g_locks[kWaits + static_cast<int>(wait)]->lock.tranche;
}

void InstallSharedStateHooks() {
  g_previous_request = shmem_request_hook;
  shmem_request_hook = RequestSharedMemory;
  g_previous_startup = shmem_startup_hook;
  shmem_startup_hook = StartSharedMemory;
}

int SessionSlotCount() { return MaxBackends + NUM_AUXILIARY_PROCS; }

SessionSlot* OwnSessionSlot() {
  Assert(MyProc != nullptr && MyProc->pgprocno < SessionSlotCount());
  return &g_shared->sessions[MyProc->pgprocno];
}

void WakeStoreWorker() {
  if (Latch* latch = g_shared->store_latch.load()) SetLatch(latch);
}

void WakeGuard() {
  if (Latch* latch = g_shared->guard_latch.load()) SetLatch(latch);
}

}  // namespace omendb
