#include "pg/base_backup.h"

#include "pg/backup_watch.h"
#include "pg/server.h"

extern "C" {
#include "replication/walsender.h"
#include "replication/walsender_private.h"
}

namespace omendb {

bool BaseBackupIsRunning() {
  for (int i = 0; i < max_wal_senders; i++) {
    const volatile WalSnd* sender = &WalSndCtl->walsnds[i];
    if (sender->pid != 0 && sender->state == WALSNDSTATE_BACKUP) return true;
  }
  return SessionBackupIsRunning();
}

}  // namespace omendb
