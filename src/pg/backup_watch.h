// Notices sessions that take a backup with pg_backup_start and pg_backup_stop: what they copy must
// stay. The server's own count of such backups is private to it.
#pragma once

namespace omendb {

// In _PG_init.
void InstallBackupWatch();
// Store worker.
bool SessionBackupIsRunning();

}  // namespace omendb
