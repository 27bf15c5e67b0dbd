#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/pure.h"
#include "block/bit_packing.h"
#include "block/row_image.h"
#include "block/row_image_layout.h"
#include "block/section.h"

namespace omendb {
namespace {

StoredStamp Stored(const RowStamp& stamp, uint32_t maker) {
  StoredStamp stored = {};
  stored.xid = stamp.xid;
  stored.lsn = stamp.lsn;
  stored.cid = stamp.xid == 0 ? maker : stamp.cid;
  stored.kind = static_cast<uint8_t>(stamp.kind);
  stored.flags = stamp.flags;
  return stored;
}

}  // namespace

void RowImageBuilder::Start(Columns columns, uint32_t natts) {
  natts_ = natts;
  rows_ = 0;
  raw_size_ = 0;
  stamps_.clear();
  any_frozen_ = several_makers_ = false;
  if (columns_.size() < natts) {
    columns_.resize(natts);
    is_reference_.resize(natts);
    values_ = std::make_unique_for_overwrite<uint64_t[]>(natts * kColumnStride);
  }
  by_value_size_ = 0;
  for (uint32_t i = 0; i < natts; i++) {
    columns_[i].Start(columns[i]);
    is_reference_[i] = (columns[i].flags & kColumnByValue) == 0;
    if (!is_reference_[i]) by_value_size_ += static_cast<size_t>(columns[i].length);
  }
}

void RowImageBuilder::Add(SlotNo slot, const RowStamp& stamp, const Value* values,
                          const bool* nulls, uint32_t maker) {
  slots_[rows_] = slot;
  AddStamp(stamp);
  if (stamp.xid == 0) AddMaker(maker);
  size_t size = by_value_size_;
  uint64_t* to = values_.get() + rows_;
  for (uint32_t i = 0; i < natts_; i++, to += kColumnStride) {
    if (nulls[i]) {
      columns_[i].AddNull(rows_);
    } else if (is_reference_[i]) {
      size += columns_[i].AddReference(values[i], to);
    } else {
      *to = values[i];
    }
  }
  raw_size_ += size;
  rows_++;
}

void RowImageBuilder::AddStamp(const RowStamp& given) {
  // Frozen rows are all alike, so that "all frozen" is a matter of one stamp.
  const RowStamp& stamp = given.xid == 0 ? kFrozenStamp : given;
  if (rows_ > 0 && stamps_[stamp_index_[rows_ - 1]] == stamp) {
    stamp_index_[rows_] = stamp_index_[rows_ - 1];
    return;
  }
  // Rows of one transaction mostly follow each other, so look at the newest first; there are never
  // more than 256, and where each row has its own the search is cut short: a stamp may stand twice.
  constexpr size_t kSearch = 16;
  const size_t count = stamps_.size();
  for (size_t back = 1; back <= std::min(count, kSearch); back++) {
    if (stamps_[count - back] == stamp) {
      stamp_index_[rows_] = static_cast<uint8_t>(count - back);
      return;
    }
  }
  stamp_index_[rows_] = static_cast<uint8_t>(count);
  stamps_.push_back(stamp);
}

void RowImageBuilder::AddMaker(uint32_t maker) {
  if (!any_frozen_) {
    any_frozen_ = true;
    maker_ = maker;
  }
  several_makers_ |= maker != maker_;
  makers_[rows_] = maker;
}

char* RowImageBuilder::WriteStamps(char* at) const {
  for (const RowStamp& stamp : stamps_) {
    StoreFixed(at, Stored(stamp, several_makers_ ? 0 : maker_));
    at += sizeof(StoredStamp);
  }
  return at;
}

void RowImageBuilder::Finish(Lsn lsn, uint16_t section_flags, std::string* out) {
  size_t bound = kSectionHeaderSize + sizeof(ImageHeader) + kSlotsPerBlock / 8 +
                 stamps_.size() * sizeof(StoredStamp) + kSlotsPerBlock + kImageTail + 16 +
                 (natts_ + 1) * sizeof(ColumnEntry);
  for (uint32_t i = 0; i < natts_; i++) bound += columns_[i].EncodedBound(rows_);
  if (several_makers_) {
    maker_column_.Start(kMakerColumn, true);
    for (uint32_t i = 0; i < rows_; i++) {
      if (stamps_[stamp_index_[i]].xid != 0) maker_column_.AddNull(i);
    }
    bound += maker_column_.EncodedBound(rows_);
  }
  const size_t start = out->size();
  out->resize(start + AlignUp(bound, 8));
  char* const section = out->data() + start;

  ImageHeader header = {};
  header.rows = static_cast<uint16_t>(rows_);
  header.natts = static_cast<uint16_t>(natts_);
  header.stamps = static_cast<uint16_t>(stamps_.size());
  header.stamp_width =
      stamps_.size() < 2 ? 0 : static_cast<uint8_t>(std::bit_width(stamps_.size() - 1));
  header.first = rows_ == 0 ? 0 : slots_[0];
  const bool dense = rows_ == 0 || slots_[rows_ - 1] - slots_[0] + 1u == rows_;
  header.flags =
      static_cast<uint8_t>((dense ? kImageDense : 0) | (several_makers_ ? kImageMakers : 0));
  char* at = section + kSectionHeaderSize;
  StoreFixed(at, header);
  at += sizeof(header);
  if (!dense) {
    uint64_t map[kMapWords] = {};
    for (uint32_t i = 0; i < rows_; i++) SetBit(map, slots_[i]);
    std::memcpy(at, map, sizeof(map));
    at += sizeof(map);
  }
  at = WriteStamps(at);
  auto* directory = at;
  at += (natts_ + (several_makers_ ? 1 : 0)) * sizeof(ColumnEntry);
  at = PackBits(at, rows_, header.stamp_width,
                [&](uint32_t i) { return uint64_t{stamp_index_[i]}; });
  for (uint32_t i = 0; i < natts_; i++, directory += sizeof(ColumnEntry)) {
    ColumnEntry entry;
    at = columns_[i].Encode(section, at, values_.get() + i * kColumnStride, rows_, &entry);
    StoreFixed(directory, entry);
  }
  if (several_makers_) {
    ColumnEntry entry;
    at = maker_column_.Encode(section, at, makers_, rows_, &entry);
    StoreFixed(directory, entry);
  }
  const size_t size = AlignUp(static_cast<size_t>(at - section) + kImageTail, 8);
  std::memset(at, 0, static_cast<size_t>(section + size - at));
  SealSection(section, size, size, kSectionRowImage, section_flags, lsn);
  out->resize(start + size);
}

Status RestampImage(Slice section, const RowStamp& stamp, uint32_t maker, Lsn lsn,
                    uint16_t section_flags, std::string* out) {
  const auto header = LoadFixed<ImageHeader>(section.data() + kSectionHeaderSize);
  const bool keeps_makers = stamp.xid == 0 && maker == kUnknownMaker;
  if (header.stamps != 1 || ((header.flags & kImageMakers) && !keeps_makers)) {
    return Status::Make(StatusCode::kInvalidArgument, "row image has several stamps");
  }
  const size_t start = out->size();
  out->append(section);
  char* copy = out->data() + start;
  const size_t at = kSectionHeaderSize + sizeof(ImageHeader) +
                    (header.flags & kImageDense ? 0 : kSlotsPerBlock / 8);
  const auto old = LoadFixed<StoredStamp>(copy + at);
  if (!keeps_makers || old.xid != 0) {
    StoreFixed(copy + at, Stored(stamp.xid == 0 ? kFrozenStamp : stamp, maker));
  }
  SealSection(copy, section.size(), section.size(), kSectionRowImage, section_flags, lsn);
  return Status::Ok();
}

}  // namespace omendb
