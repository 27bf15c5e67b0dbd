// Where this session's next inserted rows go: a block of its own per storage, so that inserting
// sessions never meet. The slots of a block are given out in order; a block is left early when its
// rows got wide, so that no block value grows much beyond 64 kB.
#pragma once

#include "base/types.h"
#include "pg/server.h"

namespace omendb {

struct InsertPlace {
  BlockNo block;
  uint32_t first_slot;  // next free slot
  uint32_t free_slots;  // from there to the end of the block, at least 1
  bool new_block;       // nothing was ever written to the block
};

inline constexpr size_t kMaxRawBlockSize = 64 * 1024;

// Looks where the next row goes. `want` rows follow: a nearly full block is left to a larger batch.
InsertPlace NextInsertPlace(Relation relation, StorageId storage, uint32_t want);
// The rows have been applied there.
void TookInsertPlace(StorageId storage, const InsertPlace& place, uint32_t rows, size_t raw_bytes);

}  // namespace omendb
