#include "buffer/segment.h"

#include <cassert>
#include <cstring>
#include <new>

#include "buffer/segment_layout.h"
#include "base/pure.h"

namespace omendb {

using namespace segment_layout;  // NOLINT: the layout is this file's own vocabulary

VersionMeta BufferedVersion::meta() const {
  return {xid, lsn, cid, kind, flags.load(std::memory_order_acquire)};
}
Slice BufferedVersion::payload() const { return {reinterpret_cast<const char*>(this + 1), size}; }

VersionMeta BufferedImage::meta() const {
  return {xid, lsn, cid, VersionKind::kInsert, flags.load(std::memory_order_acquire)};
}
Slice BufferedImage::section() const { return {reinterpret_cast<const char*>(this + 1), size}; }

namespace {

uint32_t BlockBuckets(size_t size) {
  return static_cast<uint32_t>(size / kBytesPerBlockBucket + 1);
}
uint32_t StorageBuckets(size_t size) {
  return static_cast<uint32_t>(size / kBytesPerStorageBucket + 1);
}

// The header and the tables of a segment of so many bytes.
size_t FixedBytes(size_t header_size, size_t size) {
  return header_size +
         RoundUp(BlockBuckets(size) * sizeof(uint64_t) + StorageBuckets(size) * sizeof(uint32_t));
}

template <typename T>
void CopyBehind(T* object, Slice bytes) {
  if (!bytes.empty()) {
    std::memcpy(reinterpret_cast<char*>(object + 1), bytes.data(), bytes.size());
  }
}

}  // namespace

size_t Segment::SizeFor(size_t capacity) {
  // Whole cache lines, so that segments one behind the other stay aligned.
  size_t size = (capacity + sizeof(Header)) / kCacheLine * kCacheLine;
  size_t fixed;
  while ((fixed = FixedBytes(sizeof(Header), size)) + capacity > size) {
    size = (fixed + capacity + kCacheLine - 1) / kCacheLine * kCacheLine;
  }
  return size;
}

Segment Segment::Format(void* memory, size_t size) {
  static_assert(sizeof(Header) == 2 * kCacheLine);
  static_assert(sizeof(BlockEntry) == 64 && sizeof(StorageEntry) == 24);
  assert(reinterpret_cast<uintptr_t>(memory) % kUnit == 0);
  if (size > kMaxSize) size = kMaxSize;
  size_t fixed = FixedBytes(sizeof(Header), size);
  assert(size >= fixed);

  Header* header = new (memory) Header{};
  header->arena = fixed;
  header->capacity = size < fixed ? 0 : (size - fixed) / kUnit * kUnit;
  header->block_buckets = BlockBuckets(size);
  header->storage_buckets = StorageBuckets(size);
  Segment segment(header);
  segment.Reset();
  return segment;
}

Segment Segment::Attach(void* memory) { return Segment(static_cast<Header*>(memory)); }

void Segment::Reset() {
  for (uint32_t i = 0; i < header_->block_buckets; i++) {
    new (&header_->block_table()[i]) std::atomic<uint64_t>(0);
  }
  for (uint32_t i = 0; i < header_->storage_buckets; i++) {
    new (&header_->storage_table()[i]) std::atomic<uint32_t>(0);
  }
  header_->versions.store(0, std::memory_order_relaxed);
  header_->images.store(0, std::memory_order_relaxed);
  header_->blocks.store(0, std::memory_order_relaxed);
  header_->index_entries.store(0, std::memory_order_relaxed);
  header_->index_removals.store(0, std::memory_order_relaxed);
  header_->first_lsn.store(0, std::memory_order_relaxed);
  header_->last_lsn.store(0, std::memory_order_relaxed);
  header_->used.store(0, std::memory_order_relaxed);
  // Last, and released: whoever gets a reservation afterwards finds an empty segment.
  header_->reserved.store(0, std::memory_order_release);
}

size_t Segment::BoundForVersion(size_t payload_size) {
  // At worst the slot needs a directory and a group, or the block an entry and its storage one too.
  constexpr size_t kSlot = sizeof(SlotDirectory) + sizeof(SlotGroup);
  static_assert(kSlot >= sizeof(BlockEntry) + sizeof(StorageEntry));
  static_assert(kSlot >= RoundUp(sizeof(OverflowSlots)));
  return kSlot + RoundUp(sizeof(BufferedVersion) + payload_size);
}

size_t Segment::BoundForImage(size_t section_size) {
  return sizeof(BlockEntry) + sizeof(StorageEntry) + RoundUp(sizeof(BufferedImage) + section_size);
}

size_t Segment::capacity() const { return header_->capacity; }

bool Segment::Reserve(size_t bytes) {
  uint64_t now = header_->reserved.load(std::memory_order_relaxed);
  do {
    if (bytes > header_->capacity - now) return false;
  } while (!header_->reserved.compare_exchange_weak(now, now + bytes, std::memory_order_acquire,
                                                    std::memory_order_relaxed));
  return true;
}

void Segment::Release(size_t bytes) {
  [[maybe_unused]] uint64_t before = header_->reserved.fetch_sub(bytes, std::memory_order_relaxed);
  assert(before >= bytes);
}

void Segment::ApplyVersion(StorageId storage, BlockNo block, SlotNo slot, const VersionMeta& meta,
                           Slice payload, bool new_block) {
  Allocation allocation(header_, BoundForVersion(payload.size()));
  BlockEntry* entry = FindEntry(storage, block);
  // A new entry becomes visible together with its first version: nobody meets an empty block.
  bool is_new_entry = entry == nullptr;
  if (is_new_entry) {
    entry = NewEntry(storage, block, new_block, &allocation);
  } else if (new_block) {
    entry->flags.fetch_or(kEntryNewBlock, std::memory_order_relaxed);
  }

  uint32_t offset;
  BufferedVersion* version = allocation.New<BufferedVersion>(payload.size(), &offset);
  std::atomic<uint32_t>* newest = is_new_entry ? nullptr : FindSlot(entry, slot);
  version->xid = meta.xid;
  version->lsn = meta.lsn;
  version->cid = meta.cid;
  version->size = static_cast<uint32_t>(payload.size());
  version->older = newest == nullptr ? 0 : newest->load(std::memory_order_relaxed);
  version->kind = meta.kind;
  version->flags.store(meta.flags, std::memory_order_relaxed);
  CopyBehind(version, payload);
  assert(version->older == 0 || At<BufferedVersion>(version->older)->lsn < meta.lsn);

  if (newest != nullptr) {
    newest->store(offset, std::memory_order_release);
  } else {
    AddSlot(entry, slot, offset, &allocation);
  }
  if (is_new_entry) PublishEntry(entry, &allocation);
  header_->versions.fetch_add(1, std::memory_order_relaxed);
}

void Segment::ApplyImage(StorageId storage, BlockNo block, const VersionMeta& meta, Slice section,
                         bool new_block) {
  Allocation allocation(header_, BoundForImage(section.size()));
  BlockEntry* entry = FindEntry(storage, block);
  bool is_new_entry = entry == nullptr;
  if (is_new_entry) {
    entry = NewEntry(storage, block, new_block, &allocation);
  } else if (new_block) {
    entry->flags.fetch_or(kEntryNewBlock, std::memory_order_relaxed);
  }

  uint32_t offset;
  BufferedImage* image = allocation.New<BufferedImage>(section.size(), &offset);
  image->xid = meta.xid;
  image->lsn = meta.lsn;
  image->cid = meta.cid;
  image->size = static_cast<uint32_t>(section.size());
  image->older = entry->images.load(std::memory_order_relaxed);
  image->flags.store(meta.flags, std::memory_order_relaxed);
  CopyBehind(image, section);

  entry->images.store(offset, std::memory_order_release);
  if (is_new_entry) PublishEntry(entry, &allocation);
  header_->images.fetch_add(1, std::memory_order_relaxed);
}

Segment::BlockEntry* Segment::NewEntry(StorageId storage, BlockNo block, bool new_block,
                                       Allocation* allocation) {
  uint32_t offset;
  BlockEntry* entry = allocation->New<BlockEntry>(0, &offset);
  entry->storage = storage;
  entry->block = block;
  entry->flags.store(new_block ? kEntryNewBlock : 0, std::memory_order_relaxed);
  return entry;
}

// Other writers may publish entries of other blocks in the same bucket or storage meanwhile. Every
// link is swung by compare-and-swap, whose chain of releases a reader's acquire of the head joins.
void Segment::PublishEntry(BlockEntry* entry, Allocation* allocation) {
  auto offset = static_cast<uint32_t>(
      (reinterpret_cast<char*>(entry) - reinterpret_cast<char*>(header_)) / kUnit);
  uint64_t hash = HashBlock(entry->storage, entry->block);
  std::atomic<uint64_t>* bucket = &header_->block_table()[BucketOf(hash, header_->block_buckets)];
  uint64_t first = bucket->load(std::memory_order_relaxed);
  uint64_t filter;
  do {
    entry->next_in_bucket = BucketHead(first);
    filter = (first >> 32 << 32) | FilterBit(hash);
  } while (!bucket->compare_exchange_weak(first, filter | offset, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));

  StorageEntry* storage = FindOrAddStorage(entry->storage, allocation);
  uint32_t first_block = storage->blocks.load(std::memory_order_relaxed);
  do {
    entry->next_of_storage = first_block;
  } while (!storage->blocks.compare_exchange_weak(first_block, offset, std::memory_order_acq_rel,
                                                  std::memory_order_relaxed));
  header_->blocks.fetch_add(1, std::memory_order_relaxed);
}

Segment::StorageEntry* Segment::FindStorage(StorageId storage) const {
  size_t bucket = BucketOf(Mix(storage), header_->storage_buckets);
  uint32_t at = header_->storage_table()[bucket].load(std::memory_order_acquire);
  while (StorageEntry* found = At<StorageEntry>(at)) {
    if (found->storage == storage) return found;
    at = found->next_in_bucket;
  }
  return nullptr;
}

Segment::StorageEntry* Segment::FindOrAddStorage(StorageId storage, Allocation* allocation) {
  if (StorageEntry* found = FindStorage(storage)) return found;

  uint32_t offset;
  StorageEntry* added = allocation->New<StorageEntry>(0, &offset);
  added->storage = storage;
  std::atomic<uint32_t>* bucket =
      &header_->storage_table()[BucketOf(Mix(storage), header_->storage_buckets)];
  uint32_t first = bucket->load(std::memory_order_acquire);
  do {
    // The writer of another block of this storage may have been faster: then its entry is the one,
    // and ours stays unreachable.
    for (uint32_t at = first; at != 0;) {
      StorageEntry* other = At<StorageEntry>(at);
      if (other->storage == storage) return other;
      at = other->next_in_bucket;
    }
    added->next_in_bucket = first;
  } while (!bucket->compare_exchange_weak(first, offset, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  return added;
}

void Segment::AddSlot(BlockEntry* entry, SlotNo slot, uint32_t version, Allocation* allocation) {
  if (entry->list.Add(slot, version)) return;

  uint32_t offset;
  auto* overflow = At<OverflowSlots>(entry->overflow.load(std::memory_order_relaxed));
  if (overflow == nullptr) {
    overflow = allocation->New<OverflowSlots>(0, &offset);
    overflow->list.Add(slot, version);
    entry->overflow.store(offset, std::memory_order_release);
    return;
  }
  if (overflow->list.Add(slot, version)) return;

  auto* directory = At<SlotDirectory>(overflow->directory.load(std::memory_order_relaxed));
  if (directory == nullptr) {
    directory = allocation->New<SlotDirectory>(0, &offset);
    overflow->directory.store(offset, std::memory_order_release);
  }
  std::atomic<uint32_t>* link = &directory->groups[slot / 16];
  auto* group = At<SlotGroup>(link->load(std::memory_order_relaxed));
  if (group == nullptr) {
    group = allocation->New<SlotGroup>(0, &offset);
    link->store(offset, std::memory_order_release);
  }
  group->newest[slot % 16].store(version, std::memory_order_release);
}

Segment::BlockEntry* Segment::FindEntry(StorageId storage, BlockNo block) const {
  uint64_t hash = HashBlock(storage, block);
  uint64_t bucket = header_->block_table()[BucketOf(hash, header_->block_buckets)].load(
      std::memory_order_acquire);
  if ((bucket & FilterBit(hash)) == 0) return nullptr;
  uint32_t at = BucketHead(bucket);
  while (BlockEntry* entry = At<BlockEntry>(at)) {
    if (entry->block == block && entry->storage == storage) return entry;
    at = entry->next_in_bucket;
  }
  return nullptr;
}

// The link to the newest version; nullptr if the slot has none (or a null link in its group).
std::atomic<uint32_t>* Segment::FindSlot(const BlockEntry* entry, SlotNo slot) const {
  bool full;
  if (const auto* link = entry->list.Find(slot, &full)) {
    return const_cast<std::atomic<uint32_t>*>(link);
  }
  if (!full) return nullptr;
  auto* overflow = At<OverflowSlots>(entry->overflow.load(std::memory_order_acquire));
  if (overflow == nullptr) return nullptr;
  if (auto* link = overflow->list.Find(slot, &full)) {
    return const_cast<std::atomic<uint32_t>*>(link);
  }
  if (!full) return nullptr;
  auto* directory = At<SlotDirectory>(overflow->directory.load(std::memory_order_acquire));
  if (directory == nullptr) return nullptr;
  auto* group = At<SlotGroup>(directory->groups[slot / 16].load(std::memory_order_acquire));
  return group == nullptr ? nullptr : &group->newest[slot % 16];
}

const Segment::BlockEntry* Segment::Find(StorageId storage, BlockNo block) const {
  return FindEntry(storage, block);
}

BufferedVersion* Segment::Newest(const BlockEntry* entry, SlotNo slot) const {
  const std::atomic<uint32_t>* link = FindSlot(entry, slot);
  if (link == nullptr) return nullptr;
  return At<BufferedVersion>(link->load(std::memory_order_acquire));
}

BufferedVersion* Segment::Newest(StorageId storage, BlockNo block, SlotNo slot) const {
  const BlockEntry* entry = FindEntry(storage, block);
  return entry == nullptr ? nullptr : Newest(entry, slot);
}

BufferedVersion* Segment::Older(const BufferedVersion* version) const {
  return At<BufferedVersion>(version->older);
}

BufferedImage* Segment::NewestImage(const BlockEntry* entry) const {
  return At<BufferedImage>(entry->images.load(std::memory_order_acquire));
}

BufferedImage* Segment::NewestImage(StorageId storage, BlockNo block) const {
  const BlockEntry* entry = FindEntry(storage, block);
  return entry == nullptr ? nullptr : NewestImage(entry);
}

BufferedImage* Segment::Older(const BufferedImage* image) const {
  return At<BufferedImage>(image->older);
}

bool Segment::IsNewBlock(const BlockEntry* entry) const {
  return (entry->flags.load(std::memory_order_relaxed) & kEntryNewBlock) != 0;
}

size_t Segment::used() const { return header_->used.load(std::memory_order_relaxed); }
size_t Segment::reserved() const { return header_->reserved.load(std::memory_order_relaxed); }
uint64_t Segment::versions() const { return header_->versions.load(std::memory_order_relaxed); }
uint64_t Segment::images() const { return header_->images.load(std::memory_order_relaxed); }
uint64_t Segment::blocks() const { return header_->blocks.load(std::memory_order_relaxed); }
Lsn Segment::first_lsn() const { return header_->first_lsn.load(std::memory_order_relaxed); }
Lsn Segment::last_lsn() const { return header_->last_lsn.load(std::memory_order_relaxed); }

void Segment::NoteLsn(Lsn lsn) {
  if (lsn == 0) return;
  Lsn first = header_->first_lsn.load(std::memory_order_relaxed);
  while ((first == 0 || lsn < first) &&
         !header_->first_lsn.compare_exchange_weak(first, lsn, std::memory_order_relaxed)) {
  }
  Lsn last = header_->last_lsn.load(std::memory_order_relaxed);
  while (lsn > last &&
         !header_->last_lsn.compare_exchange_weak(last, lsn, std::memory_order_relaxed)) {
  }
}

}  // namespace omendb
