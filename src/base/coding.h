// Integers as bytes: little-endian fixed widths and varints for values, big-endian for keys.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/types.h"

static_assert(std::endian::native == std::endian::little, "byte layouts assume little-endian");

namespace omendb {

template <typename T>
inline T LoadFixed(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
inline void StoreFixed(void* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

template <typename T>
inline void AppendFixed(std::string* to, T value) {
  to->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

inline uint32_t LoadBigEndian32(const void* from) {
  return __builtin_bswap32(LoadFixed<uint32_t>(from));
}
inline uint64_t LoadBigEndian64(const void* from) {
  return __builtin_bswap64(LoadFixed<uint64_t>(from));
}
inline void AppendBigEndian32(std::string* to, uint32_t value) {
  AppendFixed(to, __builtin_bswap32(value));
}
inline void AppendBigEndian64(std::string* to, uint64_t value) {
  AppendFixed(to, __builtin_bswap64(value));
}

inline constexpr size_t kMaxVarint = 10;

// Writes value at `to`, which has room for kMaxVarint bytes; returns the byte behind it.
inline char* StoreVarint(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

inline void AppendVarint(std::string* to, uint64_t value) {
  char bytes[kMaxVarint];
  to->append(bytes, StoreVarint(bytes, value) - bytes);
}

// Takes a varint off the front of `from`. False if the bytes end inside it or it overflows.
[[nodiscard]] inline bool TakeVarint(Slice* from, uint64_t* value) {
  uint64_t result = 0;
  for (uint32_t shift = 0, i = 0; i < from->size() && shift < 64; i++, shift += 7) {
    uint64_t byte = static_cast<unsigned char>((*from)[i]);
    if (shift == 63 && byte > 1) return false;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      from->remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

// Takes a fixed-width integer off the front of `from`. False if the bytes end inside it.
template <typename T>
[[nodiscard]] inline bool TakeFixed(Slice* from, T* value) {
  if (from->size() < sizeof(T)) return false;
  *value = LoadFixed<T>(from->data());
  from->remove_prefix(sizeof(T));
  return true;
}

}  // namespace omendb
