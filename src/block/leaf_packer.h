// Packs the entries of a new index into leaves, in order.
#pragma once

#include <functional>
#include <string>

#include "base/index_entry.h"
#include "base/status.h"
#include "block/index_leaf.h"

namespace omendb {

// The leaves together cover the whole index; each but the last is nearly full, as those that an
// append leaves behind (leaf_fold.h).
class LeafPacker {
 public:
  using Emit = std::function<Status(Slice low, Slice value)>;
  // lsn: of the leaves; that of every later change is larger. emit: gets them in order.
  LeafPacker(Lsn lsn, Emit emit) : lsn_(lsn), emit_(std::move(emit)) {}

  // REQUIRES: ascending by (key, TID), not removed. Copies the bytes.
  Status Add(const IndexEntry& entry);
  // The last leaf; none at all if there was no entry. Nothing may be added afterwards.
  Status Finish();

 private:
  Status EmitLeaf(Slice high);

  const Lsn lsn_;
  const Emit emit_;
  EntryList entries_;    // of the leaf that is being filled
  size_t raw_size_ = 0;  // their bytes
  std::string low_;
  std::string value_;
};

}  // namespace omendb
