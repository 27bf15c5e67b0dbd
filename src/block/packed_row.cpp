#include "block/packed_row.h"

#include <cstring>

#include "base/coding.h"
#include "base/pure.h"
#include "block/varlena.h"

namespace omendb {
namespace {

constexpr uint8_t kHasNulls = 0x01;

Status Damaged(const char* detail) { return Status::Corruption("damaged row", detail); }

bool AnyNull(const bool* nulls, uint32_t natts) {
  return nulls != nullptr && natts > 0 && std::memchr(nulls, 1, natts) != nullptr;
}

}  // namespace

size_t PackedRowSize(Columns columns, const Value* values, const bool* nulls, uint32_t natts) {
  const bool has_nulls = AnyNull(nulls, natts);
  size_t size = (natts < 0x80 ? 1 : 2) + 1 + (has_nulls ? (natts + 7) / 8 : 0);
  for (uint32_t i = 0; i < natts; i++) {
    if (has_nulls && nulls[i]) continue;
    const Column column = columns[i];
    size += column.length > 0 ? static_cast<size_t>(column.length)
                              : StoredForm(column, values[i]).stored_size();
  }
  return size;
}

char* PackRow(Columns columns, const Value* values, const bool* nulls, uint32_t natts, char* to) {
  const bool has_nulls = AnyNull(nulls, natts);
  to = StoreVarint(to, natts);
  *to++ = has_nulls ? kHasNulls : 0;
  char* bitmap = to;
  if (has_nulls) {
    std::memset(bitmap, 0, (natts + 7) / 8);
    to += (natts + 7) / 8;
  }
  for (uint32_t i = 0; i < natts; i++) {
    if (has_nulls && nulls[i]) {
      bitmap[i / 8] = static_cast<char>(bitmap[i / 8] | (1 << (i % 8)));
      continue;
    }
    const Column column = columns[i];
    if (column.flags & kColumnByValue) {
      StoreByValue(column.length, to, values[i]);
      to += column.length;
      continue;
    }
    ReferenceValue stored = StoredForm(column, values[i]);
    if (stored.new_header != 0) *to++ = static_cast<char>(stored.new_header);
    std::memcpy(to, stored.from, stored.size);
    to += stored.size;
  }
  return to;
}

Status PackedRowReader::Open(Slice row, Columns columns, PackedRowReader* reader) {
  *reader = PackedRowReader();
  uint64_t natts;
  if (!TakeVarint(&row, &natts) || row.empty()) return Damaged("it ends in its header");
  if (natts > columns.size()) return Damaged("it has more attributes than its columns");
  const auto flags = static_cast<uint8_t>(row[0]);
  row.remove_prefix(1);
  if (flags & ~kHasNulls) return Damaged("unknown flags");
  if (flags & kHasNulls) {
    const size_t bitmap = (natts + 7) / 8;
    if (row.size() < bitmap) return Damaged("it ends in its null bitmap");
    reader->nulls_ = row.data();
    row.remove_prefix(bitmap);
  }
  reader->rest_ = row;
  reader->columns_ = columns;
  reader->natts_ = static_cast<uint32_t>(natts);
  return Status::Ok();
}

size_t PackedRowReader::ScratchSize(Slice row, uint32_t natts) {
  return AlignUp(row.size() + size_t{natts} * 7, 8);
}

Status PackedRowReader::DecodeUpTo(uint32_t upto, Value* values, bool* nulls, char* scratch) {
  for (; next_ < upto; next_++) {
    if (nulls_ != nullptr && (nulls_[next_ / 8] >> (next_ % 8) & 1)) {
      values[next_] = 0;
      nulls[next_] = true;
      continue;
    }
    nulls[next_] = false;
    const Column column = columns_[next_];
    const char* at = rest_.data();
    size_t size;
    if (column.length > 0) {
      size = static_cast<size_t>(column.length);
      if (rest_.size() < size) return Damaged("it ends inside a value");
    } else if (column.length == -1) {
      size = CheckedVarlenaSize(rest_);
      if (size == 0) return Damaged("a variable-length value reaches behind its end");
    } else {
      const void* end = rest_.empty() ? nullptr : std::memchr(at, 0, rest_.size());
      if (end == nullptr) return Damaged("a C string has no end");
      size = static_cast<size_t>(static_cast<const char*>(end) - at) + 1;
    }
    rest_.remove_prefix(size);
    if (column.flags & kColumnByValue) {
      values[next_] = static_cast<Value>(LoadByValue(column.length, at));
      continue;
    }
    const size_t align = StoredAlign(column, at);
    if (reinterpret_cast<uintptr_t>(at) & (align - 1)) {
      scratch_used_ = AlignUp(scratch_used_, align);
      std::memcpy(scratch + scratch_used_, at, size);
      at = scratch + scratch_used_;
      scratch_used_ += size;
    }
    values[next_] = reinterpret_cast<Value>(at);
  }
  return Status::Ok();
}

}  // namespace omendb
