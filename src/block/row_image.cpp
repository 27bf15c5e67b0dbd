// A row image section, version 1. All integers little-endian, offsets from the section's start.
//
//   section header (block_value.h), type 1
//   rows:        uint16   0 .. 256
//   natts:       uint16   0 .. 1600
//   stamps:      uint16   distinct stamps, roughly; one frozen stamp = all rows are frozen
//   stamp_width: uint8    bits of a stamp index: 0 if there is one stamp
//   first:       uint8    slot of row 0
//   flags:       uint8    bit 0: dense: row i has slot first + i
//                         bit 1: makers: several transactions made the frozen rows
//   zero:        7 bytes
//   slots:       32 bytes bit map, bit set = slot has a row; not if dense
//   stamps:      per stamp xid uint64, lsn uint64, cid uint32, kind uint8, flags uint8, zero
//   uint16.
//                xid 0, frozen: instead of the cid the lower half of the xid that made the rows,
//                2 or 0 = not known; 0 if the image has makers
//   directory:   per column; with makers one more, an int4 of them, null for rows not frozen
//     column:    length int16, align uint8, flags uint8      types.h
//     encoding:  uint8
//     width:     uint8
//     shift:     uint8
//     flags:     uint8    bit 0: has nulls, bit 1: has min and max
//     data:      uint32   offset
//     table:     uint32   offset
//   stamp index: stamp_width bits per row
//   columns:     in any order, each
//     nulls:     ceil(rows / 64) words, bit set = not null; then per word, uint8: bits in the words
//                before it. Ends at data. Only if the column has nulls
//     data:      by encoding; values are the non-null ones, k = 0, 1, …; bits are `width` wide
//       kAllNull     nothing
//       kConstant    value int64
//       kPacked      min int64, max int64, bits             value = min + (bits[k] << shift)
//       kLinear      base, stride, min, max int64, bits     value = base + stride * k + bits[k]
//       kDecimal     base int64, bits                       float8 = (base + bits[k]) / 10^shift
//       kPlain       [min int64, max int64,] the values, `length` bytes each
//       kIndexed     bits; the value is number bits[k] of the shift + 1 values at `table`,
//                    `length` bytes each. So far for makers only
//       kReference   a table at `table`
//       kDictionary  bits; the value is number bits[k] of the table at `table`, whose bits are
//                    `shift` wide
//     table:     stride uint32, bias int32, values uint32 (offset), size uint32, count uint32,
//     bits;
//                then, at `values`, aligned as the column asks, the value area of `size` bytes.
//                The k-th value starts at stride * k + bias + bits[k] in it and tells its own
//                length. Short varlenas are unaligned, all others aligned as the column asks
//   zero:        8 bytes and up to a multiple of 8: packed arrays are read 8 bytes at a time
#include "block/row_image.h"

#include <cstddef>
#include <cstring>

#include "base/coding.h"
#include "base/pure.h"
#include "block/row_image_layout.h"
#include "block/section.h"

