#include "block/column_encoding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kCopySlack = 16;  // behind the used bytes, so that short copies need no exact end

uint32_t SpanStart(uint64_t span) { return static_cast<uint32_t>(span); }
uint32_t SpanSize(uint64_t span) { return static_cast<uint32_t>(span >> 32); }

// memcpy for what is mostly short: calls cost more than the bytes.
void CopyBytes(char* to, const char* from, size_t size) {
  if (size > 16) {
    std::memcpy(to, from, size);
  } else if (size >= 8) {
    const auto head = LoadFixed<uint64_t>(from);
    const auto tail = LoadFixed<uint64_t>(from + size - 8);
    StoreFixed(to, head);
    StoreFixed(to + size - 8, tail);
  } else if (size >= 4) {
    const auto head = LoadFixed<uint32_t>(from);
    const auto tail = LoadFixed<uint32_t>(from + size - 4);
    StoreFixed(to, head);
    StoreFixed(to + size - 4, tail);
  } else {
    for (size_t i = 0; i < size; i++) to[i] = from[i];
  }
}

uint64_t HashBytes(const char* bytes, size_t size) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15u;
  uint64_t hash = size * kMultiplier;
  auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) mix(LoadFixed<uint64_t>(bytes + i));
    mix(LoadFixed<uint64_t>(bytes + size - 8));
  } else if (size >= 4) {
    mix(LoadFixed<uint32_t>(bytes) | uint64_t{LoadFixed<uint32_t>(bytes + size - 4)} << 32);
  } else {
    for (size_t i = 0; i < size; i++) mix(static_cast<unsigned char>(bytes[i]));
  }
  return hash;
}

uint32_t WidthOf(uint64_t range) { return static_cast<uint32_t>(std::bit_width(range)); }

// The integer x with double(x) / power == value bit for bit, if there is one.
bool ScaledExactly(double value, double power, int64_t* scaled) {
  const double product = value * power;
  if (!(std::fabs(product) < 9007199254740992.0)) return false;  // 2^53; also refuses NaN
  *scaled = static_cast<int64_t>(product < 0 ? product - 0.5 : product + 0.5);
  return std::bit_cast<uint64_t>(static_cast<double>(*scaled) / power) ==
         std::bit_cast<uint64_t>(value);
}

}  // namespace

size_t ColumnBuffer::AddReference(Value value, uint64_t* span) {
  const ReferenceValue stored = StoredForm(column_, value);
  const size_t size = stored.stored_size();
  size_t start = used_;
  if (stored.new_header == 0) start = AlignUp(start, StoredAlign(column_, stored.from));
  if (start + size + kCopySlack > capacity_) {
    capacity_ = std::max(start + size + kCopySlack, std::max<size_t>(capacity_ * 2, 1024));
    auto larger = std::make_unique_for_overwrite<char[]>(capacity_);
    if (used_ > 0) std::memcpy(larger.get(), bytes_.get(), used_);
    bytes_ = std::move(larger);
  }
  char* to = bytes_.get() + used_;
  while (used_ < start) {
    *to++ = 0;
    used_++;
  }
  if (stored.new_header != 0) *to++ = static_cast<char>(stored.new_header);
  CopyBytes(to, stored.from, stored.size);
  *span = start | uint64_t{size} << 32;
  used_ = start + size;
  return size;
}

size_t ColumnBuffer::EncodedBound(uint32_t rows) const {
  constexpr size_t kFixed = NullMapSize(kSlotsPerBlock) + sizeof(ValueTable) + 64;
  if (column_.flags & kColumnByValue) return kFixed + rows * sizeof(uint64_t);
  return kFixed + rows * (sizeof(uint32_t) + 1) + used_;
}

// Writes the null map and moves the other values together.
char* ColumnBuffer::DropNulls(char* at, uint64_t* values, uint32_t rows) {
  const size_t words = NullMapWords(rows);
  count_ = 0;
  for (size_t word = 0; word < words; word++) {
    const uint32_t in_word = std::min<uint32_t>(64, rows - static_cast<uint32_t>(word) * 64);
    uint64_t present = ~nulls_[word] & (~uint64_t{0} >> (64 - in_word));
    StoreFixed(at + word * sizeof(present), present);
    StoreFixed(at + words * sizeof(present) + word, static_cast<uint8_t>(count_));
    for (; present != 0; present &= present - 1) {
      values[count_++] = values[word * 64 + static_cast<uint32_t>(std::countr_zero(present))];
    }
  }
  return at + NullMapSize(rows);
}

