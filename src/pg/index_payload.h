// What a key does not tell of the indexed tuple.
//
//   version:  uint8 = 1
//   exact:    bitmap of patched_count bits, the first column in the lowest; absent if that is 0
//   nulls:    bitmap of the INCLUDE columns, set for NULL; absent if there are none
//   for each bit set in `exact`, in order of the columns:
//     size:   varint
//     patch:  numeric:        varint, its display scale, which is not the smallest
//             float4, float8: the bits, of -0 or of an unusual NaN
//             interval:       int64 microseconds, int32 days, int32 months
//             bpchar:         varint, its trailing blanks
//   for each INCLUDE column that is not NULL:
//     fixed length: the bytes in memory (by value: its lowest attlen bytes)
//     varlena:      varint size, bytes behind the header
//     C string:     varint size, bytes without the zero byte
//
// The empty payload stands for no bit set in `exact` and no INCLUDE columns.
#pragma once

#include "pg/index_codec.h"

namespace omendb {

inline constexpr char kIndexPayloadVersion = 1;

inline size_t BitmapSize(size_t bits) { return (bits + 7) / 8; }

inline bool IsVariableLength(KeyKind kind) {
  return kind >= KeyKind::kBytea || kind == KeyKind::kNumeric || kind == KeyKind::kInet;
}

}  // namespace omendb
