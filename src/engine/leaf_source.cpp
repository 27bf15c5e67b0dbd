#include "engine/leaf_source.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_cache.h"
#include "base/index_position.h"
#include "pg/guard.h"
#include "pg/settings.h"
#include "store/leaf_iterator.h"
#include "store/reader_store.h"

namespace omendb {
namespace {

// Indexes whose last leaf a session keeps.
constexpr size_t kSources = 16;

class StoredLeaves : public LeafSource {
 public:
  StoredLeaves(StorageId storage, uint64_t generation) : storage_(storage), generation_(generation) {}

  StorageId storage() const { return storage_; }
  uint64_t generation() const { return generation_; }
  bool failed() const { return failed_; }
  Status Open(ReaderStore* store) { return store->NewLeafIterator(storage_, &leaves_); }

  Status Seek(Slice key, TidNumber tid) override {
    if (!loaded_ || !view_.has_base() || !view_.Covers(key, tid)) {
      leaves_->Seek(Position(key, tid));
      OMENDB_RETURN_IF_ERROR(Load());
    }
    if (!loaded_) return Status::Ok();
    view_.Seek(key, tid);
    return SkipForward();
  }
  Status SeekBefore(Slice key, TidNumber tid) override {
    if (!loaded_ || !view_.has_base() || !view_.Covers(key, tid)) {
      leaves_->Seek(Position(key, tid));
      OMENDB_RETURN_IF_ERROR(Load());
    }
    if (!loaded_) return Status::Ok();
    view_.SeekBefore(key, tid);
    return SkipBackward();
  }
  Status SeekToLast() override {
    leaves_->Last();
    OMENDB_RETURN_IF_ERROR(Load());
    if (!loaded_) return Status::Ok();
    view_.Last();
    return SkipBackward();
  }
  Status Next() override {
    view_.Next();
    return SkipForward();
  }
  Status Prev() override {
    view_.Prev();
    return SkipBackward();
  }
  bool Valid() const override { return loaded_ && view_.Valid(); }
  const IndexEntry& entry() const override { return view_.entry(); }

 private:
  // The leaf that the iterator is at, if any. Its bytes are copied: the iterator moves on.
  Status Load() {
    loaded_ = false;
    failed_ = true;
    if (!leaves_->Valid()) {
      Status status = leaves_->status();
      failed_ = !status.ok();
      return status;
    }
    bytes_.assign(leaves_->value());
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(bytes_, g_verify_checksums, &view_));
    failed_ = false;
    loaded_ = true;
    return Status::Ok();
  }
  Status SkipForward() {
    while (loaded_ && !view_.Valid()) {
      leaves_->Next();
      OMENDB_RETURN_IF_ERROR(Load());
      if (loaded_) view_.First();
    }
    return Status::Ok();
  }
  Status SkipBackward() {
    while (loaded_ && !view_.Valid()) {
      leaves_->Prev();
      OMENDB_RETURN_IF_ERROR(Load());
      if (loaded_) view_.Last();
    }
    return Status::Ok();
  }

  const StorageId storage_;
  const uint64_t generation_;
  std::unique_ptr<LeafIterator> leaves_;
  bool failed_ = false;
  bool loaded_ = false;  // view_ shows the leaf that leaves_ is at
  std::string bytes_;
  LeafView view_;
};

// Most recently used first. Belongs to the session's reader.
std::vector<std::unique_ptr<StoredLeaves>>* g_sources = nullptr;

void DropSources() {
  if (g_sources != nullptr) g_sources->clear();
}

}  // namespace

LeafSource* OpenLeafSource(const ReadView& view, StorageId storage) {
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
    for (size_t i = 0; i < sources.size(); i++) {
      if (sources[i]->storage() != storage) continue;
      std::rotate(sources.begin(), sources.begin() + i, sources.begin() + i + 1);
      break;
    }
    if (!sources.empty() && sources[0]->storage() == storage && sources[0]->failed()) {
      sources.erase(sources.begin());
    }
    if (sources.empty() || sources[0]->storage() != storage) {
      if (sources.size() == kSources) sources.pop_back();
      auto source = std::make_unique<StoredLeaves>(storage, store->generation());
      OMENDB_RETURN_IF_ERROR(source->Open(store));
      sources.insert(sources.begin(), std::move(source));
    }
    result = sources[0].get();
    return Status::Ok();
  });
  return result;
}

}  // namespace omendb
