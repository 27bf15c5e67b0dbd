#include "alex/alex_arena.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <new>

#include "alex/lock.h"
#include "alex/probe.h"

namespace omendb {

namespace {

// Sizes in units of 8 bytes: eight classes for each power of two, so that at most an eighth is
// wasted.
constexpr size_t kClasses = 8 * 33;
constexpr size_t kLeastUnits = 8;
// Large blocks begin with a cache line: so do leaves, whose first 64 bytes every search reads.
constexpr size_t kLargeUnits = 16, kLineUnits = 8;

size_t ClassOf(size_t bytes) {
  size_t units = std::max((bytes + 7) / 8, kLeastUnits);
  int bits = std::bit_width(units - 1) - 4;  // 8 <= (units - 1) >> bits < 16 (4 bits)
  if (bits < 0) bits = 0;
  size_t steps = (units + (size_t{1} << bits) - 1) >> bits;
  return static_cast<size_t>(bits) * 8 + (steps - 8);
}
size_t UnitsOf(size_t size_class) { return (size_class % 8 + 8) << (size_class / 8); }

}  // namespace

// Retired blocks in the order of their epochs. What readers may be in is not written to.
struct AlexArena::Chunk {
  static constexpr uint32_t kBlocks = 60;
  struct Block {
    uint32_t offset;
    uint32_t size_class;
    uint64_t epoch;
  };
  uint32_t next;
  uint32_t first, count;
  Block blocks[kBlocks];
};

struct AlexArena::Header {
  struct alignas(64) Slot {
    uint64_t epoch;  // 0 = outside
    uint32_t taken;
  };
  alignas(64) uint32_t lock;
  uint32_t oldest, newest;  // chunks, 0 = none
  uint64_t used, capacity;  // units
  uint64_t waiting;
  uint64_t reclaim_at;  // this many waiting blocks are worth a look
  uint64_t allocations;
  uint64_t given;           // blocks that came to the free lists since the last Join
  uint32_t free[kClasses];  // a free block begins with the next one
  alignas(64) uint64_t epoch;
  Slot slots[kSlots];
};

AlexArena::Header* AlexArena::header() const { return reinterpret_cast<Header*>(base_); }

size_t AlexArena::MinimumSize() { return sizeof(Header) + 4096; }

AlexArena AlexArena::Format(void* memory, size_t size) {
  AlexArena arena(static_cast<char*>(memory));
  Header* header = arena.header();
  std::memset(static_cast<void*>(header), 0, sizeof(Header));
  header->used = sizeof(Header) / 8;
  header->capacity = std::min<uint64_t>(size / 8, UINT32_MAX);
  header->epoch = 1;
  header->reclaim_at = 64;
  return arena;
}

AlexArena AlexArena::Attach(void* memory) { return AlexArena(static_cast<char*>(memory)); }

uint32_t AlexArena::Allocate(size_t bytes, size_t kept) {
  size_t size_class = ClassOf(bytes);
  Header* header = this->header();
  alex::Lock(header->lock);
  // Now and then, since it looks at every slot; and before more memory is used.
  bool fresh = header->free[size_class] == 0;
  if (header->waiting >= header->reclaim_at || (fresh && header->allocations++ % 16 == 0))
    Reclaim();
  uint32_t offset = Take(size_class, kept);
  if (offset == 0) {
    Reclaim();
    offset = Take(size_class, kept);
  }
  if (offset == 0 && kept == 0) {
    offset = Split(size_class);
    if (offset == 0 && Join()) {
      offset = TakeFree(size_class);
      if (offset == 0) offset = Split(size_class);
    }
  }
  alex::UnlockUnchanged(header->lock);
  return offset;
}

uint32_t AlexArena::TakeFree(size_t size_class) {
  Header* header = this->header();
  const uint32_t offset = header->free[size_class];
  if (offset != 0) {
    std::memcpy(&header->free[size_class], alex::At<char>(base_, offset), sizeof(uint32_t));
  }
  return offset;
}

void AlexArena::GiveFree(uint32_t offset, size_t size_class) {
  Header* header = this->header();
  std::memcpy(alex::At<char>(base_, offset), &header->free[size_class], sizeof(uint32_t));
  header->free[size_class] = offset;
}

// As free blocks, the largest that there are room for. What is smaller than any is lost.
void AlexArena::GiveRange(size_t begin, size_t end) {
  while (end - begin >= kLeastUnits) {
    size_t left = end - begin;
    const size_t to_line = (kLineUnits - begin % kLineUnits) % kLineUnits;
    if (left >= kLargeUnits && to_line != 0) {
      if (left - to_line >= kLargeUnits) {
        begin += to_line;
        continue;
      }
      left = kLargeUnits - 1;
    }
    size_t part = ClassOf(left * 8);
    if (UnitsOf(part) > left) part--;
    GiveFree(static_cast<uint32_t>(begin), part);
    begin += UnitsOf(part);
  }
}

// From the smallest free block that is larger, some at a time: the rest of it keeps its use.
uint32_t AlexArena::Split(size_t size_class) {
  constexpr size_t kPieces = 16;
  Header* header = this->header();
  size_t larger = size_class + 1;
  while (larger < kClasses && header->free[larger] == 0) larger++;
  if (larger >= kClasses) return 0;
  const uint32_t offset = TakeFree(larger);
  const size_t units = UnitsOf(size_class), all = UnitsOf(larger);
  const size_t step = units < kLargeUnits ? units : (units + kLineUnits - 1) & ~(kLineUnits - 1);
  size_t pieces = 1;
  for (; pieces < kPieces && pieces * step + units <= all; pieces++) {
    GiveFree(static_cast<uint32_t>(offset + pieces * step), size_class);
  }
  if (pieces * step < all) GiveRange(offset + pieces * step, offset + all);
  return offset;
}

// Makes one of free blocks that lie side by side. False: there is nothing to make, or no memory.
bool AlexArena::Join() {
  Header* header = this->header();
  if (header->given == 0) return false;
  header->given = 0;
  size_t count = 0;
  const auto visit = [&](const auto& take) {
    for (size_t size_class = 0; size_class < kClasses; size_class++) {
      for (uint32_t at = header->free[size_class]; at != 0;) {
        take(at, size_class);
        std::memcpy(&at, alex::At<char>(base_, at), sizeof(uint32_t));
      }
    }
  };
  visit([&](uint32_t, size_t) { count++; });
  struct Range {
    size_t begin, end;
  };
  const std::unique_ptr<Range[]> ranges(new (std::nothrow) Range[count]);
  if (ranges == nullptr) return false;
  size_t i = 0;
  visit([&](uint32_t at, size_t size_class) { ranges[i++] = {at, at + UnitsOf(size_class)}; });
  std::sort(ranges.get(), ranges.get() + count,
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::memset(header->free, 0, sizeof(header->free));
  for (size_t first = 0; first < count;) {
    size_t end = ranges[first].end, next = first + 1;
    for (; next < count && ranges[next].begin == end; next++) end = ranges[next].end;
    GiveRange(ranges[first].begin, end);
    first = next;
  }
  return true;
}

uint32_t AlexArena::Take(size_t size_class, size_t kept) {
  if (uint32_t offset = TakeFree(size_class); offset != 0) return offset;
  Header* header = this->header();
  size_t units = UnitsOf(size_class);
  uint64_t begin = header->used;
  if (units >= kLargeUnits) begin = (begin + kLineUnits - 1) & ~(kLineUnits - 1);
  if (begin + units + kept / 8 > header->capacity) return 0;
  alex::Store(header->used, begin + units);
  return static_cast<uint32_t>(begin);
}

// Without room for the queue, and as long as readers hold back what is in it, the block is lost:
// that is better than to reuse it too early.
void AlexArena::Retire(uint32_t offset, size_t bytes) {
  Header* header = this->header();
  auto size_class = static_cast<uint32_t>(ClassOf(bytes));
  alex::Lock(header->lock);
  // Else the queue of a map that is given up takes as much memory as a part of the map.
  if (header->waiting >= header->reclaim_at) Reclaim();
  if (!Enqueue(offset, size_class)) {
    Reclaim();
    Enqueue(offset, size_class);
  }
  alex::UnlockUnchanged(header->lock);
}

bool AlexArena::Enqueue(uint32_t offset, uint32_t size_class) {
  Header* header = this->header();
  Chunk* chunk = header->newest == 0 ? nullptr : alex::At<Chunk>(base_, header->newest);
  if (chunk == nullptr || chunk->count == Chunk::kBlocks) {
    uint32_t added = Take(ClassOf(sizeof(Chunk)), 0);
    if (added == 0) return false;
    Chunk* next = alex::At<Chunk>(base_, added);
    next->next = next->first = next->count = 0;
    (chunk == nullptr ? header->oldest : chunk->next) = added;
    header->newest = added;
    chunk = next;
  }
  // Who enters from here on cannot find the block: it was unlinked before.
  uint64_t epoch = std::atomic_ref<uint64_t>(header->epoch).fetch_add(1);
  chunk->blocks[chunk->count++] = {offset, size_class, epoch};
  alex::Store(header->waiting, header->waiting + 1);
  return true;
}

void AlexArena::Reclaim() {
  Header* header = this->header();
  if (header->waiting == 0) return;
  header->reclaim_at = header->waiting + 64;
  uint64_t least = UINT64_MAX;
  for (Header::Slot& slot : header->slots) {
    uint64_t epoch = std::atomic_ref<uint64_t>(slot.epoch).load();
    if (epoch != 0) least = std::min(least, epoch);
  }
  while (header->oldest != 0) {
    Chunk* chunk = alex::At<Chunk>(base_, header->oldest);
    while (chunk->first < chunk->count) {
      const Chunk::Block& block = chunk->blocks[chunk->first];
      if (block.epoch >= least) return;
      GiveFree(block.offset, block.size_class);
      header->given++;
      chunk->first++;
      alex::Store(header->waiting, header->waiting - 1);
      header->reclaim_at = header->waiting + 64;
    }
    if (chunk->count < Chunk::kBlocks) {  // the newest, empty
      chunk->first = chunk->count = 0;
      return;
    }
    // Never reachable by readers: free at once.
    uint32_t empty = header->oldest;
    header->oldest = chunk->next;
    if (header->oldest == 0) header->newest = 0;
    GiveFree(empty, ClassOf(sizeof(Chunk)));
  }
}

uint32_t AlexArena::TakeSlot() {
  for (uint32_t i = 0; i < kSlots; i++) {
    std::atomic_ref<uint32_t> taken(header()->slots[i].taken);
    uint32_t expected = 0;
    if (taken.compare_exchange_strong(expected, 1)) return i;
  }
  return kNoSlot;
}

void AlexArena::ReturnSlot(uint32_t slot) {
  Leave(slot);
  alex::Store(header()->slots[slot].taken, uint32_t{0});
}

void AlexArena::Enter(uint32_t slot) {
  // Sequentially consistent, against the look at the slots in Reclaim: either that sees this epoch,
  // or what comes after sees that the block was unlinked.
  uint64_t epoch = std::atomic_ref<uint64_t>(header()->epoch).load();
  std::atomic_ref<uint64_t>(header()->slots[slot].epoch).exchange(epoch);
}

void AlexArena::Leave(uint32_t slot) { alex::Store(header()->slots[slot].epoch, uint64_t{0}); }

size_t AlexArena::capacity() const { return header()->capacity * 8; }
size_t AlexArena::used() const { return alex::Load(header()->used) * 8; }
size_t AlexArena::waiting() const { return alex::Load(header()->waiting); }

}  // namespace omendb

#include "base/pure.h"
