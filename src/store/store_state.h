// How far a family is: its durable LSN and generation, under one reserved key in each family.
//
// The key is 13 bytes, eight of them zero: storage 0 does not exist, so it sorts before every key
// that is in use and a file that holds nothing else overlaps no other file.
//
//   value, version 1:
//     version:    uint8   1
//     padding:    7 bytes, zero
//     lsn:        uint64  every WAL record that ends at or before it is in this family
//     generation: uint64  grows by one with every flush
//     crc32c:     uint32  of the 24 bytes before
#pragma once

#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/types.h"
#include "base/pure.h"

namespace omendb {

inline constexpr Slice kStateKey("\0\0\0\0\0\0\0\0state", 13);

struct StoreState {
  Lsn lsn = 0;
  uint64_t generation = 0;

  std::string Encode() const {
    std::string value(8, '\0');
    value[0] = 1;
    AppendFixed(&value, lsn);
    AppendFixed(&value, generation);
    AppendFixed(&value, Crc32c(0, value));
    return value;
  }
  [[nodiscard]] bool Decode(Slice value) {
    if (value.size() != 28 || value[0] != 1) return false;
    if (LoadFixed<uint32_t>(value.data() + 24) != Crc32c(0, value.substr(0, 24))) return false;
    lsn = LoadFixed<uint64_t>(value.data() + 8);
    generation = LoadFixed<uint64_t>(value.data() + 16);
    return true;
  }
};

}  // namespace omendb
