// What stands where in a segment. Only the files of this room that implement Segment include it.
//
//   header:           Segment::Header
//   block buckets:    uint64 each: offset of the first block entry, above it a filter of its chain
//   storage buckets:  uint32 each: offset of the first storage entry
//   arena:            block entries, storage entries, slot lists, versions, images, by age
//
// Offsets count 8-byte units from the header, so that 32 bits reach 32 GiB; 0 is the header itself
// and stands for none. All processes that map a segment run the same library: the layout has no
// version.
//
// A block entry finds the newest version of a slot in three steps: most blocks see few changes
// before a flush, and every byte spent on them makes segments hold less and flushes smaller.
//   1. six slots in the entry itself,
//   2. eleven more in an overflow node,
//   3. a directory of 16 groups of 16 slots, groups made when first needed.
// A slot stays where it was put first. So readers need no retry and nothing ever moves.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/types.h"
#include "buffer/segment.h"
#include "base/pure.h"

namespace omendb {

// Processes map the memory at different addresses: an atomic that hides a lock would not work.
static_assert(std::atomic<uint8_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

static_assert(sizeof(BufferedVersion) == 32 && alignof(BufferedVersion) == 8);
static_assert(sizeof(BufferedImage) == 32 && alignof(BufferedImage) == 8);

namespace segment_layout {

inline constexpr size_t kUnit = 8;
inline constexpr size_t kMaxSize = kUnit << 32;
inline constexpr size_t kCacheLine = 64;
// A block entry with one small version takes a bit more than 100 bytes, so chains have five entries
// at the very worst; the filter spares most lookups of absent blocks the walk.
inline constexpr size_t kBytesPerBlockBucket = 512;
inline constexpr size_t kBytesPerStorageBucket = 8192;

inline constexpr size_t RoundUp(size_t bytes) { return (bytes + kUnit - 1) & ~(kUnit - 1); }

inline uint64_t Mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ull;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ull;
  return value ^ (value >> 32);
}
inline uint64_t HashBlock(StorageId storage, BlockNo block) {
  return Mix(storage * 0x9e3779b97f4a7c15ull + block);
}
// The upper half of the hash chooses the bucket, the lower half the filter bit.
inline size_t BucketOf(uint64_t hash, uint32_t buckets) { return ((hash >> 32) * buckets) >> 32; }

// A bucket of the block table in one word: both halves change at once.
inline uint32_t BucketHead(uint64_t bucket) { return static_cast<uint32_t>(bucket); }
inline uint64_t FilterBit(uint64_t hash) { return uint64_t{1} << (32 + (hash & 31)); }

// Slots in the order of their first change. An element is written before count covers it.
template <int kSize>
struct SlotList {
  std::atomic<uint32_t> newest[kSize];
  SlotNo slots[kSize];
  std::atomic<uint8_t> count;

  const std::atomic<uint32_t>* Find(SlotNo slot, bool* full) const {
    int n = count.load(std::memory_order_acquire);
    *full = n == kSize;
    for (int i = 0; i < n; i++) {
      if (slots[i] == slot) return &newest[i];
    }
    return nullptr;
  }
  // REQUIRES: the stripe lock. False if there is no room.
  bool Add(SlotNo slot, uint32_t version) {
    int n = count.load(std::memory_order_relaxed);
    if (n == kSize) return false;
    newest[n].store(version, std::memory_order_relaxed);
    slots[n] = slot;
    count.store(static_cast<uint8_t>(n + 1), std::memory_order_release);
    return true;
  }
};

struct OverflowSlots {
  SlotList<11> list;
  std::atomic<uint32_t> directory;  // offset of SlotDirectory
};

struct SlotGroup {
  std::atomic<uint32_t> newest[16];
};

struct SlotDirectory {
  std::atomic<uint32_t> groups[16];  // offsets of SlotGroup
};

inline constexpr uint32_t kEntryNewBlock = 0x1;

}  // namespace segment_layout

// Everything known of one block. Reached through its bucket and through its storage.
struct Segment::BlockEntry {
  StorageId storage;
  BlockNo block;
  uint32_t next_in_bucket;
  uint32_t next_of_storage;
  std::atomic<uint32_t> images;    // newest BufferedImage
  std::atomic<uint32_t> overflow;  // OverflowSlots
  std::atomic<uint32_t> flags;     // kEntry*
  segment_layout::SlotList<6> list;
};

// Made with the storage's first block or index entry; stays until Reset.
struct Segment::StorageEntry {
  StorageId storage;
  uint32_t next_in_bucket;
  std::atomic<uint32_t> blocks;  // newest BlockEntry
  std::atomic<uint32_t> index;   // AlexMap of its index entries
  uint32_t unused;
};

struct Segment::Header {
  // Set by Format.
  uint64_t capacity;  // bytes of the arena
  uint64_t arena;     // bytes from the header
  uint32_t block_buckets;
  uint32_t storage_buckets;
  std::atomic<uint64_t> index_removals;  // seldom

  // Every change writes what follows: a cache line of its own, but only one. (By padding, since
  // the segment may lie at any multiple of 8.)
  char padding[segment_layout::kCacheLine - 32];

  std::atomic<uint64_t> used;
  std::atomic<uint64_t> reserved;
  std::atomic<uint64_t> versions;
  std::atomic<uint64_t> images;
  std::atomic<uint64_t> blocks;
  std::atomic<Lsn> first_lsn;
  std::atomic<Lsn> last_lsn;
  std::atomic<uint64_t> index_entries;

  std::atomic<uint64_t>* block_table() {
    return reinterpret_cast<std::atomic<uint64_t>*>(this + 1);
  }
  std::atomic<uint32_t>* storage_table() {
    return reinterpret_cast<std::atomic<uint32_t>*>(block_table() + block_buckets);
  }
};

// The space that one change takes from its reservation.
class Segment::Allocation {
 public:
  Allocation(Header* header, size_t bound) : header_(header), bound_(bound) {}
  ~Allocation() {
    assert(taken_ <= bound_);
    header_->reserved.fetch_sub(bound_ - taken_, std::memory_order_relaxed);
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  // Bytes of the arena, as they are. REQUIRES: all taken together stay within the bound.
  uint32_t Take(size_t bytes) {
    bytes = segment_layout::RoundUp(bytes);
    taken_ += bytes;
    uint64_t at = header_->arena + header_->used.fetch_add(bytes, std::memory_order_relaxed);
    assert(at + bytes <= header_->arena + header_->capacity);
    return static_cast<uint32_t>(at / segment_layout::kUnit);
  }
  // Constructs a T with `extra` bytes behind it; the caller fills it before anybody can reach it.
  template <typename T>
  T* New(size_t extra, uint32_t* offset) {
    *offset = Take(sizeof(T) + extra);
    return new (reinterpret_cast<char*>(header_) + *offset * segment_layout::kUnit) T{};
  }

 private:
  Header* header_;
  size_t bound_;
  size_t taken_ = 0;
};

static_assert(sizeof(segment_layout::OverflowSlots) == 60);
static_assert(sizeof(segment_layout::SlotGroup) == 64);
static_assert(sizeof(segment_layout::SlotDirectory) == 64);

template <typename T>
T* Segment::At(uint32_t offset) const {
  if (offset == 0) return nullptr;
  return reinterpret_cast<T*>(reinterpret_cast<char*>(header_) + offset * segment_layout::kUnit);
}

}  // namespace omendb
