// What the store worker knows of the leaves of indexes: where each begins and ends, how full it is
// and how many operands lie on it. Filled as leaves are met and kept up by the flushes, so that a
// flush need not read the leaves that it changes. A cache: what is not known is read.
//
// Store worker, main thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/types.h"
#include "block/leaf_fold.h"

namespace omendb {

struct LeafPlace {
  std::string low, high;  // positions; an empty high is the end of the index
  uint64_t count = 0;     // entries, at most
  uint32_t deltas = 0;    // operands that no fold is known to have taken in
};

class LeafDirectory {
 public:
  // The leaf that covers the position, or nullptr if that is not known.
  LeafPlace* Find(StorageId storage, Slice position);
  void Add(StorageId storage, const LeafPlace& place);
  void Remove(StorageId storage, Slice low);
  void Forget(StorageId storage);
  void Clear();
  size_t size() const { return size_; }

 private:
  using Leaves = std::map<std::string, LeafPlace, std::less<>>;
  std::map<StorageId, Leaves> indexes_;
  size_t size_ = 0;
};

}  // namespace omendb
