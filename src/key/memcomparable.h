// Values as bytes whose order, compared as unsigned bytes, is the order of the values.
//
// Every encoding is prefix-free: no encoded value is the beginning of another one. So columns can
// be put one behind the other, and each can be skipped without a separator:
//
//   integer:  uint64 big-endian, of the value with its sign bit flipped
//   unsigned: uint64 big-endian
//   double:   uint64 big-endian, of the bits with the sign bit flipped if it was clear, else with
//             all bits flipped; -0 as 0, every NaN as one, above infinity
//   bytes:    the bytes, each 00 as 00 FF, then 00 01
//   string:   the bytes, none of them 00, then 00
//   numeric:  numeric_key.h
//   inet:     inet_key.h
//
// Descending: every byte of the encoding inverted (InvertBytes); `Skip` takes the inversion into
// account. Writers put an encoding at `to`, which has room for the bound named, and return its end.
#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "base/coding.h"
#include "base/pure.h"

namespace omendb {

inline constexpr size_t kOrdered64Size = 8;
inline constexpr size_t kOrdered128Size = 16;

inline char* EncodeUnsigned64(char* to, uint64_t value) {
  StoreFixed(to, __builtin_bswap64(value));
  return to + kOrdered64Size;
}
inline uint64_t DecodeUnsigned64(const char* from) { return LoadBigEndian64(from); }

inline constexpr uint64_t kSignBit = uint64_t{1} << 63;

inline char* EncodeInt64(char* to, int64_t value) {
  return EncodeUnsigned64(to, static_cast<uint64_t>(value) ^ kSignBit);
}
inline int64_t DecodeInt64(const char* from) {
  return static_cast<int64_t>(DecodeUnsigned64(from) ^ kSignBit);
}

inline char* EncodeInt32(char* to, int32_t value) {
  StoreFixed(to, __builtin_bswap32(static_cast<uint32_t>(value) ^ 0x80000000u));
  return to + sizeof(value);
}
inline int32_t DecodeInt32(const char* from) {
  return static_cast<int32_t>(LoadBigEndian32(from) ^ 0x80000000u);
}

inline char* EncodeInt128(char* to, __int128 value) {
  to = EncodeInt64(to, static_cast<int64_t>(value >> 64));
  return EncodeUnsigned64(to, static_cast<uint64_t>(value));
}
inline __int128 DecodeInt128(const char* from) {
  auto high = static_cast<unsigned __int128>(DecodeInt64(from)) << 64;
  return static_cast<__int128>(high | DecodeUnsigned64(from + kOrdered64Size));
}

inline char* EncodeDouble(char* to, double value) {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  if (value == 0) value = 0;  // -0 too
  uint64_t bits = std::bit_cast<uint64_t>(value);
  return EncodeUnsigned64(to, (bits & kSignBit) != 0 ? ~bits : bits | kSignBit);
}
inline double DecodeDouble(const char* from) {
  uint64_t bits = DecodeUnsigned64(from);
  return std::bit_cast<double>((bits & kSignBit) != 0 ? bits ^ kSignBit : ~bits);
}

inline constexpr size_t EncodedBytesBound(size_t size) { return 2 * size + 2; }
char* EncodeBytes(char* to, Slice value);
// Reverses EncodeBytes for exactly one encoded value; `to` has room for encoded.size() bytes.
// Returns the length of the value, or -1 if the bytes are no encoding.
int64_t DecodeBytes(Slice encoded, char* to);

inline constexpr size_t EncodedStringBound(size_t size) { return size + 1; }
// REQUIRES: no zero byte in value.
inline char* EncodeString(char* to, Slice value) {
  std::memcpy(to, value.data(), value.size());
  to[value.size()] = 0;
  return to + value.size() + 1;
}

inline void InvertBytes(char* from, char* end) {
  for (; from != end; from++) *from = static_cast<char>(~*from);
}

// Length of the encoded value at the front of `from`, 0 if there is none.
size_t SkipBytes(Slice from, bool inverted);
size_t SkipString(Slice from, bool inverted);

// Makes `bytes` the end of all byte strings that start with it: the first string in order that is
// above them all. Returns the new length, 0 if there is no end (only FF bytes).
inline size_t MakePrefixEnd(char* bytes, size_t size) {
  while (size > 0 && static_cast<unsigned char>(bytes[size - 1]) == 0xff) size--;
  if (size > 0) bytes[size - 1]++;
  return size;
}

}  // namespace omendb