namespace omendb {
namespace {

// True if the value of the column that starts `bytes` ends in them.
bool EndsWithin(Column column, Slice bytes) {
  if (column.length > 0) return static_cast<size_t>(column.length) <= bytes.size();
  if (column.length == -1) return CheckedVarlenaSize(bytes) != 0;
  return !bytes.empty() && std::memchr(bytes.data(), 0, bytes.size()) != nullptr;
}

}  // namespace

Status RowImage::OpenTrusted(Slice section, RowImage* image) {
  SectionHeader header;
  OMENDB_RETURN_IF_ERROR(ReadSection(section, false, &header));
  if (header.type != kSectionRowImage || header.size != section.size()) {
    return DamagedBlock("section of type %u is no row image", header.type);
  }
  *image = RowImage();
  image->section_ = section.data();
  image->size_ = header.size;
  return image->CheckStructure();
}

Status RowImage::Open(Slice section, RowImage* image) {
  OMENDB_RETURN_IF_ERROR(OpenTrusted(section, image));
  return image->CheckValues();
}

Status RowImage::CheckStructure() {
  uint64_t at = kSectionHeaderSize;
  if (!Fits(at, sizeof(ImageHeader) + kImageTail)) return DamagedBlock("row image without header");
  const auto header = LoadFixed<ImageHeader>(section_ + at);
  at += sizeof(ImageHeader);
  rows_ = header.rows;
  natts_ = header.natts;
  stamp_count_ = header.stamps;
  stamp_width_ = header.stamp_width;
  first_ = header.first;
  dense_ = (header.flags & kImageDense) != 0;
  has_makers_ = (header.flags & kImageMakers) != 0;
  if (header.flags & ~(kImageDense | kImageMakers)) {
    return DamagedBlock("row image with unknown flags %#x", header.flags);
  }
  if (rows_ > kSlotsPerBlock || natts_ > kMaxColumns || stamp_count_ > rows_ ||
      (rows_ > 0 && stamp_count_ == 0) || stamp_width_ > 8) {
    return DamagedBlock("row image with %u rows, %u columns, %u stamps", rows_, natts_,
                        stamp_count_);
  }
  if (dense_) {
    if (first_ + rows_ > kSlotsPerBlock) return DamagedBlock("row image with too many slots");
    SetBits(slots_, first_, rows_);
  } else {
    if (!Fits(at, sizeof(slots_))) return DamagedBlock("row image without slots");
    std::memcpy(slots_, section_ + at, sizeof(slots_));
    at += sizeof(slots_);
  }
  uint32_t slots = 0;
  for (uint32_t word = 0; word < kMapWords; word++) {
    slots_before_[word] = static_cast<uint8_t>(slots);
    slots += CountBits(slots_[word]);
  }
  if (slots != rows_) return DamagedBlock("row image with %u rows in %u slots", rows_, slots);

  stamps_ = section_ + at;
  at += stamp_count_ * sizeof(StoredStamp);
  directory_ = reinterpret_cast<const ColumnEntry*>(section_ + at);
  at += (natts_ + (has_makers_ ? 1u : 0u)) * sizeof(ColumnEntry);
  stamp_index_ = section_ + at;
  if (!Fits(at, PackedReach(rows_, stamp_width_))) return DamagedBlock("row image ends early");
  for (uint32_t i = 0; i < stamp_count_; i++) {
    const auto stamp = LoadFixed<StoredStamp>(stamps_ + i * sizeof(StoredStamp));
    if (!CarriesRow(static_cast<VersionKind>(stamp.kind))) {
      return DamagedBlock("row image with rows of kind %u", stamp.kind);
    }
  }
  all_frozen_ = stamp_count_ == 0 || (stamp_count_ == 1 && stamp_at(0).xid == 0);
  for (uint32_t i = 0; stamp_width_ > 0 && i < rows_; i++) {
    if (UnpackBits(stamp_index_, i, stamp_width_) >= stamp_count_) {
      return DamagedBlock("stamp of row %u is missing", i);
    }
  }
  for (uint32_t i = 0; i < natts_; i++) OMENDB_RETURN_IF_ERROR(CheckColumn(i));
  if (!has_makers_) return Status::Ok();
  if (directory_[natts_].column != kMakerColumn)
    return DamagedBlock("makers of an impossible type");
  return CheckColumn(natts_);
}

uint32_t RowImage::CountOf(const ColumnEntry& entry) const {
  if (!(entry.flags & kEntryHasNulls)) return rows_;
  const char* map = section_ + entry.data - NullMapSize(rows_);
  uint32_t count = 0;
  for (size_t word = 0; word < NullMapWords(rows_); word++) {
    count += CountBits(LoadFixed<uint64_t>(map + word * sizeof(uint64_t)));
  }
  return count;
}

Status RowImage::CheckColumn(uint32_t attribute) const {
  const ColumnEntry& entry = directory_[attribute];
  auto damaged = [&](const char* what) {
    return DamagedBlock("column %u of a row image: %s", attribute + 1, what);
  };
  if (!ColumnIsSane(entry.column)) return damaged("impossible type");
  if (static_cast<uint8_t>(entry.encoding) > kMaxEncoding) return damaged("unknown encoding");
  if (entry.flags & ~(kEntryHasNulls | kEntryHasMinMax)) return damaged("unknown flags");
  if (entry.encoding == Encoding::kAllNull) {
    return entry.flags == 0 ? Status::Ok() : damaged("nulls with a bitmap");
  }
  if (rows_ == 0) return Status::Ok();
  const bool by_value = (entry.column.flags & kColumnByValue) != 0;
  const bool is_reference =
      entry.encoding == Encoding::kReference || entry.encoding == Encoding::kDictionary;
  if (by_value == is_reference) return damaged("its encoding does not fit its type");
  if (entry.width > kMaxPackedWidth) return damaged("bits too wide");

  uint32_t count = rows_;
  if (entry.flags & kEntryHasNulls) {
    const size_t words = NullMapWords(rows_);
    if (entry.data < kSectionHeaderSize + NullMapSize(rows_) || !Fits(entry.data, 0)) {
      return damaged("null bitmap out of bounds");
    }
    const char* map = section_ + entry.data - NullMapSize(rows_);
    count = 0;
    for (size_t word = 0; word < words; word++) {
      if (static_cast<uint8_t>(map[words * sizeof(uint64_t) + word]) != count) {
        return damaged("damaged null bitmap");
      }
      count += CountBits(LoadFixed<uint64_t>(map + word * sizeof(uint64_t)));
    }
    if (count > rows_) return damaged("damaged null bitmap");
  }
  const uint64_t data = entry.data;
  const uint64_t packed = PackedReach(count, entry.width);
  bool fits = false;
  switch (entry.encoding) {
    case Encoding::kConstant:
      fits = Fits(data, sizeof(int64_t));
      break;
    case Encoding::kPacked:
      fits = entry.shift < 64 && Fits(data, 16 + packed);
      break;
    case Encoding::kLinear:
      fits = Fits(data, 32 + packed);
      break;
    case Encoding::kDecimal:
      fits =
          entry.column.length == 8 && entry.shift <= kMaxDecimalExponent && Fits(data, 8 + packed);
      break;
    case Encoding::kPlain:
      fits = Fits(data, (entry.flags & kEntryHasMinMax ? 16 : 0) +
                            uint64_t{count} * static_cast<uint16_t>(entry.column.length));
      break;
    case Encoding::kIndexed:
      fits = Fits(data, packed) &&
             Fits(entry.table,
                  (uint64_t{entry.shift} + 1) * static_cast<uint16_t>(entry.column.length));
      break;
    case Encoding::kReference:
    case Encoding::kDictionary: {
      const bool dictionary = entry.encoding == Encoding::kDictionary;
      if (dictionary && !Fits(data, packed)) break;
      if (!Fits(entry.table, sizeof(ValueTable))) break;
      const auto table = LoadFixed<ValueTable>(section_ + entry.table);
      const uint32_t width = dictionary ? entry.shift : entry.width;
      fits = width <= kMaxPackedWidth && table.count > 0 && table.count <= kSlotsPerBlock &&
             (dictionary || table.count == count) &&
             Fits(entry.table, sizeof(ValueTable) + PackedReach(table.count, width)) &&
             Fits(table.values, table.size) && table.values % entry.column.align == 0;
      break;
    }
    default:
      break;
  }
  return fits ? Status::Ok() : damaged("its data reach out of bounds");
}

Status RowImage::CheckValues() const {
  if (rows_ == 0) return Status::Ok();
  for (uint32_t i = 0; i < natts_; i++) {
    const ColumnEntry& entry = directory_[i];
    if ((entry.encoding == Encoding::kReference || entry.encoding == Encoding::kDictionary) &&
        CountOf(entry) > 0) {
      Status status = CheckReferences(entry);
      if (!status.ok()) {
        return DamagedBlock("column %u of a row image: %s", i + 1, status.detail().c_str());
      }
    }
  }
  return Status::Ok();
}

Status RowImage::CheckReferences(const ColumnEntry& entry) const {
  const auto table = LoadFixed<ValueTable>(section_ + entry.table);
  const Column column = entry.column;
  const bool dictionary = entry.encoding == Encoding::kDictionary;
  const uint32_t width = dictionary ? entry.shift : entry.width;
  const char* bits = section_ + entry.table + sizeof(ValueTable);
  const Slice area(section_ + table.values, table.size);
  for (uint32_t k = 0; k < table.count; k++) {
    const uint64_t start = uint64_t{table.stride} * k + static_cast<uint64_t>(int64_t{table.bias}) +
                           UnpackBits(bits, k, width);
    if (start >= area.size() || !EndsWithin(column, area.substr(start))) {
      return DamagedBlock("value %u reaches out of bounds", k);
    }
    if (start & (StoredAlign(column, area.data() + start) - 1)) {
      return DamagedBlock("value %u is not aligned", k);
    }
  }
  return Status::Ok();
}

uint32_t RowImage::RowOf(SlotNo slot) const {
  if (dense_) return slot - first_;
  return slots_before_[slot >> 6] +
         CountBits(slots_[slot >> 6] & ((uint64_t{1} << (slot & 63)) - 1));
}

SlotNo RowImage::SlotOf(uint32_t row) const {
  if (dense_) return static_cast<SlotNo>(first_ + row);
  uint32_t word = 0;
  while (word + 1 < kMapWords && slots_before_[word + 1] <= row) word++;
  return static_cast<SlotNo>(word * 64 + SelectBit(slots_[word], row - slots_before_[word]));
}

uint32_t RowImage::stamp_index(uint32_t row) const {
  return stamp_width_ == 0 ? 0 : static_cast<uint32_t>(UnpackBits(stamp_index_, row, stamp_width_));
}

RowStamp RowImage::stamp_at(uint32_t index) const {
  const auto stored = LoadFixed<StoredStamp>(stamps_ + index * sizeof(StoredStamp));
  return {stored.xid, stored.lsn, stored.xid == 0 ? 0 : stored.cid,
          static_cast<VersionKind>(stored.kind), stored.flags};
}

RowStamp RowImage::stamp(uint32_t row) const { return stamp_at(stamp_index(row)); }

inline const char* RowImage::ReferenceAt(const ColumnEntry& entry, uint32_t index) const {
  const char* table = section_ + entry.table;
  uint32_t width = entry.width;
  if (entry.encoding == Encoding::kDictionary) {
    index = static_cast<uint32_t>(UnpackBits(section_ + entry.data, index, width));
    const auto count = LoadFixed<uint32_t>(table + offsetof(ValueTable, count));
    if (index >= count) index = 0;  // only in damaged bytes
    width = entry.shift;
  }
  const uint64_t start = uint64_t{LoadFixed<uint32_t>(table)} * index +
                         static_cast<uint64_t>(int64_t{LoadFixed<int32_t>(table + 4)}) +
                         UnpackBits(table + sizeof(ValueTable), index, width);
  return section_ + LoadFixed<uint32_t>(table + offsetof(ValueTable, values)) + start;
}

// Decode spends its time here: a second caller must not turn it into a call.
[[gnu::always_inline]] inline Value RowImage::ValueAt(const ColumnEntry& entry,
                                                      uint32_t index) const {
  const char* data = section_ + entry.data;
  switch (entry.encoding) {
    case Encoding::kConstant:
      return LoadFixed<uint64_t>(data);
    case Encoding::kPacked:
      return LoadFixed<uint64_t>(data) + (UnpackBits(data + 16, index, entry.width) << entry.shift);
    case Encoding::kLinear:
      return LoadFixed<uint64_t>(data) + LoadFixed<uint64_t>(data + 8) * index +
             UnpackBits(data + 32, index, entry.width);
    case Encoding::kDecimal: {
      const auto scaled = static_cast<int64_t>(LoadFixed<uint64_t>(data) +
                                               UnpackBits(data + 8, index, entry.width));
      return std::bit_cast<uint64_t>(static_cast<double>(scaled) / kPowersOfTen[entry.shift]);
    }
    case Encoding::kPlain:
      if (entry.flags & kEntryHasMinMax) data += 16;
      return static_cast<Value>(LoadByValue(
          entry.column.length, data + size_t{index} * static_cast<uint16_t>(entry.column.length)));
    case Encoding::kIndexed: {
      auto number = static_cast<uint32_t>(UnpackBits(data, index, entry.width));
      if (number > entry.shift) number = 0;  // only in damaged bytes
      return static_cast<Value>(LoadByValue(
          entry.column.length,
          section_ + entry.table + size_t{number} * static_cast<uint16_t>(entry.column.length)));
    }
    default:
      return reinterpret_cast<Value>(ReferenceAt(entry, index));
  }
}

// Which of the non-null values the row's is; false if it is null.
inline bool RowImage::FindValue(const ColumnEntry& entry, uint32_t row, uint32_t* index) const {
  if (entry.flags & kEntryHasNulls) {
    const char* map = section_ + entry.data - NullMapSize(rows_);
    const auto word = LoadFixed<uint64_t>(map + (row >> 6) * sizeof(uint64_t));
    if (!(word >> (row & 63) & 1)) return false;
    *index = static_cast<uint8_t>(map[NullMapWords(rows_) * sizeof(uint64_t) + (row >> 6)]) +
             CountBits(word & ((uint64_t{1} << (row & 63)) - 1));
    return true;
  }
  *index = row;
  return entry.encoding != Encoding::kAllNull;
}

void RowImage::Decode(uint32_t row, uint32_t from, uint32_t to, Value* values, bool* nulls) const {
  for (uint32_t i = from; i < to; i++) {
    const ColumnEntry& entry = directory_[i];
    uint32_t index;
    if (!FindValue(entry, row, &index)) {
      values[i] = 0;
      nulls[i] = true;
      continue;
    }
    values[i] = ValueAt(entry, index);
    nulls[i] = false;
  }
}

uint32_t RowImage::maker(uint32_t row) const {
  uint32_t maker = 0, index;
  if (!has_makers_) {
    maker = LoadFixed<uint32_t>(stamps_ + stamp_index(row) * sizeof(StoredStamp) +
                                offsetof(StoredStamp, cid));
  } else if (FindValue(directory_[natts_], row, &index)) {
    maker = static_cast<uint32_t>(ValueAt(directory_[natts_], index));
  }
  return maker == 0 ? kUnknownMaker : maker;
}

bool RowImage::MinMax(uint32_t attribute, int64_t* min, int64_t* max) const {
  const ColumnEntry& entry = directory_[attribute];
  if (rows_ == 0) return false;
  const char* at = section_ + entry.data;
  switch (entry.encoding) {
    case Encoding::kConstant:
      *min = *max = LoadFixed<int64_t>(at);
      return true;
    case Encoding::kLinear:
      at += 16;
      break;
    case Encoding::kPacked:
      break;
    case Encoding::kPlain:
      if (entry.flags & kEntryHasMinMax) break;
      return false;
    default:
      return false;
  }
  *min = LoadFixed<int64_t>(at);
  *max = LoadFixed<int64_t>(at + 8);
  return true;
}

}  // namespace omendb
