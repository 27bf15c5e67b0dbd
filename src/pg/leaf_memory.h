// The shared memory of the leaf directory (store/leaf_directory.h) and the way of sessions into it,
// and the cache of leaves.
#pragma once

#include "cache/value_cache.h"
#include "pg/server.h"
#include "store/leaf_directory.h"

namespace omendb {

size_t LeafMemorySize();
void LeafMemoryStart();  // in the shared memory startup hook

const LeafDirectory& SharedLeafDirectory();
// Leaves as they were read from the store, by storage and low position. Their version is the
// generation at which they were read.
const ValueCache& SharedLeafCache();

// This process's slot for AlexEpoch; AlexArena::kNoSlot if there is none left: then it does without
// the directory. Given back at exit.
uint32_t LeafDirectorySlot();

}  // namespace omendb
