#include "worker/leaf_ingestion.h"

#include "pg/shared_state.h"
#include "pg/store_job.h"

namespace omendb {

bool TakeLeafIngest(LeafFilesToIngest* files) {
  LeafIngest* ingest = &g_shared->leaf_ingest;
  if (ingest->state != LeafIngestState::kAsked) return false;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  bool asked = ingest->state == LeafIngestState::kAsked;
  if (asked) {
    files->storage = ingest->storage;
    files->files = ingest->files;
    ingest->state = LeafIngestState::kTaken;
  }
  LWLockRelease(StoreTextLock());
  // Stays as it is until EndLeafIngest.
  if (asked) files->prefix.assign(ingest->prefix, ingest->prefix_size);
  return asked;
}

void EndLeafIngest(const Status& status) {
  LeafIngest* ingest = &g_shared->leaf_ingest;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  SetFailure(&ingest->failure, status);
  ingest->state = ingest->abandoned ? LeafIngestState::kFree : LeafIngestState::kDone;
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

}  // namespace omendb
