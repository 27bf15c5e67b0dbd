// The row format of WAL records, the write buffer and block deltas: no padding, no column metadata.
//
//   natts:  varint
//   flags:  uint8        bit 0: a null bitmap follows
//   nulls:  ceil(natts / 8) bytes, bit set = null; only if flags bit 0
//   values: for each non-null attribute, in order
//             by value         length bytes, little-endian
//             fixed reference  length bytes
//             varlena          as PostgreSQL stores it: 1-byte header (also TOAST pointers) or
//                              4-byte header; a packable short value gets the 1-byte header
//             C string         bytes and the terminating NUL
//
// Attributes behind natts are missing (ADD COLUMN came later): the reader's caller fills them.
#pragma once

#include "base/status.h"
#include "base/types.h"

namespace omendb {

// Bytes that PackRow writes for the first natts attributes. REQUIRES: natts <= columns.size(),
// varlena values are not expanded objects (VARATT_IS_EXTERNAL_EXPANDED).
size_t PackedRowSize(Columns columns, const Value* values, const bool* nulls, uint32_t natts);

// Writes the row at `to` and returns the byte behind it.
char* PackRow(Columns columns, const Value* values, const bool* nulls, uint32_t natts, char* to);

// Decodes one packed row, attribute by attribute. Trivially destructible. The values of reference
// types point into the row, or into `scratch` where the row has them at an address that is not
// aligned as the column asks (1-byte-header varlenas need no alignment).
class PackedRowReader {
 public:
  // Checks the header. kCorruption if the row has more attributes than columns or ends early.
  static Status Open(Slice row, Columns columns, PackedRowReader* reader);
  // Bytes of scratch that decoding the whole row can need. The scratch must be 8-aligned.
  static size_t ScratchSize(Slice row, uint32_t natts);

  uint32_t natts() const { return natts_; }
  // Decodes attributes [decoded, upto) into values and nulls; upto <= natts().
  // kCorruption if a value would reach behind the row.
  Status DecodeUpTo(uint32_t upto, Value* values, bool* nulls, char* scratch);

 private:
  Slice rest_;
  Columns columns_;
  const char* nulls_ = nullptr;
  uint32_t natts_ = 0, next_ = 0;
  size_t scratch_used_ = 0;
};

}  // namespace omendb
