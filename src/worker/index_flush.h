// Brings the index entries of one segment into the store's leaves: small changes as operands, large
// ones by writing the leaf anew and splitting it where it has grown too large.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "block/index_leaf.h"
#include "block/leaf_fold.h"
#include "buffer/segment.h"
#include "buffer/segment_index.h"
#include "store/leaf_iterator.h"
#include "store/primary_store.h"
#include "worker/leaf_map.h"

namespace omendb {

// Store worker, main thread; for one index after the other, by ascending storage.
class IndexFlush {
 public:
  // generation: that of the flush, which orders what is written to a leaf.
  IndexFlush(PrimaryStore* store, PrimaryStore::Flush* flush, uint64_t generation)
      : store_(store), flush_(flush), generation_(generation) {}

  Status Write(StorageId storage, const SegmentIndex& index, LeafMap* leaves);
  uint64_t leaves() const { return written_; }

 private:
  Status FindLeaf(StorageId storage, Slice position, LeafPlace* place, bool* exists);
  Status WriteLeaf(StorageId storage, LeafPlace place, bool exists,
                   SegmentIndex::Iterator* entries);
  Status TakeChanges(const LeafPlace& place, SegmentIndex::Iterator* entries, bool* more);
  Status Rewrite(StorageId storage, LeafPlace place, bool exists, SegmentIndex::Iterator* entries,
                 bool more);
  Status Absorb(StorageId storage, Slice low, EntryList* live, LeafPlace* place, bool* absorbed);
  Status DeleteAbsorbed(StorageId storage, const Slice* before);

  PrimaryStore* store_;
  PrimaryStore::Flush* flush_;
  uint64_t generation_;
  LeafMap* leaves_ = nullptr;  // of the index that is written
  StorageId iterated_ = 0;
  std::unique_ptr<LeafIterator> iterator_;
  LeafView view_;
  DeltaBuilder changes_;
  std::vector<uint64_t> hashes_;  // of the keys that the changes add
  std::string first_change_, delta_, value_;
  std::vector<std::string> absorbed_;  // low positions of leaves that go
  uint64_t written_ = 0;
};

}  // namespace omendb