char* ColumnBuffer::Encode(char* section, char* at, uint64_t* values, uint32_t rows,
                           ColumnEntry* entry) {
  *entry = ColumnEntry();
  entry->column = column_;
  count_ = rows;
  if (has_nulls_) {
    char* behind = DropNulls(at, values, rows);
    if (count_ > 0) {
      entry->flags |= kEntryHasNulls;
      at = behind;
    }
  }
  entry->data = static_cast<uint32_t>(at - section);
  if (count_ == 0) {
    entry->encoding = Encoding::kAllNull;
    return at;
  }
  return (column_.flags & kColumnByValue) ? EncodeByValue(section, at, values, entry)
                                          : EncodeReference(section, at, values, entry);
}

char* ColumnBuffer::EncodeByValue(char* section, char* at, uint64_t* values,
                                  ColumnEntry* entry) const {
  // Callers give a datum in any extension; from here on it is signed.
  if (column_.length != sizeof(uint64_t)) {
    for (uint32_t i = 0; i < count_; i++) {
      values[i] = static_cast<uint64_t>(NormalizeByValue(column_.length, values[i]));
    }
  }
  const auto first = static_cast<int64_t>(values[0]);
  int64_t min = first, max = first;
  uint64_t differing = 0;
  for (uint32_t i = 1; i < count_; i++) {
    const auto value = static_cast<int64_t>(values[i]);
    min = std::min(min, value);
    max = std::max(max, value);
    differing |= values[i] ^ values[0];
  }
  const auto length = static_cast<uint32_t>(column_.length);
  const size_t plain_size = size_t{length} * count_;
  if (min == max && plain_size > sizeof(int64_t)) {
    entry->encoding = Encoding::kConstant;
    StoreFixed(at, min);
    return at + sizeof(int64_t);
  }

  // Differences to the smallest value share their low zero bits with the values' differences.
  const auto base = static_cast<uint64_t>(min);
  const uint64_t range = static_cast<uint64_t>(max) - base;
  const uint32_t shift = differing == 0 ? 0 : static_cast<uint32_t>(std::countr_zero(differing));
  const uint32_t width = WidthOf(range >> shift);
  size_t best = plain_size;
  if (width <= kMaxPackedWidth && 16 + PackedSize(count_, width) < best) {
    entry->encoding = Encoding::kPacked;
    best = 16 + PackedSize(count_, width);
  } else {
    entry->encoding = Encoding::kPlain;
  }

  // A sequence or a clock lies close to a line. Three samples tell most others apart.
  uint64_t stride = 0, line_base = 0;
  uint32_t line_width = 0;
  if (count_ >= 8 && range < uint64_t{1} << kMaxPackedWidth && width > 1) {
    const int64_t steps = static_cast<int64_t>(values[count_ - 1] - values[0]);
    stride = static_cast<uint64_t>(steps / static_cast<int64_t>(count_ - 1));
    auto residual = [&](uint32_t i) {
      return static_cast<int64_t>(values[i] - values[0] - stride * i);
    };
    bool close = stride != 0;
    for (uint32_t i = count_ / 4; close && i < count_; i += count_ / 4) {
      const int64_t r = residual(i);
      close = static_cast<uint64_t>(r < 0 ? -r : r) <= range / 8;
    }
    if (close) {
      int64_t low = 0, high = 0;
      for (uint32_t i = 0; i < count_; i++) {
        low = std::min(low, residual(i));
        high = std::max(high, residual(i));
      }
      line_base = values[0] + static_cast<uint64_t>(low);
      line_width = WidthOf(static_cast<uint64_t>(high) - static_cast<uint64_t>(low));
      if (line_width <= kMaxPackedWidth && 32 + PackedSize(count_, line_width) < best) {
        entry->encoding = Encoding::kLinear;
        best = 32 + PackedSize(count_, line_width);
      }
    }
  }

  if (length == 8 && width + shift > 40 && count_ >= 8 && entry->encoding != Encoding::kLinear &&
      EncodeDecimal(best, values, &at, entry)) {
    return at;
  }
  if (try_indexed_ && EncodeIndexed(section, best, values, &at, entry)) return at;
  switch (entry->encoding) {
    case Encoding::kPacked:
      entry->width = static_cast<uint8_t>(width);
      entry->shift = static_cast<uint8_t>(shift);
      StoreFixed(at, min);
      StoreFixed(at + 8, max);
      return PackBits(at + 16, count_, width,
                      [&](uint32_t i) { return (values[i] - base) >> shift; });
    case Encoding::kLinear:
      entry->width = static_cast<uint8_t>(line_width);
      StoreFixed(at, line_base);
      StoreFixed(at + 8, stride);
      StoreFixed(at + 16, min);
      StoreFixed(at + 24, max);
      return PackBits(at + 32, count_, line_width,
                      [&](uint32_t i) { return values[i] - line_base - stride * i; });
    default:
      break;
  }
  if (count_ >= 16) {
    entry->flags |= kEntryHasMinMax;
    StoreFixed(at, min);
    StoreFixed(at + 8, max);
    at += 16;
  }
  if (length == 8) {
    std::memcpy(at, values, plain_size);
    return at + plain_size;
  }
  for (uint32_t i = 0; i < count_; i++, at += length) {
    StoreByValue(column_.length, at, values[i]);
  }
  return at;
}

