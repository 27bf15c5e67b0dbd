// Finds storages whose relation is gone: the main fork's file is what PostgreSQL's own pending
// deletes, redo and COMMIT PREPARED remove, so its absence is the one reliable sign.
#pragma once

namespace omendb {

// Drops the storages whose file is gone, WAL-logged where the buffer is open: a standby need not
// run a sweep of its own. REQUIRES: a worker's process, not before consistency.
// Returns true if drops were logged: they wait for the active segment then.
enum class SweepScope { kAll, kTemporary };
bool SweepStorages(SweepScope scope);

// True once for every checkpoint or restartpoint that was completed: only then are the files gone
// that dropped relations left behind.
bool CheckpointWasCompleted();

}  // namespace omendb
