#include "engine/index_reader.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "buffer/segment_index.h"
#include "engine/leaf_source.h"
#include "engine/session.h"
#include "pg/failure_point.h"
#include "pg/guard.h"
#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/storage_table.h"

extern "C" {
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

struct IndexReader {
  Relation index;
  StorageId storage;
  StorageEntry* entry;  // in the shared table
  MemoryContextCallback callback;

  struct Item {
    uint64_t at;  // of the key in bytes; the payload follows
    TidNumber tid;
    uint32_t key_size, payload_size;
  };
  std::vector<Item> items;
  std::string bytes;

  std::string watched;
  KeyFingerprint fingerprint{};
};

namespace {

// The segments' entries, but for the `skipped` newest ones, and the store's, each in order; the
// newest source first.
class Merge {
 public:
  Merge(const ReadView& view, StorageId storage, int skipped, LeafSource* leaves)
      : leaves_(leaves) {
    for (int i = skipped; i < view.count; i++) {
      SegmentIndex index;
      if (view.segments[i].FindIndex(storage, &index)) segments_[count_++].Attach(index);
    }
  }

  Status Seek(Slice key, TidNumber tid) {
    for (int i = 0; i < count_; i++) segments_[i].Seek(key, tid);
    if (leaves_ != nullptr) OMENDB_RETURN_IF_ERROR(leaves_->Seek(key, tid));
    return Pick(false);
  }
  Status SeekBefore(Slice key, TidNumber tid) {
    for (int i = 0; i < count_; i++) segments_[i].SeekBefore(key, tid);
    if (leaves_ != nullptr) OMENDB_RETURN_IF_ERROR(leaves_->SeekBefore(key, tid));
    return Pick(true);
  }
  Status SeekToLast() {
    for (int i = 0; i < count_; i++) segments_[i].SeekToLast();
    if (leaves_ != nullptr) OMENDB_RETURN_IF_ERROR(leaves_->SeekToLast());
    return Pick(true);
  }
  bool Valid() const { return picked_ >= 0; }
  const IndexEntry& entry() const { return At(picked_); }
  Status Move(bool backward) {
    OMENDB_RETURN_IF_ERROR(Drop(picked_, backward));
    return Pick(backward);
  }

 private:
  bool IsValid(int i) const {
    return i < count_ ? segments_[i].Valid() : leaves_ != nullptr && leaves_->Valid();
  }
  const IndexEntry& At(int i) const { return i < count_ ? segments_[i].entry() : leaves_->entry(); }
  Status Step(int i, bool backward) {
    if (i == count_) return backward ? leaves_->Prev() : leaves_->Next();
    if (backward) {
      segments_[i].Prev();
    } else {
      segments_[i].Next();
    }
    return Status::Ok();
  }
  // Moves all sources that stand at the entry of source i off it.
  Status Drop(int i, bool backward) {
    const IndexEntry& done = At(i);
    for (int other = count_; other > i; other--) {
      if (!IsValid(other)) continue;
      const IndexEntry& entry = At(other);
      if (entry.tid == done.tid && entry.key == done.key) {
        OMENDB_RETURN_IF_ERROR(Step(other, backward));
      }
    }
    return Step(i, backward);
  }
  // The next entry that is not removed. Of equal ones the first source's is the newest, and no
  // source before the one picked has it.
  Status Pick(bool backward) {
    for (;;) {
      picked_ = -1;
      for (int i = 0; i <= count_; i++) {
        if (!IsValid(i)) continue;
        if (picked_ < 0) {
          picked_ = i;
          continue;
        }
        const IndexEntry &entry = At(i), &best = At(picked_);
        int order = CompareEntries(entry.key, entry.tid, best.key, best.tid);
        if (backward ? order > 0 : order < 0) picked_ = i;
      }
      if (picked_ < 0 || !At(picked_).removed) return Status::Ok();
      OMENDB_RETURN_IF_ERROR(Drop(picked_, backward));
    }
  }

  SegmentIndex::Iterator segments_[kSegmentCount];
  int count_ = 0;
  LeafSource* leaves_;
  int picked_ = -1;
};

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

KeyFingerprint FingerprintIn(uint64_t sequence, const Segment& segment, StorageId storage,
                             Slice key) {
  KeyFingerprint fingerprint{sequence, segment.index_removals(), 0};
  SegmentIndex index;
  if (!segment.FindIndex(storage, &index) || !index.HasKey(key)) return fingerprint;
  SegmentIndex::Iterator at;
  at.Attach(index);
  for (at.Seek(key, 0); at.Valid() && at.entry().key == key; at.Next()) {
    fingerprint.value += Mix(at.entry().tid << 1 | (at.entry().removed ? 1 : 0)) | 1;
  }
  return fingerprint;
}

// Where entries of a key may be.
struct KeyPlaces {
  bool newest = true;  // of the segments
  bool others = true;
  bool leaves = true;
  bool any() const { return newest || others || leaves; }
};

// Takes the fingerprint of the key that is watched: what comes from now on changes it.
KeyPlaces FindWatched(const ReadView& view, IndexReader* reader) {
  SegmentIndex indexes[kSegmentCount];
  alex::Approach approaches[kSegmentCount + 1];
  size_t count = 0, others = 0;  // others: where those of the segments behind the newest begin
  for (int i = 0; i < view.count; i++) {
    if (!view.segments[i].FindIndex(reader->storage, &indexes[count])) continue;
    approaches[count] = indexes[count].map().ApproachTo(reader->watched, 0);
    count++;
    if (i == 0) others = count;
  }
  KeyPlaces places;
  std::optional<LeafProbe> leaves;
  places.leaves = StoreHasLeaves(reader->entry);
  if (places.leaves) {
    leaves.emplace(reader->entry, reader->watched, std::span(approaches, count + 1));
  }
  reader->fingerprint =
      FingerprintIn(view.newest_sequence, view.segments[0], reader->storage, reader->watched);
  places.newest = reader->fingerprint.value != 0;
  places.others = std::any_of(indexes + others, indexes + count, [&](const SegmentIndex& index) {
    return index.HasKey(reader->watched);
  });
  if (places.leaves) places.leaves = leaves->MayHave();
  return places;
}

void Append(IndexReader* reader, const IndexEntry& entry) {
  reader->items.push_back({reader->bytes.size(), entry.tid, static_cast<uint32_t>(entry.key.size()),
                           static_cast<uint32_t>(entry.payload.size())});
  reader->bytes.append(entry.key);
  reader->bytes.append(entry.payload);
}

Status Start(Merge* merge, const IndexSpan& span, bool backward) {
  if (span.after_position) {
    return backward ? merge->SeekBefore(span.key, span.tid) : merge->Seek(span.key, span.tid + 1);
  }
  if (!backward) return merge->Seek(span.low, 0);
  return span.high_unbounded ? merge->SeekToLast() : merge->SeekBefore(span.high, 0);
}

bool IsBeyond(const IndexSpan& span, Slice key, bool backward) {
  return backward ? key < span.low : !span.high_unbounded && key >= span.high;
}

Status NameDamage(const Status& status, const char* index) {
  if (status.code() != StatusCode::kCorruption) return status;
  return Status::Make(StatusCode::kCorruption, std::string("index \"") + index + "\" is damaged",
                      status.message() + (status.detail().empty() ? "" : ": " + status.detail()),
                      "REINDEX makes it anew from its table.");
}

void Delete(void* argument) { delete static_cast<IndexReader*>(argument); }

}  // namespace

IndexReader* OpenIndexReader(Relation index, StorageId storage, MemoryContext owner) {
  EnsureEngineSession();
  IndexReader* reader = nullptr;
  Guarded([&] {
    reader = new IndexReader;
    return Status::Ok();
  });
  reader->index = index;
  reader->storage = storage;
  reader->entry = SharedEntryOf(storage);
  reader->callback.func = Delete;
  reader->callback.arg = reader;
  MemoryContextRegisterResetCallback(owner, &reader->callback);
  return reader;
}

void CloseIndexReader(IndexReader* reader) {
  // The callback stays registered: the memory goes with the context, what is large goes now.
  reader->items.clear();
  reader->items.shrink_to_fit();
  reader->bytes.clear();
  reader->bytes.shrink_to_fit();
}

int ReadIndexBatch(IndexReader* reader, const IndexSpan& span, bool backward, int limit,
                   bool* complete) {
  // What the callers look for may be in none of many batches.
  CHECK_FOR_INTERRUPTS();
  ReadView view;
  ReadPin(&view);
  KeyPlaces places;
  if (reader->watched.empty()) {
    places.leaves = StoreHasLeaves(reader->entry);
  } else {
    // It is all that is read.
    Guarded([&] {
      places = FindWatched(view, reader);
      return Status::Ok();
    });
  }
  LeafSource* leaves =
      places.leaves ? OpenLeafSource(view, reader->storage, reader->entry) : nullptr;
  VisitFailurePoint("index_batch");
  const char* name = RelationGetRelationName(reader->index);
  Guarded([&] {
    if (!places.any()) {
      reader->items.clear();
      reader->bytes.clear();
      *complete = true;
      return Status::Ok();
    }
    Merge merge(view, reader->storage, places.newest ? 0 : 1, leaves);
    Status status = Start(&merge, span, backward);
    // Not before: the position may be in the batch that is replaced.
    reader->items.clear();
    reader->bytes.clear();
    *complete = false;
    while (status.ok()) {
      if (!merge.Valid() || IsBeyond(span, merge.entry().key, backward)) {
        *complete = true;
        break;
      }
      if (static_cast<int>(reader->items.size()) == limit) break;
      Append(reader, merge.entry());
      status = merge.Move(backward);
    }
    return NameDamage(status, name);
  });
  ReadUnpin();
  return static_cast<int>(reader->items.size());
}

IndexEntry BatchEntry(const IndexReader* reader, int number) {
  const IndexReader::Item& item = reader->items[static_cast<size_t>(number)];
  Slice bytes(reader->bytes);
  return IndexEntry{bytes.substr(item.at, item.key_size), item.tid,
                    bytes.substr(item.at + item.key_size, item.payload_size), false};
}

KeyFingerprint BatchFingerprint(const IndexReader* reader) { return reader->fingerprint; }

void WatchKey(IndexReader* reader, Slice key) {
  Guarded([&] {
    reader->watched.assign(key);
    return Status::Ok();
  });
}

KeyFingerprint CurrentFingerprint(StorageId storage, Slice key) {
  int active = g_shared->active;
  return FingerprintIn(g_shared->segments[active].sequence, SegmentAt(active), storage, key);
}

}  // namespace omendb
