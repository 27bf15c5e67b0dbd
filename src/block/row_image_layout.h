// Fixed parts of a row image's body, shared by its writer and its reader; drawn in row_image.cpp.
#pragma once

#include "base/types.h"

namespace omendb {

struct ImageHeader {
  uint16_t rows;
  uint16_t natts;
  uint16_t stamps;
  uint8_t stamp_width;
  uint8_t first;
  uint8_t flags;
  uint8_t reserved[7];
};
static_assert(sizeof(ImageHeader) == 16);

inline constexpr uint8_t kImageDense = 0x01;
inline constexpr uint8_t kImageMakers = 0x02;
inline constexpr Column kMakerColumn = {4, 4, kColumnByValue};

struct StoredStamp {
  uint64_t xid;
  uint64_t lsn;
  uint32_t cid;  // xid 0: maker
  uint8_t kind;
  uint8_t flags;
  uint16_t reserved;
};
static_assert(sizeof(StoredStamp) == 24);

// Zero bytes at the end, so that the last packed array may be read 8 bytes at a time.
inline constexpr size_t kImageTail = 8;

}  // namespace omendb
