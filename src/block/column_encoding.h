// How one column of a row image is encoded. The bytes are drawn in row_image.cpp.
#pragma once

#include <memory>

#include "base/types.h"
#include "block/bit_packing.h"
#include "block/varlena.h"

namespace omendb {

// Persisted. Values k = 0, 1, … are the non-null ones in row order.
enum class Encoding : uint8_t {
  kAllNull = 0,
  kConstant = 1,    // by value: base
  kPacked = 2,      // by value: base + (bits[k] << shift)
  kLinear = 3,      // by value: base + stride * k + bits[k]
  kPlain = 4,       // by value: as it is
  kReference = 5,   // start of the k-th value: stride * k + bias + bits[k]
  kDictionary = 6,  // bits[k] is the number of a kReference value
  kDecimal = 7,     // float8: (base + bits[k]) / 10^shift
  kIndexed = 8,     // by value: number bits[k] of a list
};
inline constexpr uint8_t kMaxEncoding = 8;

inline constexpr uint8_t kEntryHasNulls = 0x01;
inline constexpr uint8_t kEntryHasMinMax = 0x02;  // kPlain: min and max stand in front

// Directory entry of a column in an image.
struct ColumnEntry {
  Column column;
  Encoding encoding;
  uint8_t width;   // of bits
  uint8_t shift;   // kPacked, kDecimal; kDictionary: width of the bits of its value table;
                   // kIndexed: values in the list, less one
  uint8_t flags;   // kEntry*
  uint32_t data;   // offset of the encoded data in the section
  uint32_t table;  // kReference, kDictionary: offset of the ValueTable; kIndexed: of the list
};
static_assert(sizeof(ColumnEntry) == 16);

// Where the values of a reference column stand; the packed starts follow.
struct ValueTable {
  uint32_t stride;
  int32_t bias;
  uint32_t values;  // offset of the value area in the section
  uint32_t size;    // of the value area
  uint32_t count;
};
static_assert(sizeof(ValueTable) == 20);

// Null bitmap of a column (bit set = not null): words, then for each word the number of bits in
// the words before it. Stands in front of ColumnEntry::data.
inline constexpr size_t NullMapWords(uint32_t rows) { return (rows + 63) / 64; }
inline constexpr size_t NullMapSize(uint32_t rows) { return NullMapWords(rows) * 9; }

inline constexpr double kPowersOfTen[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
inline constexpr uint8_t kMaxDecimalExponent = 8;

// Distance of the columns in the builder's array of values; not a power of two, so that the values
// of a row do not all fall into the same cache sets.
inline constexpr size_t kColumnStride = kSlotsPerBlock + 8;

// Collects the values of one column and encodes them. The builder owns the array of values, by row;
// the bytes behind reference values are kept here, and the memory for them from image to image.
class ColumnBuffer {
 public:
  // try_indexed: kIndexed may be used. Not for what COPY encodes: looking costs too much there.
  void Start(Column column, bool try_indexed = false) {
    column_ = column;
    try_indexed_ = try_indexed;
    has_nulls_ = false;
    used_ = 0;
  }
  void AddNull(uint32_t row) {
    if (!has_nulls_) {
      has_nulls_ = true;
      for (uint64_t& word : nulls_) word = 0;
    }
    SetBit(nulls_, row);
  }
  // Copies a value of a reference column; *span is what stands for it in the array. Returns its
  // size.
  size_t AddReference(Value value, uint64_t* span);

  // Bytes that Encode may write for an image of so many rows.
  size_t EncodedBound(uint32_t rows) const;
  // Writes the column at `at` in the section and describes it. Returns the byte behind it. The
  // values are changed.
  char* Encode(char* section, char* at, uint64_t* values, uint32_t rows, ColumnEntry* entry);

 private:
  char* DropNulls(char* at, uint64_t* values, uint32_t rows);
  char* EncodeByValue(char* section, char* at, uint64_t* values, ColumnEntry* entry) const;
  bool EncodeDecimal(size_t best, const uint64_t* values, char** at, ColumnEntry* entry) const;
  bool EncodeIndexed(char* section, size_t best, const uint64_t* values, char** at,
                     ColumnEntry* entry) const;
  char* EncodeReference(char* section, char* at, const uint64_t* spans, ColumnEntry* entry);
  bool FindDictionary(const uint64_t* spans);
  char* WriteTable(char* section, char* at, const uint64_t* spans, uint32_t count, size_t size,
                   ColumnEntry* entry, uint8_t* width) const;

  Column column_ = {};
  bool has_nulls_ = false, try_indexed_ = false;
  uint32_t count_ = 0;  // of values that are not null, once they are dropped
  uint64_t nulls_[kMapWords];
  // Reference values as they will be stored. A span is the start in it, and the size in the upper
  // half.
  std::unique_ptr<char[]> bytes_;
  size_t used_ = 0, capacity_ = 0;
  // Dictionary that FindDictionary found.
  std::unique_ptr<uint64_t[]> distinct_spans_;
  std::unique_ptr<uint8_t[]> codes_;
  uint32_t distinct_ = 0;
};

}  // namespace omendb
