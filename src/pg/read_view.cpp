#include "pg/read_view.h"

#include <stdio.h>

#include "pg/shared_state.h"
#include "pg/store_failure.h"

extern "C" {
#include "access/xact.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

void AtTransactionEnd(XactEvent event, void*) {
  if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT) ReadUnpin();
}

void AtSubTransactionEnd(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_ABORT_SUB) ReadUnpin();
}

void AtExit(int, Datum) {
  ReadUnpin();
  OwnSessionSlot()->reader_generation = 0;
}

void RegisterOnce() {
  static bool registered = false;
  if (registered) return;
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubTransactionEnd, nullptr);
  before_shmem_exit(AtExit, 0);
  registered = true;
}

void WaitUntilOpened() {
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (g_shared->store_state == StoreState::kStarting) {
    ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kStoreOpen));
  }
  ConditionVariableCancelSleep();
}

}  // namespace

void EnsureStoreOpen() {
  StoreState state = g_shared->store_state.load(std::memory_order_acquire);
  if (likely(state == StoreState::kOpen)) return;
  if (state == StoreState::kStarting) {
    if (!IsUnderPostmaster) {
      OpenStoreInSingleUserMode();
    } else {
      WaitUntilOpened();
    }
  }
  if (g_shared->store_state == StoreState::kFailed) RaiseStoreFailure(ERROR);
}

void ReadPin(ReadView* view) {
  EnsureStoreOpen();
  RegisterOnce();
  SessionSlot* slot = OwnSessionSlot();
  Assert(slot->pin.load() == kNoPin);

  // The pin must be visible to the store worker before the list is read, and the worker takes a
  // segment off the list before it looks at the pins. All of these are sequentially consistent.
  slot->pin.store(g_shared->list_epoch.load());
  uint64_t list = g_shared->live.load();
  view->generation = g_shared->generation.load();
  view->count = LiveCount(list);
  for (int i = 0; i < view->count; i++) view->segments[i] = SegmentAt(LiveAt(list, i));
  view->newest_sequence = view->count > 0 ? g_shared->segments[LiveAt(list, 0)].sequence.load() : 0;
}

void ReadUnpin() { OwnSessionSlot()->pin.store(kNoPin, std::memory_order_release); }

void ReadNoteReaderGeneration(uint64_t generation) {
  RegisterOnce();
  OwnSessionSlot()->reader_generation.store(generation, std::memory_order_relaxed);
}

void StoreOpenersLock() { LWLockAcquire(StoreOpeners(), LW_SHARED); }
void StoreOpenersUnlock() { LWLockRelease(StoreOpeners()); }

const char* StorePath() {
  static char path[MAXPGPATH];
  if (path[0] == '\0') snprintf(path, sizeof(path), "%s/omendb", DataDir);
  return path;
}

}  // namespace omendb
