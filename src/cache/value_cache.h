// Values of the store that all processes share: read without locks, by copying.
//
// Set-associative. A set is a ring of chunks in which values of any size lie one behind the other.
// Whoever puts a value takes the place of those that lie longest, but for such as were asked for
// since the hand came by the last time (CLOCK: F. J. Corbató, "A paging experiment with the Multics
// system", 1968), so that values that are read once leave first. Into a full set only one value in
// four is taken: what is read often comes again, and for the others, where there is much more than
// the cache holds, to copy them costs more than they give.
//
//   set
//     sequence       uint64, odd while somebody writes
//     hand           uint64, the chunk that is taken next; the set has been full: bit 32
//     marks          uint16 [24], a part of the hash of what is in the slot, 0 = nothing
//     slots          [24]: uint64 hash, version, place (first chunk << 32 | size)
//     used           uint8 [24]
//     chunks         of 512 bytes
//
// A reader notes the sequence, copies, and compares the sequence: what was being written counts as
// missing. (H. Boehm, "Can seqlocks get along with programming language memory models?", MSPC
// 2012.) Who finds a set being written leaves it alone, so nobody waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/pure.h"
#include "base/types.h"

namespace omendb {

// Handle; trivially copyable.
class ValueCache {
 public:
  static constexpr size_t kSetSize = 64 << 10;
  static constexpr size_t kLargestValue = 24 << 10;

  ValueCache() = default;  // keeps nothing
  // memory: 64-aligned and zeroed, `size` bytes, of which all that makes whole sets is used. (Of
  // less than a set: keeps nothing.)
  static ValueCache Attach(void* memory, size_t size);

  // Where a value lies, until somebody takes its place.
  class Found {
   public:
    size_t size() const { return size_; }

   private:
    friend class ValueCache;
    const void* set_ = nullptr;
    uint64_t sequence_ = 0;
    size_t first_ = 0, size_ = 0;
  };

  // The value under the hash, if it is there and no older than `version`. Different keys may have
  // the same hash: the value itself must tell.
  bool Find(uint64_t hash, uint64_t version, Found* found) const;
  // Bytes [at, at + size) of it; at: a multiple of 8. False: it is not there any more.
  static bool Copy(const Found& found, size_t at, size_t size, char* to);
  // All of it. *value keeps its memory.
  static bool CopyWhole(const Found& found, std::string* value);
  // Keeps it, perhaps. version: grows with every change of the value.
  void Put(uint64_t hash, uint64_t version, Slice value) const;

 private:
  static constexpr size_t kSlots = 24, kChunk = 512, kHeader = 1024;
  static constexpr size_t kChunks = (kSetSize - kHeader) / kChunk;
  using Word = std::atomic<uint64_t>;
  struct Slot {
    Word hash, version, place;
  };
  struct Set {
    Word sequence, hand;
    std::atomic<uint16_t> marks[kSlots];
    Slot slots[kSlots];
    std::atomic<uint8_t> used[kSlots];
    char unused[kHeader - 64 - kSlots * (sizeof(Slot) + 1)];
    Word words[kChunks * kChunk / 8];
  };
  static_assert(sizeof(Set) == kSetSize);

  ValueCache(Set* sets, size_t count) : sets_(sets), count_(count) {}
  Set* SetOf(uint64_t hash) const;
  static size_t SlotOf(const Set& set, uint64_t hash);
  static size_t MakeRoom(Set* set, size_t chunks);
  static size_t TakeSlot(Set* set, size_t behind);
  static void Keep(Set* set, uint64_t hash, uint64_t version, Slice value);

  Set* sets_ = nullptr;
  size_t count_ = 0;
};

}  // namespace omendb
