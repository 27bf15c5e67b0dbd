// Work that takes the store worker long and that somebody waits for. One job at a time; flushes go
// on meanwhile.
#pragma once

#include "base/types.h"
#include "pg/server.h"

namespace omendb {

struct StoreJobRequest {
  StorageId storage;  // 0 = all
  // 0: compact it. Else: rewrite files until no version of the storage lacks the verdict of a
  // transaction before this one, then see to it that nobody reads the old files any more.
  // REQUIRES: all those transactions, of any database, have ended, and their commit records are on
  // disk; the write buffer was flushed since.
  FullXid resolve_below;
};

// For sessions. Interruptible: the job is then cancelled. ERROR if it fails.
void RunStoreJob(StoreJobRequest request);
// For the startup process. Tries again as long as the reason may pass, else FATAL.
void RunStoreJobInRecovery(StoreJobRequest request);

}  // namespace omendb
