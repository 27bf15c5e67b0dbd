// Values of the store that all processes share: read without locks, by copying.
//
// Set-associative. A set has eight places; a value that does not fit into a place is not kept.
// Whoever puts a value takes the place of one that was not asked for since the set was last full of
// such as were (a clock of one bit, so that values that are read once leave first). Into a full set
// only one value in four is taken: what is read often comes again, and for the others, where there
// is much more than the cache holds, to copy them costs more than they give.
//
//   tags:   uint64 [8] of each set; the hash of what is in the place, 0 = nothing
//   places: of each set in turn
//     sequence: uint64   odd while somebody writes
//     hash, version, size, used
//     bytes
//
// A reader notes the sequence, copies, and compares the sequence: a value that was being written
// counts as missing. (H. Boehm, "Can seqlocks get along with programming language memory models?",
// MSPC 2012.) Who finds a place being written leaves it alone, so nobody waits.
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
  static constexpr size_t kPlaceSize = 6144;
  static constexpr size_t kLargestValue = kPlaceSize - 64;

  ValueCache() = default;  // keeps nothing
  // memory: 64-aligned and zeroed, `size` bytes, of which all that makes whole sets is used. (Of
  // less than a set: keeps nothing.)
  static ValueCache Attach(void* memory, size_t size);

  // The value under the hash, if it is there and no older than `version`. Different keys may have
  // the same hash: the value itself must tell. *value keeps its memory.
  bool Get(uint64_t hash, uint64_t version, std::string* value) const;
  // Keeps it, perhaps. version: grows with every change of the value.
  void Put(uint64_t hash, uint64_t version, Slice value) const;

  size_t places() const { return sets_ * kWays; }

 private:
  static constexpr size_t kWays = 8;
  struct Set {
    std::atomic<uint64_t> tags[kWays];
  };
  struct Place {
    std::atomic<uint64_t> sequence, hash, version, size;
    std::atomic<bool> used;
    alignas(64) std::atomic<uint64_t> words[kLargestValue / 8];
  };
  static_assert(sizeof(Set) == 64 && sizeof(Place) == kPlaceSize);

  ValueCache(Set* tags, Place* places, size_t sets) : tags_(tags), places_(places), sets_(sets) {}
  size_t SetOf(uint64_t hash) const;
  static size_t Victim(const Set& set, Place* places, uint64_t hash);

  Set* tags_ = nullptr;
  Place* places_ = nullptr;
  size_t sets_ = 0;
};

}  // namespace omendb
