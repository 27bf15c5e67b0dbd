// Rows, columns and transactions for the tests of the block room.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/types.h"
#include "block/packed_row.h"
#include "block/row_image.h"
#include "block/varlena.h"

namespace omendb {

inline constexpr Column kBool = {1, 1, kColumnByValue};
inline constexpr Column kInt2 = {2, 2, kColumnByValue};
inline constexpr Column kInt4 = {4, 4, kColumnByValue};
inline constexpr Column kInt8 = {8, 8, kColumnByValue};
inline constexpr Column kText = {-1, 4, kColumnPackable};
inline constexpr Column kPlainText = {-1, 4, 0};
inline constexpr Column kPath = {-1, 8, kColumnPackable};
inline constexpr Column kUuid = {16, 1, 0};
inline constexpr Column kInterval = {16, 8, 0};
inline constexpr Column kCString = {-2, 1, 0};

inline void ExpectOk(const Status& status) {
  EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
}

// Owns what reference values point to. Each value has a heap block of its own exact size, so that
// ASan sees every byte read too many.
class ValueStore {
 public:
  Value Keep(const std::string& bytes) {
    auto& copy = kept_.emplace_back(new char[bytes.size() + (bytes.empty() ? 1 : 0)]);
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    return reinterpret_cast<Value>(copy.get());
  }
  Value Text(const std::string& data) {  // 4-byte header
    std::string bytes;
    AppendFixed(&bytes, static_cast<uint32_t>((data.size() + 4) << 2));
    return Keep(bytes + data);
  }
  Value ShortText(const std::string& data) {
    return Keep(std::string(1, static_cast<char>(((data.size() + 1) << 1) | 1)) + data);
  }
  Value Compressed(const std::string& data) {
    std::string bytes;
    AppendFixed(&bytes, static_cast<uint32_t>(((data.size() + 8) << 2) | 2));
    AppendFixed(&bytes, uint32_t{100000});
    return Keep(bytes + data);
  }
  Value ToastPointer(char fill) { return Keep(std::string("\x01\x12", 2) + std::string(16, fill)); }
  Value CString(const std::string& data) { return Keep(data + std::string(1, '\0')); }

 private:
  std::deque<std::unique_ptr<char[]>> kept_;
};

// The logical content of a value: equal for all ways to store it.
inline std::string Content(Column column, Value value) {
  if (column.flags & kColumnByValue) {
    std::string bytes;
    AppendFixed(&bytes, NormalizeByValue(column.length, value));
    return bytes;
  }
  const char* at = reinterpret_cast<const char*>(value);
  if (column.length > 0) return std::string(at, static_cast<size_t>(column.length));
  if (column.length == -2) return std::string(at);
  const size_t size = VarlenaSize(at);
  if (VarlenaIsExternal(at)) return "E" + std::string(at, size);
  if (VarlenaIsShort(at)) return "P" + std::string(at + 1, size - 1);
  if (*at & 0x02) return "C" + std::string(at + 4, size - 4);
  return "P" + std::string(at + 4, size - 4);
}

struct TestRow {
  std::vector<Value> values;
  std::unique_ptr<bool[]> nulls;
  explicit TestRow(size_t natts) : values(natts), nulls(new bool[natts + 1]()) {}
};

inline Value RandomValue(Column column, std::mt19937_64& random, ValueStore* store) {
  if (column.flags & kColumnByValue) {
    switch (random() % 3) {
      case 0:
        return static_cast<Value>(NormalizeByValue(column.length, random()));
      case 1:
        return random() % 100;
      default:
        return static_cast<Value>(NormalizeByValue(column.length, random() >> (random() % 64)));
    }
  }
  if (column.length > 0) {
    std::string bytes(static_cast<size_t>(column.length), 0);
    for (char& c : bytes) c = static_cast<char>(random() % 4);
    return store->Keep(bytes);
  }
  static constexpr size_t kSizes[] = {0, 1, 3, 10, 10, 10, 126, 127, 200, 3000};
  std::string data(kSizes[random() % 10], static_cast<char>('a' + random() % 26));
  if (!data.empty()) data[random() % data.size()] = static_cast<char>('A' + random() % 26);
  if (column.length == -2) return store->CString(data);
  switch (random() % 8) {
    case 0:
      return store->Compressed(data);
    case 1:
      return store->ToastPointer(static_cast<char>('a' + random() % 26));
    case 2:
      if (data.size() <= 126) return store->ShortText(data);
      [[fallthrough]];
    default:
      return store->Text(data);
  }
}

inline std::string Pack(Columns columns, const Value* values, const bool* nulls, uint32_t natts) {
  std::string row(PackedRowSize(columns, values, nulls, natts), 0);
  char* end = PackRow(columns, values, nulls, natts, row.data());
  EXPECT_EQ(end, row.data() + row.size());
  return row;
}

// Transactions with settable ends.
class TestOracle : public TransactionOracle {
 public:
  FullXid Horizon() const override { return horizon; }
  Verdict Resolve(FullXid xid) const override {
    auto found = verdicts.find(xid);
    return found == verdicts.end() ? Verdict::kUnknown : found->second;
  }
  FullXid horizon = 3;
  std::map<FullXid, Verdict> verdicts;
};

// 8-aligned copy in a block of its exact size.
class AlignedBytes {
 public:
  explicit AlignedBytes(Slice bytes) : size_(bytes.size()), data_(new char[bytes.size() + 1]) {
    std::memcpy(data_.get(), bytes.data(), bytes.size());
  }
  char* data() { return data_.get(); }
  Slice slice() const { return Slice(data_.get(), size_); }

 private:
  size_t size_;
  std::unique_ptr<char[]> data_;
};

}  // namespace omendb
