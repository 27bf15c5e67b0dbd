// A row image: up to 256 rows of one block, column by column (PAX), each column in a light encoding
// with O(1) access to one row. COPY makes one per block before the rows reach the WAL; flush and
// compaction make the ones on disk. (HyPer's Data Blocks: Lang et al., SIGMOD 2016.)
//
// An image is one section of a block value (block_value.h). It describes its own columns, so that a
// fold needs no catalog. Its byte layout is drawn in row_image.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "block/column_encoding.h"

namespace omendb {

// Who made a row of an image. xid 0 = frozen; then cid and lsn are 0 too.
struct RowStamp {
  FullXid xid;
  Lsn lsn;
  CommandNo cid;
  VersionKind kind;  // kInsert or kUpdate
  uint8_t flags;     // kVersionCommitted at most
  friend bool operator==(const RowStamp&, const RowStamp&) = default;
};

// What a frozen row's stamp is in every image, whatever the builder was given.
inline constexpr RowStamp kFrozenStamp = {0, 0, 0, VersionKind::kInsert, kVersionCommitted};

// The maker of a frozen row: the lower half of the xid that made it. Visibility never asks for it:
// it is shown as xmin, which applications compare to see whether a row has changed.
inline constexpr uint32_t kUnknownMaker = 2;  // PostgreSQL's FrozenTransactionId
inline uint32_t MakerOf(FullXid xid) { return static_cast<uint32_t>(xid); }

// Collects rows column by column and encodes them. Keeps its memory from image to image.
class RowImageBuilder {
 public:
  // Every row of an image has exactly natts attributes. Keeps a copy of the columns.
  void Start(Columns columns, uint32_t natts);
  // REQUIRES: slots ascend. Copies what the values point to. maker: kept if the row is frozen.
  void Add(SlotNo slot, const RowStamp& stamp, const Value* values, const bool* nulls,
           uint32_t maker = kUnknownMaker);
  uint32_t rows() const { return rows_; }
  // Bytes of all values added so far, uncompressed; lets the caller close a block of wide rows.
  size_t raw_size() const { return raw_size_; }
  // Appends the section to `out`, whose size must be a multiple of 8 and stays one.
  // section_flags: kSectionFolded or 0. lsn: the section's LSN, see block_value.h.
  // REQUIRES: raw_size() <= kMaxRawSize.
  void Finish(Lsn lsn, uint16_t section_flags, std::string* out);
  static constexpr size_t kMaxRawSize = size_t{3} << 30;

 private:
  void AddStamp(const RowStamp& stamp);
  void AddMaker(uint32_t maker);
  char* WriteStamps(char* at) const;

  std::vector<ColumnBuffer> columns_;  // of the widest image so far
  std::vector<uint8_t> is_reference_;
  std::unique_ptr<uint64_t[]> values_;  // kColumnStride per column
  uint32_t natts_ = 0, rows_ = 0;
  size_t by_value_size_ = 0;  // of a row
  size_t raw_size_ = 0;
  SlotNo slots_[kSlotsPerBlock];
  std::vector<RowStamp> stamps_;
  uint8_t stamp_index_[kSlotsPerBlock];
  uint64_t makers_[kSlotsPerBlock];  // of the frozen rows
  uint32_t maker_ = 0;               // of the first of them
  bool any_frozen_ = false, several_makers_ = false;
  ColumnBuffer maker_column_;
};

// Writes a copy of an image section whose rows all have one stamp, with another stamp and, if that
// is a frozen one, maker; kUnknownMaker leaves frozen rows the makers that they have.
// kInvalidArgument if the rows have several stamps, or makers that the new stamp cannot keep.
Status RestampImage(Slice section, const RowStamp& stamp, uint32_t maker, Lsn lsn,
                    uint16_t section_flags, std::string* out);

// Reads an image in place. Trivially copyable; valid as long as the section's bytes are, which must
// be 8-aligned. Reference values point into the section, aligned as their column asks.
class RowImage {
 public:
  // Checks structure: every offset that Decode follows lies in the section, so that damaged bytes
  // that pass give wrong values at worst, never a wild pointer (varlena lengths included).
  static Status Open(Slice section, RowImage* image);
  // Leaves out what looks at every value: for bytes whose checksum was right or that passed Open.
  // On others Decode stays within the section, but may return pointers that do not.
  static Status OpenTrusted(Slice section, RowImage* image);

  uint32_t rows() const { return rows_; }
  uint32_t natts() const { return natts_; }
  Slice section() const { return Slice(section_, size_); }
  Column column(uint32_t attribute) const { return directory_[attribute].column; }
  const uint64_t* slots() const { return slots_; }  // 256-bit map
  bool Contains(SlotNo slot) const { return TestBit(slots_, slot); }
  uint32_t RowOf(SlotNo slot) const;  // REQUIRES: Contains(slot)
  SlotNo SlotOf(uint32_t row) const;
  RowStamp stamp(uint32_t row) const;
  // All rows frozen: nothing to ask the transaction system. O(1).
  bool all_frozen() const { return all_frozen_; }
  // Several transactions made the frozen rows.
  bool has_makers() const { return has_makers_; }
  // Number of distinct stamps and the i-th; stamp_index(row) < stamps().
  uint32_t stamps() const { return stamp_count_; }
  RowStamp stamp_at(uint32_t index) const;
  uint32_t stamp_index(uint32_t row) const;
  // REQUIRES: the row is frozen. kUnknownMaker if it was written without one. O(1).
  uint32_t maker(uint32_t row) const;

  // Decodes attributes [from, to) of a row into values[from..to), nulls[from..to).
  void Decode(uint32_t row, uint32_t from, uint32_t to, Value* values, bool* nulls) const;
  // Smallest and largest non-null value of a by-value column as signed integers. False if unknown.
  bool MinMax(uint32_t attribute, int64_t* min, int64_t* max) const;

 private:
  Status CheckStructure();
  Status CheckColumn(uint32_t attribute) const;
  Status CheckValues() const;
  Status CheckReferences(const ColumnEntry& entry) const;
  bool Fits(uint64_t offset, uint64_t size) const { return offset + size <= size_; }
  // Number of non-null values of a column.
  uint32_t CountOf(const ColumnEntry& entry) const;
  const char* ReferenceAt(const ColumnEntry& entry, uint32_t index) const;
  Value ValueAt(const ColumnEntry& entry, uint32_t index) const;
  bool FindValue(const ColumnEntry& entry, uint32_t row, uint32_t* index) const;

  const char* section_ = nullptr;
  const ColumnEntry* directory_ = nullptr;
  const char* stamps_ = nullptr;
  const char* stamp_index_ = nullptr;
  uint32_t size_ = 0;
  uint16_t rows_ = 0, natts_ = 0, stamp_count_ = 0;
  uint8_t stamp_width_ = 0, first_ = 0;
  bool dense_ = false, all_frozen_ = false, has_makers_ = false;
  uint64_t slots_[kMapWords] = {};
  uint8_t slots_before_[kMapWords] = {};
};

}  // namespace omendb
