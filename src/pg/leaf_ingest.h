// Hands the files of a new index over to the store worker, which takes them into the store with its
// next flush.
#pragma once

#include "base/types.h"
#include "pg/server.h"

namespace omendb {

// For sessions: the files 0 .. files-1 of the storage (store/leaf_files.h) are in the store when it
// returns, and nothing is left of them in the staging folder. prefix: of all keys, kIndexPrefixRoom
// bytes at most; a hint. Interruptible. ERROR if the store cannot be written.
// *handed_over: they are no longer the caller's to remove, also after an error.
void IngestLeafFiles(StorageId storage, uint32 files, Slice prefix, bool* handed_over);

}  // namespace omendb
