// Brings the changes of an index, in order, into the store's leaves: small ones as operands, large
// ones by writing the leaf anew and splitting it where it has grown too large.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "block/index_leaf.h"
#include "block/leaf_fold.h"
#include "store/leaf_iterator.h"
#include "store/leaf_map.h"
#include "store/primary_store.h"

namespace omendb {

// What has come to an index and what has left it (removed), ascending by key and TID: for the store
// worker, what a segment of the write buffer has of it.
class IndexChanges {
 public:
  virtual ~IndexChanges() = default;
  virtual bool Valid() const = 0;
  virtual void Next() = 0;                      // REQUIRES: Valid()
  virtual const IndexEntry& entry() const = 0;  // until the next move. REQUIRES: Valid()
};

// A reader merges the operands of a leaf by itself: at most so many.
inline constexpr uint32_t kMostDeltas = 24;

struct IndexFlushOptions {
  // So many changes of one leaf are folded at a time: keeps the worker's memory small when an index
  // is loaded.
  size_t changes_at_once = 32 * 1024;
};

// Store worker, main thread; for one index after the other, by ascending storage.
//
// A leaf that is damaged takes its changes as an operand, however many they are: whoever reads it
// is told of the damage, and the changes of all others must not wait for it.
class IndexFlush {
 public:
  // generation: that of the flush, which orders what is written to a leaf.
  IndexFlush(PrimaryStore* store, PrimaryStore::Flush* flush, uint64_t generation,
             const IndexFlushOptions& options = {})
      : store_(store), flush_(flush), generation_(generation), options_(options) {}

  // If it fails, what the map knows may be of what was not written: then LeafMap::Forget.
  Status Write(StorageId storage, IndexChanges* entries, LeafMap* leaves);
  uint64_t leaves() const { return written_; }

 private:
  Status FindLeaf(StorageId storage, Slice position, LeafPlace* place, bool* exists);
  void ParseLeaf(LeafPlace* place);
  Status ReadLeaf(StorageId storage, LeafPlace* place);
  Status WriteLeaf(StorageId storage, LeafPlace place, bool exists, IndexChanges* entries);
  Status WriteDamaged(StorageId storage, const LeafPlace& place, IndexChanges* entries, bool more);
  bool FitsAsOperand(const LeafInfo& info) const;
  Status TakeChanges(const LeafPlace& place, IndexChanges* entries, bool* more);
  Status Rewrite(StorageId storage, LeafPlace place, IndexChanges* entries, bool more);
  Status Absorb(StorageId storage, Slice low, EntryList* live, LeafPlace* place, bool* absorbed);
  Status DeleteAbsorbed(StorageId storage, const Slice* before);

  PrimaryStore* store_;
  PrimaryStore::Flush* flush_;
  uint64_t generation_;
  IndexFlushOptions options_;
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
