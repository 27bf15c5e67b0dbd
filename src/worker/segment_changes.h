// What a segment of the write buffer has of an index, as the flush of leaves takes it. Knows
// nothing of the server.
#pragma once

#include "buffer/segment_index.h"
#include "store/index_flush.h"

namespace omendb {

// For one pass. REQUIRES: the segment is frozen, and outlives this.
class SegmentChanges : public IndexChanges {
 public:
  explicit SegmentChanges(const SegmentIndex& index) {
    at_.Attach(index);
    at_.SeekToFirst();
  }
  bool Valid() const override { return at_.Valid(); }
  void Next() override { at_.Next(); }
  const IndexEntry& entry() const override { return at_.entry(); }

 private:
  SegmentIndex::Iterator at_;
};

}  // namespace omendb
