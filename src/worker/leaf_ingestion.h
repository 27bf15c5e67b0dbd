// What a session asks for that wrote the files of a new index (pg/leaf_ingest.h), as the store
// worker sees it.
#pragma once

#include <string>

#include "base/status.h"
#include "base/types.h"

namespace omendb {

struct LeafFilesToIngest {
  StorageId storage = 0;
  uint32_t files = 0;
  std::string prefix;  // of all keys
};

// Store worker, main thread. False: nobody asks for anything.
bool TakeLeafIngest(LeafFilesToIngest* files);
// REQUIRES: TakeLeafIngest was true. Tells who asked.
void EndLeafIngest(const Status& status);

}  // namespace omendb
