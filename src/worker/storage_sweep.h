// Finds storages whose relation is gone: the main fork's file is what PostgreSQL's own pending
// deletes, redo and COMMIT PREPARED remove, so its absence is the one reliable sign.
#pragma once

namespace omendb {

// Drops the storages whose file is gone. REQUIRES: the guard's process, not before consistency; the
// write buffer is open or this is a standby.
void SweepStorages();

// True once for every checkpoint or restartpoint that was completed: only then are the files gone
// that dropped relations left behind.
bool CheckpointWasCompleted();

}  // namespace omendb
