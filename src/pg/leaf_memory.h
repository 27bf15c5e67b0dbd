// The shared memory of the leaf directory (store/leaf_directory.h), and the way of sessions into
// it.
#pragma once

#include "pg/server.h"
#include "store/leaf_directory.h"

namespace omendb {

size_t LeafMemorySize();
void LeafMemoryStart();  // in the shared memory startup hook

const LeafDirectory& SharedLeafDirectory();

// This process's slot for AlexEpoch; AlexArena::kNoSlot if there is none left: then it does without
// the directory. Given back at exit.
uint32_t LeafDirectorySlot();

}  // namespace omendb
