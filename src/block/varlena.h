// PostgreSQL's variable-length headers on little-endian machines, for rooms without postgres.h.
//
//   xxxxxx00 + 3 bytes   4-byte header, plain;      length = word >> 2, header included
//   xxxxxx10 + 3 bytes   4-byte header, compressed; as above, 4 bytes of raw size follow
//   00000001 tag         TOAST pointer; the tag tells the length
//   xxxxxxx1             1-byte header; length = byte >> 1, header included
//
// Only the on-disk tag is ever stored: the others point into the memory of a process.
#pragma once

#include <cstring>

#include "base/coding.h"
#include "base/types.h"

namespace omendb {

inline constexpr size_t kVarlenaShortMax = 0x7f;  // longest value with a 1-byte header
inline constexpr uint8_t kVarlenaExternalTag = 18;
inline constexpr size_t kVarlenaExternalSize = 18;

inline bool VarlenaIsShort(const char* value) { return (*value & 0x01) != 0; }
inline bool VarlenaIsExternal(const char* value) { return *value == 0x01; }

// Size of a value whose bytes are trusted.
inline size_t VarlenaSize(const char* value) {
  auto first = static_cast<unsigned char>(*value);
  if (first == 0x01) {
    return static_cast<uint8_t>(value[1]) == kVarlenaExternalTag ? kVarlenaExternalSize : 10;
  }
  if (first & 0x01) return first >> 1;
  return LoadFixed<uint32_t>(value) >> 2;
}

// Size of the value at the front of untrusted bytes; 0 if there is none that ends within them.
inline size_t CheckedVarlenaSize(Slice bytes) {
  if (bytes.empty()) return 0;
  auto first = static_cast<unsigned char>(bytes[0]);
  size_t size;
  if (first == 0x01) {
    if (bytes.size() < 2 || static_cast<uint8_t>(bytes[1]) != kVarlenaExternalTag) return 0;
    size = kVarlenaExternalSize;
  } else if (first & 0x01) {
    size = first >> 1;
  } else {
    if (bytes.size() < 4) return 0;
    size = LoadFixed<uint32_t>(bytes.data()) >> 2;
    if (size < ((first & 0x02) ? 8u : 4u)) return 0;
  }
  return size <= bytes.size() ? size : 0;
}

// True if a packable column stores the value (of this trusted size) with a 1-byte header.
inline bool VarlenaCanBeShort(const char* value, size_t size) {
  return (*value & 0x03) == 0 && size - 3 <= kVarlenaShortMax;
}

// How a value of a reference column is stored: what to copy, and with which header.
struct ReferenceValue {
  const char* from;    // bytes to copy, behind the new header if there is one
  size_t size;         // bytes to copy
  uint8_t new_header;  // 1-byte header to put in front, 0 = none
  size_t stored_size() const { return size + (new_header != 0); }
};

inline ReferenceValue StoredForm(Column column, Value value) {
  const char* from = reinterpret_cast<const char*>(value);
  if (column.length > 0) return {from, static_cast<size_t>(column.length), 0};
  if (column.length == -2) return {from, std::strlen(from) + 1, 0};
  size_t size = VarlenaSize(from);
  if ((column.flags & kColumnPackable) && VarlenaCanBeShort(from, size)) {
    return {from + 4, size - 4, static_cast<uint8_t>(((size - 3) << 1) | 1)};
  }
  return {from, size, 0};
}

// Alignment that a stored value asks of its address.
inline size_t StoredAlign(Column column, const char* stored) {
  return column.length == -1 && VarlenaIsShort(stored) ? 1 : column.align;
}

inline size_t AlignUp(size_t size, size_t align) { return (size + align - 1) & ~(align - 1); }

// A by-value datum as the server's fetch_att makes it: sign-extended from the column's length.
inline int64_t NormalizeByValue(int16_t length, Value value) {
  switch (length) {
    case 1:
      return static_cast<int8_t>(value);
    case 2:
      return static_cast<int16_t>(value);
    case 4:
      return static_cast<int32_t>(value);
    default:
      return static_cast<int64_t>(value);
  }
}

inline int64_t LoadByValue(int16_t length, const char* from) {
  switch (length) {
    case 1:
      return LoadFixed<int8_t>(from);
    case 2:
      return LoadFixed<int16_t>(from);
    case 4:
      return LoadFixed<int32_t>(from);
    default:
      return LoadFixed<int64_t>(from);
  }
}

inline void StoreByValue(int16_t length, char* to, Value value) {
  switch (length) {
    case 1:
      StoreFixed(to, static_cast<uint8_t>(value));
      break;
    case 2:
      StoreFixed(to, static_cast<uint16_t>(value));
      break;
    case 4:
      StoreFixed(to, static_cast<uint32_t>(value));
      break;
    default:
      StoreFixed(to, value);
      break;
  }
}

// Descriptions come from disk: true if this one is something the server can have.
inline bool ColumnIsSane(Column column) {
  if (column.align != 1 && column.align != 2 && column.align != 4 && column.align != 8)
    return false;
  if (column.flags & ~(kColumnByValue | kColumnPackable)) return false;
  if (column.flags & kColumnByValue) {
    return column.length == 1 || column.length == 2 || column.length == 4 || column.length == 8;
  }
  return column.length > 0 || column.length == -1 || column.length == -2;
}

// True if rows written with one description can be read with the other: whether values may get the
// short header is a choice of the writer.
inline bool ColumnsAgree(Column a, Column b) {
  return a.length == b.length && a.align == b.align &&
         (a.flags & kColumnByValue) == (b.flags & kColumnByValue);
}

}  // namespace omendb
