#pragma once

namespace omendb {

// True while a walsender sends a base backup, from before the backup's checkpoint until the last file
// is sent, or a session is between pg_backup_start and pg_backup_stop. A copy needs every file that the manifest named when the copying began, and clog as
// old as the oldest of them.
bool BaseBackupIsRunning();

}  // namespace omendb
