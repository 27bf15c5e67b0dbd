#include "engine/leaf_source.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/index_position.h"
#include "block/index_leaf.h"
#include "block/section.h"
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

// Of leaves that are not read in pieces from the cache, one in so many is read through RocksDB
// although another way is known: all of it, for the cache to take it, and from where it is now.
constexpr uint32_t kReadWhole = 32;

// A leaf that was read, or is being read in pieces, and a place in it.
struct Leaf : LeafPieces {
  bool Copy(size_t at, size_t size, char* to) override {
    return in_cache ? ValueCache::Copy(cached, at, size, to)
                    : store->CopyLeafAt(stored, at, size, to);
  }
  // The pieces that are needed first. False: it is not to be had like this.
  bool ParseInPieces(size_t size, bool verify) {
    if (bytes.size() < size) bytes.resize(size);
    return LeafView::ParseInPieces(this, size, verify, bytes.data(), &view);
  }

  std::string low, bytes;
  LeafView view;
  bool in_cache = false;
  ValueCache::Found cached;
  ReaderStore* store = nullptr;
  ReaderStore::LeafAt stored;
};

uint64_t CacheKey(StorageId storage, Slice low) {
  return HashKey(low) ^ storage * 0x9E3779B97F4A7C15ull;
}

// A reader missed a leaf: the store worker is to read them all.
void WantLeaves(StorageEntry* entry) {
  LeafMapState partial = LeafMapState::kPartial;
  if (!entry->leaves.state.compare_exchange_strong(partial, LeafMapState::kWanted)) return;
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
    has_leaf_ = false;
    by_name_ = 0;
    failed_ = true;  // until a move succeeds
  }

  Status Seek(Slice key, TidNumber tid) override {
    OMENDB_RETURN_IF_ERROR(LoadCovering(Position(key, tid), true));
    if (has_leaf_) OMENDB_RETURN_IF_ERROR(SeekInLeaf<true>(key, tid));
    return SkipForward();
  }
  Status SeekBefore(Slice key, TidNumber tid) override {
    OMENDB_RETURN_IF_ERROR(LoadCovering(Position(key, tid), true));
    if (has_leaf_) OMENDB_RETURN_IF_ERROR(SeekInLeaf<false>(key, tid));
    return SkipBackward();
  }
  Status SeekToLast() override {
    OMENDB_RETURN_IF_ERROR(EnsureIterator());
    at_->Last();
    OMENDB_RETURN_IF_ERROR(LoadIterated());
    if (has_leaf_ && !leaf_->view.high().empty()) return MissingLeaf();
    if (has_leaf_) leaf_->view.Last();
    return SkipBackward();
  }
  Status Next() override {
    leaf_->view.Next();
    if (leaf_->view.lost()) OMENDB_RETURN_IF_ERROR(SeekInWhole<true>(entry().key, entry().tid + 1));
    return SkipForward();
  }
  Status Prev() override {
    leaf_->view.Prev();
    if (leaf_->view.lost()) OMENDB_RETURN_IF_ERROR(SeekInWhole<false>(entry().key, entry().tid));
    return SkipBackward();
  }
  bool Valid() const override { return has_leaf_ && leaf_->view.Valid(); }
  const IndexEntry& entry() const override { return leaf_->view.entry(); }

 private:
  Status EnsureIterator() {
    if (at_ != nullptr) return Status::Ok();
    return store_->NewLeafIterator(storage_, &at_);
  }

  // forward: to the first entry at or behind (key, tid), else to the last one before it.
  template <bool kForward>
  Status SeekInLeaf(Slice key, TidNumber tid) {
    SeekView<kForward>(key, tid);
    return leaf_->view.lost() ? SeekInWhole<kForward>(key, tid) : Status::Ok();
  }
  template <bool kForward>
  void SeekView(Slice key, TidNumber tid) {
    if (kForward) {
      leaf_->view.Seek(key, tid);
    } else {
      leaf_->view.SeekBefore(key, tid);
    }
  }
  // Others have taken the place of a leaf that is being read in pieces, or a piece of it is
  // damaged: it is read anew as a whole.
  template <bool kForward>
  Status SeekInWhole(Slice key, TidNumber tid) {
    const std::string sought(key);  // in the leaf that goes
    OMENDB_RETURN_IF_ERROR(LoadCovering(Position(sought, tid), false));
    if (has_leaf_) SeekView<kForward>(sought, tid);
    return Status::Ok();
  }

  // next_ becomes the current leaf.
  void Take(Slice low) {
    next_->low.assign(low);
    std::swap(leaf_, next_);
    has_leaf_ = true;
  }

  // The iterator's leaf becomes the current one.
  Status LoadIterated() {
    has_leaf_ = false;
    if (!at_->Valid()) return at_->status();
    next_->bytes.assign(at_->value());
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(next_->bytes, g_verify_checksums, &next_->view));
    // Keys of the store have no checksum on this path.
    if (!next_->view.has_base() || next_->view.low() != at_->low()) {
      return Status::Corruption("damaged index leaf", "it is not the one that its key names");
    }
    Take(at_->low());
    is_iterated_ = true;
    return Status::Ok();
  }

  // call(directory, map of the index), if there is one.
  template <typename Call>
  void InDirectory(const Call& call) {
    const uint32_t slot = LeafDirectorySlot();
    if (entry_ == nullptr || slot == AlexArena::kNoSlot || entry_->leaves.map.load() == 0) return;
    const LeafDirectory& directory = SharedLeafDirectory();
    AlexEpoch epoch(directory.arena(), slot);
    // Once more, inside the epoch: it may be gone.
    const uint32_t map = entry_->leaves.map.load(std::memory_order_acquire);
    if (map != 0) call(directory, map);
  }

  // The leaf that covers a position, by the directory. *found: it is the current one now. Else the
  // directory does not know, or is of another time than the store as this session sees it: the
  // leaf's own bounds tell. in_pieces: it may come so.
  Status LoadByName(Slice position, bool in_pieces, bool* found) {
    *found = false;
    bool known = false;
    LeafInfo info;
    InDirectory([&](const LeafDirectory& directory, uint32_t map) {
      known = directory.Find(map, position, &low_, nullptr, &info);
    });
    if (!known) return Status::Ok();
    OMENDB_RETURN_IF_ERROR(LoadLeaf(info, position, in_pieces, found));
    if (*found) {
      Take(low_);
      is_iterated_ = false;
    }
    return Status::Ok();
  }

  // The leaf low_ into next_, the cheapest way first. *found: it covers the position.
  Status LoadLeaf(const LeafInfo& info, Slice position, bool in_pieces, bool* found) {
    const uint64_t key = CacheKey(storage_, low_);
    const bool is_cached = SharedLeafCache().Find(key, info.changed, &next_->cached);
    if (is_cached && in_pieces) *found = LoadCachedBase(position);
    if (!*found && ++by_other_ways_ % kReadWhole != 0) {
      if (in_pieces) *found = LoadAtPlace(info, position);
      if (!*found && is_cached) OMENDB_RETURN_IF_ERROR(LoadCached(position, found));
    }
    if (*found) return Status::Ok();
    const Status status = store_->GetLeaf(storage_, low_, &next_->bytes);
    if (status.code() == StatusCode::kNotFound) return Status::Ok();
    OMENDB_RETURN_IF_ERROR(status);
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(next_->bytes, g_verify_checksums, &next_->view));
    *found = IsNext(position);
    if (!*found) return Status::Ok();
    if (g_verify_checksums) SharedLeafCache().Put(key, generation_, next_->bytes);
    if (next_->view.deltas() == 0 && next_->view.lsn() >= info.changed) {
      InDirectory([&](const LeafDirectory& directory, uint32_t map) {
        directory.NotePlace(map, low_, store_->last_place());
      });
    }
    return Status::Ok();
  }

  // In pieces, if it is a base alone. (Checksums were verified before it was put there.)
  bool LoadCachedBase(Slice position) {
    next_->in_cache = true;
    return next_->ParseInPieces(next_->cached.size(), false) && IsNext(position);
  }

  Status LoadCached(Slice position, bool* found) {
    if (!ValueCache::CopyWhole(next_->cached, &next_->bytes)) return Status::Ok();
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(next_->bytes, false, &next_->view));
    *found = IsNext(position);
    return Status::Ok();
  }

  // In pieces from where somebody found its base, if that is still all there is of it. (What a
  // damaged one says is not believed: RocksDB's way tells.)
  bool LoadAtPlace(const LeafInfo& info, Slice position) {
    next_->in_cache = false;
    next_->store = store_;
    if (!info.place || !store_->FindLeafAt(info.place, storage_, low_, &next_->stored) ||
        !next_->ParseInPieces(next_->stored.size, g_verify_checksums) || !IsNext(position)) {
      return false;
    }
    if (next_->view.lsn() >= info.changed) return true;
    InDirectory([&](const LeafDirectory& directory, uint32_t map) {
      directory.ForgetPlace(map, low_, info.place);
    });
    return false;
  }

  // Whether next_ is the leaf low_ and covers the position. (Two leaves may share a place of the
  // cache.)
  bool IsNext(Slice position) const {
    const LeafView& view = next_->view;
    return view.has_base() && view.low() == low_ && view.CoversPosition(position);
  }

  Status LoadCovering(Slice position, bool in_pieces) {
    bool found;
    has_leaf_ = false;
    OMENDB_RETURN_IF_ERROR(LoadByName(position, in_pieces, &found));
    if (found) return Status::Ok();
    if (entry_ != nullptr) WantLeaves(entry_);
    return LoadBySearch(position);
  }

  Status LoadBySearch(Slice position) {
    OMENDB_RETURN_IF_ERROR(EnsureIterator());
    at_->Seek(position);
    OMENDB_RETURN_IF_ERROR(LoadIterated());
    if (has_leaf_ && !leaf_->view.CoversPosition(position)) return MissingLeaf();
    return Status::Ok();
  }

  static Status MissingLeaf() {
    return Status::Corruption("damaged index leaf", "there is none where one has to be");
  }

  // The iterator's leaf, which lies directly behind the current one.
  Status LoadNext() {
    bound_.assign(leaf_->view.high());
    OMENDB_RETURN_IF_ERROR(LoadIterated());
    return (has_leaf_ ? Slice(leaf_->low) : Slice()) == bound_ ? Status::Ok() : MissingLeaf();
  }

  // The walk has come to this end of the current leaf. Empty: nothing lies behind it.
  Status TakeBound(Slice bound) {
    bound_.assign(bound);
    has_leaf_ = !bound_.empty();
    if (!has_leaf_ || SplitPosition(bound_, &bound_key_, &bound_tid_)) return Status::Ok();
    return DamagedLeaf("bound of %zu bytes", bound_.size());
  }

  // On to the next leaf with an entry. One from the cache may be of a later generation than the
  // store as this session sees it, in which leaves begin and end elsewhere: from such a one the
  // walk goes on at its bound, wherever in the next leaf that lies.
  Status SkipForward() {
    while (has_leaf_ && !leaf_->view.Valid()) {
      if (is_iterated_) {
        at_->Next();
        OMENDB_RETURN_IF_ERROR(LoadNext());
        if (has_leaf_) leaf_->view.First();
        continue;
      }
      OMENDB_RETURN_IF_ERROR(TakeBound(leaf_->view.high()));
      if (!has_leaf_) break;
      bool found = false;
      if (by_name_++ < kLeavesByName) OMENDB_RETURN_IF_ERROR(LoadByName(bound_, true, &found));
      if (!found) OMENDB_RETURN_IF_ERROR(LoadBySearch(bound_));
      if (has_leaf_) OMENDB_RETURN_IF_ERROR(SeekInLeaf<true>(bound_key_, bound_tid_));
    }
    failed_ = false;
    return Status::Ok();
  }
  Status SkipBackward() {
    while (has_leaf_ && !leaf_->view.Valid()) {
      OMENDB_RETURN_IF_ERROR(TakeBound(leaf_->low));
      if (!has_leaf_) break;
      if (!is_iterated_) {
        OMENDB_RETURN_IF_ERROR(EnsureIterator());
        at_->Seek(bound_);
      }
      if (at_->Valid() && at_->low() == bound_) at_->Prev();
      const bool is_newer = !is_iterated_ && leaf_->view.lsn() > generation_;
      OMENDB_RETURN_IF_ERROR(LoadIterated());
      // It is of the index's first flush, before which there were no leaves.
      if (!has_leaf_ && is_newer) break;
      const bool missing =
          !has_leaf_ || (!leaf_->view.high().empty() && leaf_->view.high() < bound_);
      if (missing) return MissingLeaf();
      if (has_leaf_) leaf_->view.SeekBefore(bound_key_, bound_tid_);
    }
    failed_ = false;
    return Status::Ok();
  }

  const StorageId storage_;
  const uint64_t generation_;
  ReaderStore* const store_;
  StorageEntry* entry_ = nullptr;
  std::unique_ptr<LeafIterator> at_;
  // The leaf whose view is the place among the entries, if there is one, and room for the next.
  std::unique_ptr<Leaf> leaf_ = std::make_unique<Leaf>(), next_ = std::make_unique<Leaf>();
  bool has_leaf_ = false;
  bool is_iterated_ = false;  // the iterator is on the current leaf
  std::string low_;           // of the leaf that is looked for
  std::string bound_;         // where a walk goes on in another leaf
  Slice bound_key_;
  TidNumber bound_tid_ = 0;
  int by_name_ = 0;             // leaves in this move that were found by name
  uint32_t by_other_ways_ = 0;  // leaves that were not read in pieces from the cache
  bool failed_ = true;
};

// Most recently used first. They belong to the session's reader.
std::vector<std::unique_ptr<StoredLeaves>>* g_sources = nullptr;

void DropSources() {
  if (g_sources != nullptr) g_sources->clear();
}

}  // namespace

// The state changes before a flush that brings the first ones; its segments are in the view.
bool StoreHasLeaves(const StorageEntry* entry) {
  return entry == nullptr || entry->leaves.state != LeafMapState::kEmpty;
}

LeafProbe::LeafProbe(StorageEntry* entry, Slice key, std::span<alex::Approach> approaches) {
  uint32_t slot = LeafDirectorySlot();
  if (entry == nullptr || slot == AlexArena::kNoSlot || entry->leaves.map.load() == 0) return;
  const LeafDirectory& directory = SharedLeafDirectory();
  epoch_.emplace(directory.arena(), slot);
  uint32_t map = entry->leaves.map.load(std::memory_order_acquire);
  if (map != 0) probe_ = directory.ProbeKey(map, key, approaches);
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
