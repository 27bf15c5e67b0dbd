#include "worker/storage_sweep.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "pg/shared_state.h"
#include "pg/storage_directory.h"

extern "C" {
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "common/relpath.h"
#include "utils/memutils.h"
}

namespace omendb {
namespace {

constexpr uint32 kBatch = 256;

bool IsMissing(const char* path) {
  struct stat unused;
  return stat(path, &unused) != 0 && errno == ENOENT;
}

// A database or tablespace directory that is absent as a whole says nothing about its relations: it
// may be on a disk that is not mounted.
bool RelationIsGone(const StorageIdentity& identity) {
  char* path = relpathbackend(identity.node, identity.backend, MAIN_FORKNUM);
  bool gone = IsMissing(path);
  if (gone) {
    char* slash = strrchr(path, '/');
    *slash = '\0';
    gone = !IsMissing(path);
  }
  pfree(path);
  return gone;
}

void DropIfStill(const StorageIdentity& identity) {
  LWLockAcquire(FreezeLock(), LW_SHARED);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  StorageEntry* entry = FindStorage(identity.id);
  if (entry != nullptr && entry->state == StorageEntry::kLive) {
    ApplyStorageDrop(entry, 0, CurrentDropSequence());
  }
  LWLockRelease(StorageTableLock());
  LWLockRelease(FreezeLock());
}

}  // namespace

void SweepStorages() {
  static StorageIdentity batch[kBatch];
  uint32 at = 0;
  uint32 limit;
  do {
    uint32 count = 0;
    LWLockAcquire(StorageTableLock(), LW_SHARED);
    limit = StorageEntryLimit();
    for (; at < limit && count < kBatch; at++) {
      const StorageEntry* entry = StorageEntryAt(at);
      if (entry->state == StorageEntry::kLive) batch[count++] = entry->identity;
    }
    LWLockRelease(StorageTableLock());
    for (uint32 i = 0; i < count; i++) {
      if (RelationIsGone(batch[i])) DropIfStill(batch[i]);
    }
  } while (at < limit);
  if (g_shared->drops_pending > 0) WakeStoreWorker();
}

bool CheckpointWasCompleted() {
  static XLogRecPtr seen = 0;
  bool crc_ok = false;
  ControlFileData* control = get_controlfile(DataDir, &crc_ok);
  XLogRecPtr checkpoint = control->checkPoint;
  pfree(control);
  // Caught in the middle of a write: the next look will tell.
  if (!crc_ok || checkpoint == seen) return false;
  seen = checkpoint;
  return true;
}

}  // namespace omendb