// Doubles that were decimal fractions (prices, measurements) are small integers in disguise. Also
// tried on bigints: read as doubles they fail at the first value or come back bit for bit.
bool ColumnBuffer::EncodeDecimal(size_t best, const uint64_t* values, char** at,
                                 ColumnEntry* entry) const {
  int64_t integers[kSlotsPerBlock];
  uint32_t exponent = 0, exact = 0;
  while (exact < count_) {
    if (ScaledExactly(std::bit_cast<double>(values[exact]), kPowersOfTen[exponent],
                      &integers[exact])) {
      exact++;
    } else if (++exponent <= kMaxDecimalExponent) {
      exact = 0;  // what fitted a smaller exponent must be seen to fit this one
    } else {
      return false;
    }
  }
  const auto [min, max] = std::minmax_element(integers, integers + count_);
  const auto base = static_cast<uint64_t>(*min);
  const uint32_t width = WidthOf(static_cast<uint64_t>(*max) - base);
  if (width > kMaxPackedWidth || sizeof(base) + PackedSize(count_, width) >= best) return false;
  entry->encoding = Encoding::kDecimal;
  entry->width = static_cast<uint8_t>(width);
  entry->shift = static_cast<uint8_t>(exponent);
  StoreFixed(*at, base);
  *at = PackBits(*at + sizeof(base), count_, width,
                 [&](uint32_t i) { return static_cast<uint64_t>(integers[i]) - base; });
  return true;
}

// Few values that lie far apart: a block of one bulk load of which a few rows changed since.
bool ColumnBuffer::EncodeIndexed(char* section, size_t best, const uint64_t* values, char** at,
                                 ColumnEntry* entry) const {
  constexpr uint32_t kBuckets = 1024;
  uint16_t buckets[kBuckets] = {};  // number + 1
  uint64_t list[kSlotsPerBlock];
  uint8_t numbers[kSlotsPerBlock];
  const auto length = static_cast<uint32_t>(column_.length);
  uint32_t distinct = 0;
  for (uint32_t i = 0; i < count_; i++) {
    auto bucket = static_cast<uint32_t>(values[i] * 0x9e3779b97f4a7c15u >> 54);
    while (buckets[bucket] != 0 && list[buckets[bucket] - 1] != values[i]) {
      bucket = (bucket + 1) % kBuckets;
    }
    if (buckets[bucket] == 0) {
      if (size_t{distinct + 1} * length >= best) return false;
      list[distinct++] = values[i];
      buckets[bucket] = static_cast<uint16_t>(distinct);
    }
    numbers[i] = static_cast<uint8_t>(buckets[bucket] - 1);
  }
  const uint32_t width = WidthOf(distinct - 1);
  if (size_t{distinct} * length + PackedSize(count_, width) >= best) return false;
  entry->encoding = Encoding::kIndexed;
  entry->width = static_cast<uint8_t>(width);
  entry->shift = static_cast<uint8_t>(distinct - 1);
  char* to = PackBits(*at, count_, width, [&](uint32_t i) { return uint64_t{numbers[i]}; });
  entry->table = static_cast<uint32_t>(to - section);
  for (uint32_t i = 0; i < distinct; i++, to += length) StoreByValue(column_.length, to, list[i]);
  *at = to;
  return true;
}

