// Arrays of equally wide small integers, bits in little-endian order, O(1) access; 256-bit maps.
#pragma once

#include <bit>

#include "base/coding.h"
#include "base/types.h"

namespace omendb {

inline constexpr uint32_t kMaxPackedWidth = 56;  // an unaligned 8-byte load reaches all of it

// The index-th of the integers packed at `bits`. Reads 8 bytes, also where width is 0: see
// PackedReach.
inline uint64_t UnpackBits(const char* bits, uint32_t index, uint32_t width) {
  const uint32_t bit = index * width;
  return (LoadFixed<uint64_t>(bits + (bit >> 3)) >> (bit & 7)) & ((uint64_t{1} << width) - 1);
}

inline size_t PackedSize(uint32_t count, uint32_t width) { return (size_t{count} * width + 7) / 8; }

// Bytes from the start of the array that UnpackBits may touch.
inline size_t PackedReach(uint32_t count, uint32_t width) {
  return (count == 0 ? 0 : size_t{count - 1} * width / 8) + 8;
}

// Packs get(0) .. get(count - 1), each below 2^width, width <= kMaxPackedWidth. Returns the byte
// behind the array; up to 7 bytes more are overwritten.
template <typename Get>
inline char* PackBits(char* to, uint32_t count, uint32_t width, Get get) {
  if (width == 0) return to;
  char* const end = to + PackedSize(count, width);
  uint64_t pending = 0;
  uint32_t filled = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t value = get(i);
    pending |= value << filled;
    filled += width;
    if (filled >= 64) {
      StoreFixed(to, pending);
      to += 8;
      filled -= 64;
      pending = filled == 0 ? 0 : value >> (width - filled);
    }
  }
  if (filled > 0) StoreFixed(to, pending);
  return end;
}

// Without -mpopcnt the compiler calls a table lookup for std::popcount; this is half of its price.
inline uint32_t CountBits(uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<uint32_t>((word * 0x0101010101010101u) >> 56);
}

inline constexpr uint32_t kMapWords = kSlotsPerBlock / 64;

inline bool TestBit(const uint64_t* map, uint32_t bit) { return map[bit >> 6] >> (bit & 63) & 1; }
inline void SetBit(uint64_t* map, uint32_t bit) { map[bit >> 6] |= uint64_t{1} << (bit & 63); }

// Sets bits [first, first + count).
inline void SetBits(uint64_t* map, uint32_t first, uint32_t count) {
  for (uint32_t word = 0; word < kMapWords; word++) {
    const uint32_t low = word * 64;
    const uint32_t from = first > low ? first - low : 0;
    const uint32_t upto = first + count > low ? first + count - low : 0;
    if (from >= 64 || upto == 0 || from >= upto) continue;
    const uint64_t upper = upto >= 64 ? ~uint64_t{0} : (uint64_t{1} << upto) - 1;
    map[word] |= upper & (~uint64_t{0} << from);
  }
}

// Position of the index-th set bit of the word. REQUIRES: there is one.
inline uint32_t SelectBit(uint64_t word, uint32_t index) {
  uint32_t position = 0;
  for (uint32_t half = 32; half > 0; half /= 2) {
    const uint32_t below = CountBits(word & ((uint64_t{1} << half) - 1));
    if (index >= below) {
      index -= below;
      word >>= half;
      position += half;
    }
  }
  return position;
}

}  // namespace omendb
