#include "pg/backup_watch.h"

#include "pg/shared_state.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc_d.h"
#include "storage/ipc.h"
#include "utils/fmgroids.h"
}

namespace omendb {
namespace {

object_access_hook_type g_next_object_access = nullptr;

// The function may not have been called after all, or have failed, or the backup may be over.
void AtTransactionEnd(XactEvent event, void*) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) return;
  SessionSlot* slot = OwnSessionSlot();
  if (slot->in_backup && get_backup_status() != SESSION_BACKUP_RUNNING) slot->in_backup = false;
}

void AtExit(int, Datum) { OwnSessionSlot()->in_backup = false; }

void NoteBackup() {
  static bool registered = false;
  if (!registered) {
    before_shmem_exit(AtExit, 0);
    RegisterXactCallback(AtTransactionEnd, nullptr);
    registered = true;
  }
  OwnSessionSlot()->in_backup = true;
}

// Called when the function is about to run, so before the backup's checkpoint.
void WatchFunctions(ObjectAccessType access, Oid type, Oid object, int sub_object, void* argument) {
  if (g_next_object_access != nullptr) {
    g_next_object_access(access, type, object, sub_object, argument);
  }
  if (access == OAT_FUNCTION_EXECUTE && object == F_PG_BACKUP_START && IsUnderPostmaster) {
    NoteBackup();
  }
}

}  // namespace

void InstallBackupWatch() {
  g_next_object_access = object_access_hook;
  object_access_hook = WatchFunctions;
}

bool SessionBackupIsRunning() {
  int slots = SessionSlotCount();
  for (int i = 0; i < slots; i++) {
    if (g_shared->sessions[i].in_backup) return true;
  }
  return false;
}

}  // namespace omendb
