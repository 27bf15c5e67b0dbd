// The bytes of a learned index. Everything is addressed by 32-bit offsets in units of 8 bytes from
// the memory's base, 0 = none. Format version 1 (MapHeader::version). In memory only: native byte
// order.
//
//   MapHeader   version: uint8, options, then the root Space
//   Space       a number space: what turns keys into the 64-bit numbers that models see
//   Node        a model node: equal ranges of numbers -> child (Node, Leaf or deeper Space); or a
//               sorted one, where ranges are as wide as it takes
//   Leaf        a gapped sorted array of slots with a linear model
//   Record      one entry that does not fit into a slot
//
// Invariants
//   1. [low, high] of a node or leaf that can be reached never grows; it shrinks under its lock.
//      So who finds a leaf that is not obsolete and whose range holds the number is at the right
//      leaf, however old the path to it was.
//   2. Pointers to a node change under the lock of what holds them; the old node becomes obsolete
//      (under its own lock) after the new one can be reached.
//   3. Locks are taken from the leaf upwards; two leaves only by trying.
//   4. Slots outside [begin, end) of a leaf are never interpreted, but they are zero or were
//      entries once: a reader that races sees nothing else. They are written before begin or end
//      makes them part of the leaf.
#pragma once

#include <atomic>
#include <cstring>

#include "alex/alex_types.h"

namespace omendb::alex {

// --- Words that processes share ---

template <typename T>
T Load(const T& from) {  // acquire: a later load of the version word cannot come before it
  return std::atomic_ref<T>(const_cast<T&>(from)).load(std::memory_order_acquire);
}
template <typename T>
void Store(T& to, T value) {  // release: who sees the value sees the lock that it was stored under
  std::atomic_ref<T>(to).store(value, std::memory_order_release);
}

// --- Slots ---

// value, inline: tid: 48 | flags: 8 | kind: 8; with a record: its offset: 32 | 0: 16 | flags |
// kind. kind: kUsed, kRecord, kGap as below; inline also the key's size after the space's prefix,
// 0..8.
struct Slot {
  uint64_t number;
  uint64_t value;
};
inline constexpr uint64_t kUsed = uint64_t{0x80} << 56;
inline constexpr uint64_t kRecord = uint64_t{0x40} << 56;
inline constexpr uint64_t kGap = uint64_t{0x20} << 56;  // a copy of the next real slot to the right
inline constexpr uint64_t kTidMask = (uint64_t{1} << 48) - 1;

inline uint64_t InlineValue(uint64_t tid, uint8_t flags, size_t size) {
  return tid | uint64_t{flags} << 48 | kUsed | uint64_t{size} << 56;
}
inline uint64_t RecordValue(uint32_t offset, uint8_t flags) {
  return offset | uint64_t{flags} << 48 | kUsed | kRecord;
}
inline uint8_t FlagsOf(uint64_t value) { return static_cast<uint8_t>(value >> 48); }
inline size_t InlineSizeOf(uint64_t value) { return value >> 56 & 15; }
inline uint32_t OffsetOf(uint64_t value) { return static_cast<uint32_t>(value); }

// Written before it can be reached. The map never changes it; words of its payload are its owner's.
struct Record {
  uint64_t tid;
  uint32_t key_size;
  uint32_t payload_size;
  char bytes[];  // key, payload

  Slice key() const { return {bytes, key_size}; }
  Slice payload() const { return {bytes + key_size, payload_size}; }
  static size_t Bytes(size_t key_size, size_t payload_size) {
    return (sizeof(Record) + key_size + payload_size + 7) & ~size_t{7};
  }
};

// --- Nodes ---

enum class Kind : uint8_t { kLeaf = 1, kNode = 2, kSpace = 3 };

// word: version << 2 | obsolete << 1 | locked
struct Head {
  uint32_t word;
  Kind kind;
};

// number of a key: 0 before all keys that start with the prefix, UINT64_MAX after them, else the 8
// bytes that follow it, big-endian, zero-padded; by_tid: the TID of entries whose key is the
// prefix. Monotone in (key, tid). Never obsolete.
struct Space {
  uint32_t word;
  Kind kind;
  uint8_t by_tid;
  uint16_t sure;  // leading bytes of the prefix that all keys here have, now and later
  uint32_t root;
  uint32_t outer;      // the space that holds this one, 0 = none
  uint64_t low, high;  // numbers of the outer space that lead here
  uint32_t prefix_size;
  char prefix[];

  static size_t Bytes(size_t prefix_size) {
    return (offsetof(Space, prefix) + prefix_size + 7) & ~size_t{7};
  }
};

// What makes numbers into children: (number - base) >> shift, kept within 0 .. size - 1.
struct Shape {
  uint64_t base;
  uint64_t low;
  uint32_t size;
  uint8_t shift;

  size_t IndexOf(uint64_t number) const {
    uint64_t index = (number > base ? number - base : 0) >> shift;
    return index < size ? index : size - 1;
  }
  uint64_t LowOf(size_t index) const {
    return index == 0 ? low : base + (uint64_t{index} << shift);
  }
};

// Equal neighbours are one child. base + ((room - 1) << shift) does not overflow.
//
// Only the first `size` children are stored; those up to `room` are the last one's. So that one
// changes, and appends cut it, without a walk over all that it has.
//
// sorted: child i begins with its own number instead, which follow the children: uint64[size], the
// first unused. Such nodes hold numbers that need a deeper space each, wherever they lie, and are
// divided upwards as a B-tree's: so they stay shallow in whatever order numbers come.
struct Node {
  uint32_t word;
  Kind kind;
  uint8_t shift;
  uint8_t sorted;
  uint8_t unused;
  uint64_t base;
  uint64_t low, high;
  uint32_t size;      // children stored, changes under the lock
  uint32_t room;      // sorted: the size
  uint32_t children;  // distinct ones
  uint32_t space;
  uint32_t child[];