char* ColumnBuffer::EncodeReference(char* section, char* at, const uint64_t* spans,
                                    ColumnEntry* entry) {
  if (FindDictionary(spans)) {
    entry->encoding = Encoding::kDictionary;
    entry->width = static_cast<uint8_t>(WidthOf(distinct_ - 1));
    at = PackBits(at, count_, entry->width, [&](uint32_t i) { return uint64_t{codes_[i]}; });
    spans = distinct_spans_.get();
    size_t size = 0;  // of the value area, laid out anew
    uint64_t placed[kSlotsPerBlock];
    for (uint32_t i = 0; i < distinct_; i++) {
      size = AlignUp(size, StoredAlign(column_, bytes_.get() + SpanStart(spans[i])));
      placed[i] = size;
      size += SpanSize(spans[i]);
    }
    char* values = WriteTable(section, at, placed, distinct_, size, entry, &entry->shift);
    std::memset(values, 0, size);
    for (uint32_t i = 0; i < distinct_; i++) {
      std::memcpy(values + placed[i], bytes_.get() + SpanStart(spans[i]), SpanSize(spans[i]));
    }
    return values + size;
  }
  entry->encoding = Encoding::kReference;
  char* values = WriteTable(section, at, spans, count_, used_, entry, &entry->width);
  std::memcpy(values, bytes_.get(), used_);
  return values + used_;
}

// Writes the table and its packed starts; returns where the value area goes.
char* ColumnBuffer::WriteTable(char* section, char* at, const uint64_t* spans, uint32_t count,
                               size_t size, ColumnEntry* entry, uint8_t* width) const {
  ValueTable table = {};
  table.stride = count > 1 ? SpanStart(spans[count - 1]) / (count - 1) : 0;
  int64_t low = 0, high = 0;
  for (uint32_t i = 0; i < count; i++) {
    const int64_t residual = int64_t{SpanStart(spans[i])} - int64_t{table.stride} * i;
    low = std::min(low, residual);
    high = std::max(high, residual);
  }
  if (low < std::numeric_limits<int32_t>::min()) {  // gigabytes first, then nothing
    table.stride = 0;
    low = 0;
    high = SpanStart(spans[count - 1]);
  }
  table.bias = static_cast<int32_t>(low);
  table.size = static_cast<uint32_t>(size);
  table.count = count;
  *width = static_cast<uint8_t>(WidthOf(static_cast<uint64_t>(high - low)));
  entry->table = static_cast<uint32_t>(at - section);
  char* end = PackBits(at + sizeof(table), count, *width, [&](uint32_t i) {
    return static_cast<uint64_t>(int64_t{SpanStart(spans[i])} - int64_t{table.stride} * i - low);
  });
  const size_t values = AlignUp(static_cast<size_t>(end - section), column_.align);
  while (end < section + values) *end++ = 0;
  table.values = static_cast<uint32_t>(values);
  StoreFixed(at, table);
  return section + values;
}

// Finds the distinct values if storing them once saves space. Gives up soon where they are all
// different: hashing them all would cost more than the rest of the encoding.
bool ColumnBuffer::FindDictionary(const uint64_t* spans) {
  constexpr uint32_t kBuckets = 1024, kSample = 32;
  if (count_ < 4) return false;
  if (distinct_spans_ == nullptr) {
    distinct_spans_ = std::make_unique_for_overwrite<uint64_t[]>(kSlotsPerBlock);
    codes_ = std::make_unique_for_overwrite<uint8_t[]>(kSlotsPerBlock);
  }
  uint16_t buckets[kBuckets] = {};  // code + 1
  size_t size = 0;
  distinct_ = 0;
  for (uint32_t i = 0; i < count_; i++) {
    const char* bytes = bytes_.get() + SpanStart(spans[i]);
    const uint32_t length = SpanSize(spans[i]);
    auto bucket = static_cast<uint32_t>(HashBytes(bytes, length) >> 20) % kBuckets;
    for (;; bucket = (bucket + 1) % kBuckets) {
      if (buckets[bucket] == 0) {
        if (distinct_ == kSample && i == kSample) return false;
        buckets[bucket] = static_cast<uint16_t>(distinct_ + 1);
        codes_[i] = static_cast<uint8_t>(distinct_);
        distinct_spans_[distinct_++] = spans[i];
        size += length + column_.align - 1;
        break;
      }
      const uint32_t code = buckets[bucket] - 1u;
      if (SpanSize(distinct_spans_[code]) == length &&
          std::memcmp(bytes_.get() + SpanStart(distinct_spans_[code]), bytes, length) == 0) {
        codes_[i] = static_cast<uint8_t>(code);
        break;
      }
    }
    if (size >= used_) return false;
  }
  return size + distinct_ + PackedSize(count_, WidthOf(distinct_ - 1)) + sizeof(ValueTable) < used_;
}

}  // namespace omendb
