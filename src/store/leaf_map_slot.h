// What the storage table has of an index beside its identity: its map in the leaf directory, and
// what its keys have in common. In shared memory; not persisted.
#pragma once

#include <atomic>

#include "base/index_entry.h"
#include "base/pure.h"
#include "base/types.h"

namespace omendb {

// What the leaf directory has of an index.
enum class LeafMapState : uint8_t {
  kPartial,  // what flushes met
  kWanted,   // a reader missed a leaf: the store worker is to read them all
  kLoading,
  kComplete,
  kRefused,  // the memory does not suffice
};

struct LeafMapSlot {
  // What the keys of the segments flushed so far had in common. A hint.
  uint8_t prefix_size;
  char prefix[kIndexPrefixRoom];
  // In the leaf directory, 0 = none. Written by the store worker alone.
  std::atomic<uint32_t> map;
  std::atomic<LeafMapState> state;
};

}  // namespace omendb