  // These REQUIRE: not sorted. As it is stored; as if all were.
  Shape shape() const { return {base, low, Load(size), shift}; }
  Shape whole() const { return {base, low, room, shift}; }
  const uint64_t* begins() const {
    return reinterpret_cast<const uint64_t*>(reinterpret_cast<const char*>(this) + Bytes(room));
  }
  size_t IndexOf(uint64_t number) const {
    if (sorted) {
      size_t low = 0;
      for (size_t length = size; length > 1;) {
        size_t half = length / 2;
        low = begins()[low + half] <= number ? low + half : low;
        length -= half;
      }
      return low;
    }
    return shape().IndexOf(number);
  }
  uint64_t LowOf(size_t index) const {
    return sorted && index > 0 ? begins()[index] : shape().LowOf(index);
  }
  uint64_t HighOf(size_t index) const { return index + 1 >= size ? high : LowOf(index + 1) - 1; }
  size_t bytes() const { return sorted ? SortedBytes(room) : Bytes(room); }
  static size_t Bytes(size_t size) { return (offsetof(Node, child) + 4 * size + 7) & ~size_t{7}; }
  static size_t SortedBytes(size_t size) { return Bytes(size) + 8 * size; }

  // Stores children up to `count`, so that they can be told apart. REQUIRES: the lock.
  void Widen(size_t count) {
    for (size_t i = size; i < count; i++) Store(child[i], child[size - 1]);
    if (count > size) Store(size, static_cast<uint32_t>(count));
  }
  // The other way. REQUIRES: nobody can reach the node.
  void Trim() {
    while (size > 1 && child[size - 1] == child[size - 2]) size--;
  }
};

// Predicted place: ((number - base) >> shift) * slope + intercept in 32.32 fixed point.
struct Model {
  uint64_t base;
  uint64_t slope;
  int64_t intercept;
  uint8_t shift;
};
inline constexpr uint64_t kMaxModelInput = uint64_t{1} << 26;
inline constexpr uint64_t kMaxSlope = uint64_t{1} << 36;

struct Leaf {
  uint32_t word;
  Kind kind;
  uint8_t shift;
  uint8_t plain;  // no model: binary search
  uint8_t unused;
  uint64_t base;
  uint64_t slope;
  int64_t intercept;
  uint32_t size;        // slots
  uint32_t begin, end;  // slots in use, the first and the last real
  uint32_t error;       // mean distance of predictions when it was built or spread anew, 24.8
  uint64_t low, high;   // numbers that belong here, both included
  // From here on another cache line, which lookups do not read.
  uint32_t space;
  uint32_t count;  // entries
  uint64_t reserved;
  Slot slots[];

  static size_t Bytes(size_t size) { return sizeof(Leaf) + size * sizeof(Slot); }
};
static_assert(sizeof(Leaf) == 80 && sizeof(Slot) == 16);

struct MapHeader {
  uint8_t version;
  uint8_t unused[3];
  AlexOptions options;
  Space root;  // its prefix follows

  static size_t Bytes(size_t prefix_size) {
    return offsetof(MapHeader, root) + Space::Bytes(prefix_size);
  }
};
inline constexpr uint8_t kFormatVersion = 1;
static_assert(offsetof(MapHeader, root) % 8 == 0);

// --- Sizes ---

inline constexpr size_t kFirstSlots = 8;
inline constexpr size_t kSplitFanout = 32;   // slots of a node that replaces a leaf, at most
inline constexpr size_t kSortedFanout = 32;  // children of a sorted node, at most
inline constexpr uint32_t kDeep =
    6;  // nodes on a way; where there are as many, only sorted ones grow
inline constexpr size_t kSortedSplits = 4;  // levels of them that one insert divides, at most

inline size_t SlotsIn(size_t bytes) {
  size_t slots = bytes > sizeof(Leaf) ? (bytes - sizeof(Leaf)) / sizeof(Slot) : 0;
  return slots < kFirstSlots ? kFirstSlots : slots;
}
inline size_t MaxSlots(const AlexOptions& options) { return SlotsIn(options.leaf_cap); }
// The most slots of a leaf that begins with the number `low`, unless it is appended to.
inline size_t CapFor(uint64_t low, const AlexOptions& options) {
  const uint64_t random = (low * 0x9E3779B97F4A7C15u) >> 56;  // 0 for the first leaf
  const size_t percent = options.least_cap_percent;
  return MaxSlots(options) * (100 * 256 - (100 - percent) * random) / (100 * 256);
}
// The most entries that a leaf of `slots` may hold; always leaves one slot free.
inline size_t Limit(size_t slots, const AlexOptions& options) {
  size_t limit = slots * options.full_percent / 100;
  return limit + 1 > slots ? slots - 1 : limit;
}
// Slots for a new leaf of `count` entries with room for one more, if the cap allows it.
inline size_t SlotsFor(size_t count, const AlexOptions& options) {
  size_t slots = count * 100 / options.fill_percent + 1;
  while (Limit(slots, options) < count + 1) slots++;
  slots = (slots + 3) & ~size_t{3};
  if (slots < kFirstSlots) slots = kFirstSlots;
  return slots < MaxSlots(options) ? slots : MaxSlots(options);
}
inline size_t MaxChildren(const AlexOptions& options) {
  size_t children = options.node_cap > Node::Bytes(0) ? (options.node_cap - Node::Bytes(0)) / 4 : 0;
  return children < kSplitFanout ? kSplitFanout : children;
}

}  // namespace omendb::alex

#include "base/pure.h"
