#include "buffer/segment_index.h"

#include "base/pure.h"
#include "buffer/segment_layout.h"

namespace omendb {

using namespace segment_layout;  // NOLINT: the layout is this room's own vocabulary

namespace {

// One insert must not take much of a segment in advance.
constexpr AlexOptions kOptions = kAlexBufferOptions;

// Room for the map itself and its first leaf.
constexpr size_t kBoundForMap = 1024;

}  // namespace

uint32_t SegmentMemory::Allocate(size_t bytes) { return allocation_->Take(bytes); }

size_t Segment::BoundForIndexEntry(const IndexEntry& entry) {
  return sizeof(StorageEntry) + kBoundForMap +
         RoundUp(SegmentMap::BoundForPut(entry.key.size(), entry.payload.size(), kOptions));
}

void Segment::ApplyIndexEntry(StorageId storage_id, const IndexEntry& entry, Slice prefix) {
  Allocation allocation(header_, BoundForIndexEntry(entry));
  SegmentMemory memory(header_, &allocation);
  StorageEntry* storage = FindOrAddStorage(storage_id, &allocation);
  uint32_t map = storage->index.load(std::memory_order_acquire);
  if (map == 0) {
    uint32_t made = SegmentMap::Create(memory, prefix, kOptions);
    // Another writer may have been faster: then its map is the one, and ours stays unreachable.
    if (storage->index.compare_exchange_strong(map, made, std::memory_order_acq_rel,
                                               std::memory_order_acquire)) {
      map = made;
    }
  }
  AlexPut put =
      SegmentMap(memory, map)
          .Put(entry.key, entry.tid, entry.removed ? kEntryRemoved : uint8_t{0}, entry.payload);
  assert(put != AlexPut::kNoRoom);
  (void)put;
  header_->index_entries.fetch_add(1, std::memory_order_relaxed);
  if (entry.removed) header_->index_removals.fetch_add(1, std::memory_order_release);
}

bool Segment::HasIndex(StorageId storage_id) const {
  const StorageEntry* storage = FindStorage(storage_id);
  return storage != nullptr && storage->index.load(std::memory_order_acquire) != 0;
}

bool Segment::FindIndex(StorageId storage_id, SegmentIndex* index) const {
  const StorageEntry* storage = FindStorage(storage_id);
  uint32_t map = storage == nullptr ? 0 : storage->index.load(std::memory_order_acquire);
  if (map == 0) return false;
  *index = SegmentIndex(SegmentMap(SegmentMemory(header_), map));
  return true;
}

void Segment::VisitIndexes(IndexVisitor visit, void* context) const {
  for (uint32_t i = 0; i < header_->storage_buckets; i++) {
    uint32_t at = header_->storage_table()[i].load(std::memory_order_acquire);
    while (const StorageEntry* storage = At<StorageEntry>(at)) {
      if (uint32_t map = storage->index.load(std::memory_order_acquire); map != 0) {
        visit(context, storage->storage, SegmentIndex(SegmentMap(SegmentMemory(header_), map)));
      }
      at = storage->next_in_bucket;
    }
  }
}

uint64_t Segment::index_entries() const {
  return header_->index_entries.load(std::memory_order_relaxed);
}

uint64_t Segment::index_removals() const {
  return header_->index_removals.load(std::memory_order_acquire);
}

}  // namespace omendb
