#include "pg/leaf_ingest.h"

#include "pg/shared_state.h"
#include "pg/store_job.h"

extern "C" {
#include "storage/ipc.h"
}

namespace omendb {
namespace {

bool Ask(StorageId storage, uint32 files, Slice prefix) {
  LeafIngest* ingest = &g_shared->leaf_ingest;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  bool free = ingest->state == LeafIngestState::kFree;
  if (free) {
    ingest->storage = storage;
    ingest->files = files;
    ingest->prefix_size = static_cast<uint8>(prefix.size());
    memcpy(ingest->prefix, prefix.data(), prefix.size());
    ingest->abandoned = false;
    ingest->state = LeafIngestState::kAsked;
  }
  LWLockRelease(StoreTextLock());
  if (free) WakeStoreWorker();
  return free;
}

void Abandon(int, Datum handed_over) {
  LeafIngest* ingest = &g_shared->leaf_ingest;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  switch (ingest->state) {
    case LeafIngestState::kAsked:
      ingest->state = LeafIngestState::kFree;
      break;
    case LeafIngestState::kTaken:
      ingest->abandoned = true;
      *reinterpret_cast<bool*>(DatumGetPointer(handed_over)) = true;
      break;
    default:
      ingest->state = LeafIngestState::kFree;
      *reinterpret_cast<bool*>(DatumGetPointer(handed_over)) = true;
  }
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

}  // namespace

void IngestLeafFiles(StorageId storage, uint32 files, Slice prefix, bool* handed_over) {
  LeafIngest* ingest = &g_shared->leaf_ingest;
  *handed_over = false;
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (!Ask(storage, files, prefix)) {
    ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kIngest));
  }
  PG_ENSURE_ERROR_CLEANUP(Abandon, PointerGetDatum(handed_over));
  {
    while (ingest->state != LeafIngestState::kDone) {
      ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kIngest));
    }
  }
  PG_END_ENSURE_ERROR_CLEANUP(Abandon, PointerGetDatum(handed_over));
  ConditionVariableCancelSleep();
  *handed_over = true;

  static JobFailure end;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  end = ingest->failure;
  ingest->state = LeafIngestState::kFree;
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
  RaiseIfFailed(end);
}

}  // namespace omendb
