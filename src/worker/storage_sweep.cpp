#include "worker/storage_sweep.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "pg/storage_log.h"
#include "pg/tablespaces.h"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_control.h"
#include "catalog/pg_tablespace_d.h"
#include "common/controldata_utils.h"
#include "common/relpath.h"
#include "miscadmin.h"
#include "utils/memutils.h"
}

namespace omendb {
namespace {

constexpr uint32 kBatch = 256;

bool IsMissing(const char* path) {
  struct stat unused;
  return stat(path, &unused) != 0 && errno == ENOENT;
}

// The file of the identity in one tablespace. Memory from the caller's context.
char* PathIn(const StorageIdentity& identity, Oid tablespace) {
  RelFileNode node = identity.node;
  node.spcNode = tablespace;
  return relpathbackend(node, identity.backend, MAIN_FORKNUM);
}

// A database or tablespace directory that is absent as a whole says nothing about its relations: it
// may be on a disk that is not mounted.
bool IsGoneFrom(const StorageIdentity& identity, Oid tablespace) {
  char* path = PathIn(identity, tablespace);
  if (!IsMissing(path)) return false;
  *strrchr(path, '/') = '\0';
  return !IsMissing(path);
}

// Which tablespace is the database's default is not known here, but only the directory there has a
// PG_VERSION. One look at all of them may come while a move of the database goes on: the files are
// in the new place before they leave the old one, so a second look finds what the first missed.
bool IsGoneFromDefaultTablespace(const StorageIdentity& identity) {
  bool is_there = true;
  for (int look = 0; look < 2; look++) {
    is_there = false;
    ListCell* cell;
    foreach (cell, TablespaceOids()) {
      char* path = PathIn(identity, lfirst_oid(cell));
      if (!IsMissing(path)) return false;
      *strrchr(path, '/') = '\0';
      if (!IsMissing(psprintf("%s/PG_VERSION", path))) is_there = true;
    }
  }
  return is_there;
}

bool RelationIsGone(const StorageIdentity& identity) {
  // Mostly the default tablespace is pg_default, and the file is there.
  Oid tablespace = identity.node.spcNode;
  Oid likely_tablespace = OidIsValid(tablespace) ? tablespace : DEFAULTTABLESPACE_OID;
  if (!IsMissing(PathIn(identity, likely_tablespace))) return false;
  return OidIsValid(tablespace) ? IsGoneFrom(identity, tablespace)
                                : IsGoneFromDefaultTablespace(identity);
}

// True if it was logged.
bool DropIfStill(const StorageIdentity& identity) {
  bool logged = false;
  LWLockAcquire(FreezeLock(), LW_SHARED);
  // Neither a standby nor a server that shuts down or is not ready to write logs anything.
  bool open = g_shared->armed && !g_shared->closed && g_shared->active >= 0;
  if (open || RecoveryInProgress()) {
    LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
    StorageEntry* entry = FindStorage(identity.id);
    if (entry != nullptr && entry->state == StorageEntry::kLive) {
      START_CRIT_SECTION();
      Lsn lsn = 0;
      if (open && identity.persistence == RELPERSISTENCE_PERMANENT) {
        lsn = LogStorageDrop(identity.id);
        SegmentAt(g_shared->active).NoteLsn(lsn);
        logged = true;
      }
      ApplyStorageDrop(entry, lsn, CurrentDropSequence());
      END_CRIT_SECTION();
    }
    LWLockRelease(StorageTableLock());
  }
  LWLockRelease(FreezeLock());
  return logged;
}

}  // namespace

bool SweepStorages(SweepScope scope) {
  static StorageIdentity batch[kBatch];
  static MemoryContext context = nullptr;
  if (context == nullptr) {
    context = AllocSetContextCreate(TopMemoryContext, "omendb sweep", ALLOCSET_SMALL_SIZES);
  }
  MemoryContext caller = MemoryContextSwitchTo(context);
  bool logged = false;
  uint32 at = 0;
  uint32 limit;
  do {
    uint32 count = 0;
    LWLockAcquire(StorageTableLock(), LW_SHARED);
    limit = StorageEntryLimit();
    for (; at < limit && count < kBatch; at++) {
      const StorageEntry* entry = StorageEntryAt(at);
      if (entry->state != StorageEntry::kLive) continue;
      if (scope == SweepScope::kTemporary && entry->identity.backend == InvalidBackendId) continue;
      batch[count++] = entry->identity;
    }
    LWLockRelease(StorageTableLock());
    for (uint32 i = 0; i < count; i++) {
      if (RelationIsGone(batch[i]) && DropIfStill(batch[i])) logged = true;
    }
    MemoryContextReset(context);
  } while (at < limit);
  MemoryContextSwitchTo(caller);
  if (g_shared->drops_pending > 0) WakeStoreWorker();
  return logged;
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
