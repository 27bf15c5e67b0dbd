// Walks over what a segment holds: for flushes, verdicts and scans.
#include "buffer/segment.h"
#include "buffer/segment_layout.h"
#include "base/pure.h"

namespace omendb {

using namespace segment_layout;  // NOLINT: the layout is this room's own vocabulary

namespace {

template <int kSize, typename Visit>
bool VisitList(const SlotList<kSize>& list, const Visit& visit) {
  int n = list.count.load(std::memory_order_acquire);
  for (int i = 0; i < n; i++) {
    visit(list.slots[i], list.newest[i].load(std::memory_order_acquire));
  }
  return n == kSize;
}

}  // namespace

template <typename Visit>
void Segment::ForEachSlot(const BlockEntry* entry, const Visit& visit) const {
  if (!VisitList(entry->list, visit)) return;
  const auto* overflow = At<OverflowSlots>(entry->overflow.load(std::memory_order_acquire));
  if (overflow == nullptr || !VisitList(overflow->list, visit)) return;
  const auto* directory = At<SlotDirectory>(overflow->directory.load(std::memory_order_acquire));
  if (directory == nullptr) return;
  for (uint32_t slot = 0; slot < kSlotsPerBlock; slot += 16) {
    const auto* group = At<SlotGroup>(directory->groups[slot / 16].load(std::memory_order_acquire));
    if (group == nullptr) continue;
    for (uint32_t i = 0; i < 16; i++) {
      uint32_t newest = group->newest[i].load(std::memory_order_acquire);
      if (newest != 0) visit(static_cast<SlotNo>(slot + i), newest);
    }
  }
}

void Segment::VisitSlots(const BlockEntry* entry, SlotVisitor visit, void* context) const {
  ForEachSlot(entry, [&](SlotNo slot, uint32_t newest) {
    visit(context, slot, At<BufferedVersion>(newest));
  });
}

void Segment::VersionSlots(const BlockEntry* entry, uint64_t* slots) const {
  for (int i = 0; i < 4; i++) slots[i] = 0;
  ForEachSlot(entry, [&](SlotNo slot, uint32_t) { slots[slot / 64] |= uint64_t{1} << slot % 64; });
}

void Segment::VisitBlocksOf(const StorageEntry* storage, BlockVisitor visit, void* context) const {
  uint32_t at = storage->blocks.load(std::memory_order_acquire);
  while (const BlockEntry* entry = At<BlockEntry>(at)) {
    visit(context, entry->storage, entry->block, entry);
    at = entry->next_of_storage;
  }
}

void Segment::VisitBlocks(StorageId storage, BlockVisitor visit, void* context) const {
  if (const StorageEntry* found = FindStorage(storage)) VisitBlocksOf(found, visit, context);
}

void Segment::VisitAllBlocks(BlockVisitor visit, void* context) const {
  for (uint32_t i = 0; i < header_->storage_buckets; i++) {
    uint32_t at = header_->storage_table()[i].load(std::memory_order_acquire);
    while (const StorageEntry* storage = At<StorageEntry>(at)) {
      VisitBlocksOf(storage, visit, context);
      at = storage->next_in_bucket;
    }
  }
}

void Segment::VisitXids(VersionVisitor visit, void* context) const {
  struct Walk {
    const Segment* segment;
    VersionVisitor visit;
    void* context;
  } walk{this, visit, context};
  VisitAllBlocks(
      [](void* opaque, StorageId, BlockNo, const BlockEntry* entry) {
        const Walk& to = *static_cast<const Walk*>(opaque);
        const Segment* segment = to.segment;
        segment->ForEachSlot(entry, [&](SlotNo, uint32_t newest) {
          auto* version = segment->At<BufferedVersion>(newest);
          for (; version != nullptr; version = segment->Older(version)) {
            to.visit(to.context, version->xid, &version->flags);
          }
        });
        BufferedImage* image = segment->NewestImage(entry);
        for (; image != nullptr; image = segment->Older(image)) {
          to.visit(to.context, image->xid, &image->flags);
        }
      },
      &walk);
}

}  // namespace omendb
