#include "block/packed_row.h"
#include "block_test_util.h"

namespace omendb {
namespace {

const std::vector<Column> kAll = {kBool,      kInt2, kInt4, kInt8,     kText,
                                  kPlainText, kPath, kUuid, kInterval, kCString};

std::vector<std::string> DecodeAll(Slice row, Columns columns, uint32_t step) {
  PackedRowReader reader;
  ExpectOk(PackedRowReader::Open(row, columns, &reader));
  std::vector<Value> values(columns.size());
  std::vector<uint64_t> scratch(PackedRowReader::ScratchSize(row, reader.natts()) / 8 + 1);
  std::unique_ptr<bool[]> nulls(new bool[columns.size() + 1]);
  std::vector<std::string> contents;
  for (uint32_t upto = 0; upto < reader.natts();) {
    upto = std::min(reader.natts(), upto + step);
    ExpectOk(reader.DecodeUpTo(upto, values.data(), nulls.get(),
                               reinterpret_cast<char*>(scratch.data())));
  }
  for (uint32_t i = 0; i < reader.natts(); i++) {
    if (!nulls[i] && !(columns[i].flags & kColumnByValue)) {
      const char* at = reinterpret_cast<const char*>(values[i]);
      EXPECT_EQ(values[i] % StoredAlign(columns[i], at), 0u);
    }
    contents.push_back(nulls[i] ? "null" : Content(columns[i], values[i]));
  }
  return contents;
}

TEST(PackedRow, GivesBackRandomRowsOfAllTypes) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; round++) {
    ValueStore store;
    const uint32_t natts = random() % (kAll.size() + 1);
    TestRow row(kAll.size());
    std::vector<std::string> expected;
    for (uint32_t i = 0; i < natts; i++) {
      row.nulls[i] = random() % 4 == 0;
      if (!row.nulls[i]) row.values[i] = RandomValue(kAll[i], random, &store);
      expected.push_back(row.nulls[i] ? "null" : Content(kAll[i], row.values[i]));
    }
    const std::string packed = Pack(kAll, row.values.data(), row.nulls.get(), natts);
    // At every alignment, and in exactly as many bytes as there are.
    AlignedBytes shifted(std::string(random() % 8, 'x') + packed);
    Slice bytes = shifted.slice();
    bytes.remove_prefix(bytes.size() - packed.size());
    EXPECT_EQ(DecodeAll(bytes, kAll, 1 + random() % 11), expected);
  }
}

TEST(PackedRow, ByValueComesBackAsTheServerFetchesIt) {
  const std::vector<Column> columns = {kBool, kInt2, kInt4, kInt8};
  const Value values[] = {0xff, 0xffff, 0xfffffffe, 0x8000000000000001};
  const bool nulls[4] = {};
  const std::string row = Pack(columns, values, nulls, 4);
  EXPECT_EQ(row.size(), 2u + 15);
  PackedRowReader reader;
  ExpectOk(PackedRowReader::Open(row, columns, &reader));
  Value decoded[4];
  bool is_null[4];
  ExpectOk(reader.DecodeUpTo(4, decoded, is_null, nullptr));
  EXPECT_EQ(decoded[0], static_cast<Value>(-1));
  EXPECT_EQ(decoded[1], static_cast<Value>(-1));
  EXPECT_EQ(decoded[2], static_cast<Value>(-2));
  EXPECT_EQ(decoded[3], 0x8000000000000001u);
}

TEST(PackedRow, ShortValuesOfPackableColumnsGetTheShortHeader) {
  ValueStore store;
  const bool nulls[1] = {};
  auto size = [&](Column column, Value value) {
    return Pack(Columns(&column, 1), &value, nulls, 1).size() - 2;
  };
  EXPECT_EQ(size(kText, store.Text(std::string(126, 'x'))), 127u);
  EXPECT_EQ(size(kText, store.Text(std::string(127, 'x'))), 131u);
  EXPECT_EQ(size(kText, store.Text("")), 1u);
  EXPECT_EQ(size(kPlainText, store.Text("abc")), 7u);
  EXPECT_EQ(size(kText, store.Compressed("abc")), 11u);
  EXPECT_EQ(size(kText, store.ToastPointer('t')), 18u);
}

TEST(PackedRow, WideRowsAndEmptyRowsWork) {
  std::vector<Column> columns(kMaxColumns, kInt4);
  TestRow row(kMaxColumns);
  for (uint32_t i = 0; i < kMaxColumns; i++) row.values[i] = i;
  row.nulls[1599] = true;
  std::string packed = Pack(columns, row.values.data(), row.nulls.get(), kMaxColumns);
  EXPECT_EQ(packed.size(), 2u + 1 + 200 + 1599 * 4);
  EXPECT_EQ(DecodeAll(packed, columns, 100).back(), "null");
  packed = Pack(columns, row.values.data(), row.nulls.get(), 0);
  EXPECT_EQ(packed.size(), 2u);
  EXPECT_TRUE(DecodeAll(packed, {}, 1).empty());
}

TEST(PackedRow, RefusesMoreAttributesThanColumns) {
  const Value values[] = {1, 2};
  const bool nulls[2] = {};
  const std::vector<Column> columns = {kInt4, kInt4};
  const std::string packed = Pack(columns, values, nulls, 2);
  PackedRowReader reader;
  EXPECT_EQ(PackedRowReader::Open(packed, Columns(columns).first(1), &reader).code(),
            StatusCode::kCorruption);
}

TEST(PackedRow, DamageNeverReachesBehindTheRow) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 20000; round++) {
    ValueStore store;
    TestRow row(kAll.size());
    for (uint32_t i = 0; i < kAll.size(); i++) {
      row.nulls[i] = random() % 8 == 0;
      if (!row.nulls[i]) row.values[i] = RandomValue(kAll[i], random, &store);
    }
    std::string packed = Pack(kAll, row.values.data(), row.nulls.get(), kAll.size());
    if (random() % 2) packed.resize(random() % packed.size());
    for (uint64_t flips = random() % 4; flips > 0 && !packed.empty(); flips--) {
      packed[random() % std::min<size_t>(packed.size(), 60)] = static_cast<char>(random());
    }
    AlignedBytes bytes(packed);
    PackedRowReader reader;
    if (!PackedRowReader::Open(bytes.slice(), kAll, &reader).ok()) continue;
    std::vector<Value> values(kAll.size());
    std::unique_ptr<bool[]> nulls(new bool[kAll.size()]);
    const size_t scratch_size = PackedRowReader::ScratchSize(bytes.slice(), reader.natts());
    std::unique_ptr<char[]> scratch(new char[scratch_size]);
    if (!reader.DecodeUpTo(reader.natts(), values.data(), nulls.get(), scratch.get()).ok())
      continue;
    for (uint32_t i = 0; i < reader.natts(); i++) {
      if (!nulls[i]) Content(kAll[i], values[i]);  // reads it all
    }
  }
}

}  // namespace
}  // namespace omendb
