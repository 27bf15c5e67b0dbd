#include "am/hooks.h"
#include "pg/backup_watch.h"
#include "pg/settings.h"
#include "pg/shared_state.h"
#include "wal/resource_manager.h"
#include "worker/workers.h"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  if (!process_shared_preload_libraries_in_progress) {
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg("omendb must be loaded via \"shared_preload_libraries\""),
         errhint("Add the line shared_preload_libraries = 'omendb' to postgresql.conf (or append "
                 "omendb to the list there) and restart the server.")));
  }
  omendb::DefineSettings();
  omendb::InstallSharedStateHooks();
  omendb::InstallResourceManager();
  omendb::RegisterWorkers();
  omendb::InstallAmHooks();
  omendb::InstallBackupWatch();
}
