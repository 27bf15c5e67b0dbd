#include "engine/leaf_source.h"

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/index_position.h"
#include "block/index_leaf.h"
#include "engine/block_cache.h"
#include "pg/guard.h"
#include "pg/leaf_memory.h"
#include "pg/settings.h"
#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "store/leaf_iterator.h"
#include "store/reader_store.h"

namespace omendb {
namespace {

// Indexes of which a session keeps an iterator.
constexpr size_t kSources = 16;
// So many leaves one behind the other are read by name; from then on it is a scan.
constexpr int kLeavesByName = 2;
constexpr TidNumber kLastTid = (TidNumber{1} << 48) - 1;

struct CachedLeaf {
  StorageId storage;
  std::string low;
  uint64_t generation;  // that it was read at
  std::string bytes;
  LeafView view;
};
using LeafPointer = std::shared_ptr<CachedLeaf>;

// Most recently used first. Small: a look through all of it costs less than a read.
std::list<LeafPointer>* g_cache = nullptr;
size_t g_cache_bytes = 0;

size_t BytesOf(const CachedLeaf& leaf) {
  return sizeof(leaf) + leaf.low.size() + leaf.bytes.size();
}

LeafPointer FindCached(StorageId storage, Slice low, uint64_t changed) {
  if (g_cache == nullptr) return nullptr;
  for (auto at = g_cache->begin(); at != g_cache->end(); ++at) {
    const CachedLeaf& leaf = **at;
    if (leaf.storage != storage || leaf.low != low) continue;
    if (leaf.generation < changed) {
      g_cache_bytes -= BytesOf(leaf);
      g_cache->erase(at);
      return nullptr;
    }
    g_cache->splice(g_cache->begin(), *g_cache, at);
    return g_cache->front();
  }
  return nullptr;
}

void Cache(const LeafPointer& leaf) {
  if (g_cache == nullptr) g_cache = new std::list<LeafPointer>;
  g_cache->push_front(leaf);
  g_cache_bytes += BytesOf(*leaf);
  // A quarter of the session's memory for blocks.
  size_t budget = static_cast<size_t>(g_block_cache_size_kb) * 1024 / 4;
  while (g_cache->size() > 1 && g_cache_bytes > budget) {
    g_cache_bytes -= BytesOf(*g_cache->back());
    g_cache->pop_back();
  }
}

// A reader missed a leaf: the store worker is to read them all.
void WantLeaves(StorageEntry* entry) {
  LeafMapState partial = LeafMapState::kPartial;
  if (!entry->leaf_map_state.compare_exchange_strong(partial, LeafMapState::kWanted)) return;
  g_shared->leaf_maps_wanted = true;
  WakeStoreWorker();
}

class StoredLeaves : public LeafSource {
 public:
  StoredLeaves(StorageId storage, ReaderStore* store)
      : storage_(storage), generation_(store->generation()), store_(store) {}

  StorageId storage() const { return storage_; }
  uint64_t generation() const { return generation_; }
  bool failed() const { return failed_; }
  void Start(StorageEntry* entry) {
    entry_ = entry;
    leaf_ = nullptr;
    by_name_ = 0;
    failed_ = true;  // until a move succeeds
  }

  Status Seek(Slice key, TidNumber tid) override {
    OMENDB_RETURN_IF_ERROR(LoadCovering(Position(key, tid)));
    if (leaf_ != nullptr) leaf_->view.Seek(key, tid);
    return SkipForward();
  }
  Status SeekBefore(Slice key, TidNumber tid) override {
    OMENDB_RETURN_IF_ERROR(LoadCovering(Position(key, tid)));
    if (leaf_ != nullptr) leaf_->view.SeekBefore(key, tid);
    return SkipBackward();
  }
  Status SeekToLast() override {
    OMENDB_RETURN_IF_ERROR(EnsureIterator());
    at_->Last();
    OMENDB_RETURN_IF_ERROR(LoadIterated());
    if (leaf_ != nullptr) leaf_->view.Last();
    return SkipBackward();
  }
  Status Next() override {
    leaf_->view.Next();
    return SkipForward();
  }
  Status Prev() override {
    leaf_->view.Prev();
    return SkipBackward();
  }
  bool Valid() const override { return leaf_ != nullptr && leaf_->view.Valid(); }
  const IndexEntry& entry() const override { return leaf_->view.entry(); }

 private:
  Status EnsureIterator() {
    if (at_ != nullptr) return Status::Ok();
    return store_->NewLeafIterator(storage_, &at_);
  }

  // Makes a leaf of bytes that were read from the store the current one.
  Status Adopt(Slice low, std::string bytes) {
    auto leaf = std::make_shared<CachedLeaf>();
    leaf->storage = storage_;
    leaf->low.assign(low);
    leaf->generation = generation_;
    leaf->bytes = std::move(bytes);
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(leaf->bytes, g_verify_checksums, &leaf->view));
    leaf_ = std::move(leaf);
    return Status::Ok();
  }

  Status LoadIterated() {
    leaf_ = nullptr;
    if (!at_->Valid()) return at_->status();
    by_name_ = kLeavesByName;
    return Adopt(at_->low(), std::string(at_->value()));
  }

