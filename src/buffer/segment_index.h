// The entries of one index in one segment of the write buffer: a learned index in the segment's
// arena. Kept apart from segment.h, so that only those who look at entries need the ALEX templates.
#pragma once

#include <optional>

#include "alex/alex_map.h"
#include "base/index_entry.h"
#include "buffer/segment.h"

namespace omendb {

// Set in an item's flags: a tombstone.
inline constexpr uint8_t kEntryRemoved = 0x01;

// The arena as the map sees it. What is retired stays until the segment is reset.
class SegmentMemory {
 public:
  explicit SegmentMemory(Segment::Header* header, Segment::Allocation* allocation = nullptr)
      : header_(header), allocation_(allocation) {}
  char* base() const { return reinterpret_cast<char*>(header_); }
  uint32_t Allocate(size_t bytes);  // REQUIRES: made with an allocation
  void Retire(uint32_t, size_t) {}

 private:
  Segment::Header* header_;
  Segment::Allocation* allocation_;
};

using SegmentMap = AlexMap<SegmentMemory>;

// Handle; valid as long as the segment is not reset.
class SegmentIndex {
 public:
  SegmentIndex() : map_(SegmentMemory(nullptr), 0) {}
  explicit SegmentIndex(const SegmentMap& map) : map_(map) {}
  const SegmentMap& map() const { return map_; }
  AlexStats Stats() const { return map_.Stats(); }
  // Whether there is an entry of the key, or a tombstone.
  bool HasKey(Slice key) const {
    AlexItem item;
    return map_.FindNotBefore(key, 0, &item) && item.key == key;
  }

  // Entries in order, tombstones among them; also while writers add others.
  class Iterator {
   public:
    Iterator() = default;
    Iterator(const Iterator&) = delete;
    Iterator& operator=(const Iterator&) = delete;

    void Attach(const SegmentIndex& index) { at_.emplace(index.map_); }
    void Seek(Slice key, TidNumber tid) {
      at_->Seek(key, tid);
      Show();
    }
    void SeekBefore(Slice key, TidNumber tid) {
      at_->SeekBefore(key, tid);
      Show();
    }
    void SeekToFirst() {
      at_->SeekToFirst();
      Show();
    }
    void SeekToLast() {
      at_->SeekToLast();
      Show();
    }
    void Next() {
      at_->Next();
      Show();
    }
    void Prev() {
      at_->Prev();
      Show();
    }
    bool Valid() const { return at_->Valid(); }
    const IndexEntry& entry() const { return entry_; }  // until the next move. REQUIRES: Valid()

   private:
    void Show() {
      if (!at_->Valid()) return;
      const AlexItem& item = at_->item();
      entry_ = {item.key, item.tid, item.payload, (item.flags & kEntryRemoved) != 0};
    }

    std::optional<SegmentMap::Iterator> at_;
    IndexEntry entry_;
  };

 private:
  SegmentMap map_;
};

}  // namespace omendb