  // The leaf that covers a position, by the directory. leaf_ is nullptr if it does not know or if
  // it is of another time than the store as this session sees it: the leaf's own bounds tell.
  Status LoadByName(Slice position) {
    leaf_ = nullptr;
    std::string low;
    LeafInfo info;
    uint32_t slot = LeafDirectorySlot();
    uint32_t map = entry_ != nullptr ? entry_->leaf_map.load(std::memory_order_acquire) : 0;
    if (map == 0 || slot == AlexArena::kNoSlot) return Status::Ok();
    {
      const LeafDirectory& directory = SharedLeafDirectory();
      AlexEpoch epoch(directory.arena(), slot);
      // Once more, inside the epoch: it may be gone.
      map = entry_->leaf_map.load(std::memory_order_acquire);
      if (map == 0 || !directory.Find(map, position, &low, nullptr, &info)) return Status::Ok();
    }
    if (LeafPointer cached = FindCached(storage_, low, info.changed)) {
      if (cached->view.CoversPosition(position)) {
        leaf_ = std::move(cached);
        return Status::Ok();
      }
    }
    std::string bytes;
    Status status = store_->GetLeaf(storage_, low, &bytes);
    if (status.code() == StatusCode::kNotFound) return Status::Ok();
    OMENDB_RETURN_IF_ERROR(status);
    OMENDB_RETURN_IF_ERROR(Adopt(low, std::move(bytes)));
    if (!leaf_->view.has_base() || !leaf_->view.CoversPosition(position)) {
      leaf_ = nullptr;
      return Status::Ok();
    }
    Cache(leaf_);
    return Status::Ok();
  }

  Status LoadCovering(Slice position) {
    OMENDB_RETURN_IF_ERROR(LoadByName(position));
    if (leaf_ != nullptr) return Status::Ok();
    if (entry_ != nullptr) WantLeaves(entry_);
    OMENDB_RETURN_IF_ERROR(EnsureIterator());
    at_->Seek(position);
    return LoadIterated();
  }

  // Puts the iterator on the current leaf, wherever that came from.
  Status Iterate() {
    OMENDB_RETURN_IF_ERROR(EnsureIterator());
    if (at_->Valid() && at_->low() == leaf_->low) return Status::Ok();
    at_->Seek(leaf_->low);
    return at_->status();
  }

  Status SkipForward() {
    while (leaf_ != nullptr && !leaf_->view.Valid()) {
      LeafPointer left = leaf_;
      std::string high(left->view.high());
      if (by_name_ < kLeavesByName && left->view.has_base()) {
        by_name_++;
        if (high.empty()) {
          // As its last leaf it is known in the store, too.
          leaf_ = nullptr;
          break;
        }
        OMENDB_RETURN_IF_ERROR(LoadByName(high));
        if (leaf_ != nullptr) {
          leaf_->view.First();
          continue;
        }
        leaf_ = std::move(left);
      }
      OMENDB_RETURN_IF_ERROR(Iterate());
      if (at_->Valid()) at_->Next();
      OMENDB_RETURN_IF_ERROR(LoadIterated());
      if (leaf_ != nullptr) leaf_->view.First();
    }
    failed_ = false;
    return Status::Ok();
  }
  Status SkipBackward() {
    while (leaf_ != nullptr && !leaf_->view.Valid()) {
      OMENDB_RETURN_IF_ERROR(Iterate());
      if (at_->Valid()) at_->Prev();
      OMENDB_RETURN_IF_ERROR(LoadIterated());
      if (leaf_ != nullptr) leaf_->view.Last();
    }
    failed_ = false;
    return Status::Ok();
  }

  const StorageId storage_;
  const uint64_t generation_;
  ReaderStore* const store_;
  StorageEntry* entry_ = nullptr;
  std::unique_ptr<LeafIterator> at_;
  LeafPointer leaf_;  // whose view is the place among the entries
  int by_name_ = 0;   // leaves in this move that were found by name
  bool failed_ = true;
};

// Most recently used first. They belong to the session's reader.
std::vector<std::unique_ptr<StoredLeaves>>* g_sources = nullptr;

void DropSources() {
  if (g_sources != nullptr) g_sources->clear();
}

}  // namespace

bool LeavesMayHave(StorageEntry* entry, Slice key) {
  uint32_t slot = LeafDirectorySlot();
  if (entry == nullptr || slot == AlexArena::kNoSlot || entry->leaf_map.load() == 0) return true;
  const LeafDirectory& directory = SharedLeafDirectory();
  AlexEpoch epoch(directory.arena(), slot);
  uint32_t map = entry->leaf_map.load(std::memory_order_acquire);
  std::string low, high;
  LeafInfo info;
  if (map == 0 || !directory.Find(map, Position(key, 0), &low, &high, &info)) return true;
  // Entries of one key may lie in two leaves.
  if (!high.empty() && ComparePosition(key, kLastTid, high) >= 0) return true;
  return directory.MayHave(info, HashKey(key));
}

LeafSource* OpenLeafSource(const ReadView& view, StorageId storage, StorageEntry* entry) {
  ReaderStore* store = EnsureStoreReader(view);
  LeafSource* result = nullptr;
  Guarded([&] {
    if (g_sources == nullptr) {
      g_sources = new std::vector<std::unique_ptr<StoredLeaves>>;
      OnReaderDropped(DropSources);
    }
    auto& sources = *g_sources;
    // An iterator keeps the files of its generation.
    if (!sources.empty() && sources[0]->generation() != store->generation()) sources.clear();
    auto found = std::find_if(sources.begin(), sources.end(),
                              [&](const auto& source) { return source->storage() == storage; });
    // After an error its iterator stays as it is.
    if (found != sources.end() && (*found)->failed()) found = sources.erase(found);
    if (found == sources.end() || (*found)->storage() != storage) {
      if (sources.size() == kSources) sources.pop_back();
      sources.insert(sources.begin(), std::make_unique<StoredLeaves>(storage, store));
    } else {
      std::rotate(sources.begin(), found, found + 1);
    }
    sources[0]->Start(entry);
    result = sources[0].get();
    return Status::Ok();
  });
  return result;
}

}  // namespace omendb
