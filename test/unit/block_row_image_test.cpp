#include <cmath>
#include <functional>

#include "block/block_value.h"
#include "block/row_image.h"
#include "block_test_util.h"

namespace omendb {
namespace {

constexpr RowStamp kStamp = {100, 2000, 3, VersionKind::kInsert, 0};

// Builds an image of one column and 256 rows, checks that every value comes back, returns its size.
size_t BuildAndCheck(Column column, uint32_t rows, const std::function<Value(uint32_t)>& value,
                     const std::function<bool(uint32_t)>& is_null = nullptr, int64_t* min = nullptr,
                     int64_t* max = nullptr) {
  RowImageBuilder builder;
  builder.Start(Columns(&column, 1), 1);
  std::vector<Value> values(rows);
  for (uint32_t i = 0; i < rows; i++) {
    const bool null = is_null && is_null(i);
    values[i] = null ? 0 : value(i);
    builder.Add(static_cast<SlotNo>(i), kStamp, &values[i], &null);
  }
  std::string out;
  builder.Finish(7, 0, &out);
  EXPECT_EQ(out.size() % 8, 0u);
  AlignedBytes bytes(out);
  RowImage image;
  ExpectOk(RowImage::Open(bytes.slice(), &image));
  EXPECT_EQ(image.rows(), rows);
  for (uint32_t i = 0; i < rows; i++) {
    Value decoded;
    bool null;
    image.Decode(i, 0, 1, &decoded, &null);
    EXPECT_EQ(null, is_null && is_null(i));
    if (null) continue;
    EXPECT_EQ(Content(column, decoded), Content(column, values[i])) << i;
    if (column.flags & kColumnByValue) {
      EXPECT_EQ(decoded, static_cast<Value>(NormalizeByValue(column.length, values[i])));
    }
  }
  if (min != nullptr) {
    EXPECT_TRUE(image.MinMax(0, min, max));
  }
  return out.size();
}

constexpr size_t kOverhead = 24 + 16 + 24 + 16 + 16;  // headers, stamp, directory entry, tail

TEST(RowImage, ConstantColumnsTakeNoSpacePerRow) {
  int64_t min, max;
  EXPECT_LE(BuildAndCheck(
                kInt8, 256, [](uint32_t) { return 42; }, nullptr, &min, &max),
            kOverhead + 8);
  EXPECT_EQ(min, 42);
  EXPECT_EQ(max, 42);
  ValueStore store;
  const Value text = store.Text("the same everywhere");
  EXPECT_LE(BuildAndCheck(kText, 256, [&](uint32_t) { return text; }), kOverhead + 56);
  EXPECT_LE(BuildAndCheck(
                kInt4, 256, [](uint32_t) { return 0; }, [](uint32_t) { return true; }),
            kOverhead);
}

TEST(RowImage, SequencesTakeNoSpacePerRow) {
  int64_t min, max;
  EXPECT_LE(
      BuildAndCheck(
          kInt8, 256, [](uint32_t i) { return (uint64_t{1} << 55) + i; }, nullptr, &min, &max),
      kOverhead + 32);
  EXPECT_EQ(min, int64_t{1} << 55);
  EXPECT_EQ(max, (int64_t{1} << 55) + 255);
  EXPECT_LE(
      BuildAndCheck(kInt8, 256, [](uint32_t i) { return static_cast<Value>(-7 * int64_t{i}); }),
      kOverhead + 32);
}

TEST(RowImage, NarrowRangesArePacked) {
  std::mt19937_64 random(3);
  int64_t min, max;
  std::vector<int64_t> values(256);
  for (int64_t& v : values) v = static_cast<int64_t>(random() % (1 << 17)) - 1000;
  const size_t size = BuildAndCheck(
      kInt4, 256, [&](uint32_t i) { return static_cast<Value>(values[i]); }, nullptr, &min, &max);
  EXPECT_LE(size, kOverhead + 16 + 256 * 17 / 8);
  EXPECT_EQ(min, *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(max, *std::max_element(values.begin(), values.end()));
  // Common low zero bits cost nothing: whole seconds in microseconds are no such case, pages are.
  EXPECT_LE(
      BuildAndCheck(kInt8, 256, [&](uint32_t i) { return static_cast<Value>(values[i] * 8192); }),
      kOverhead + 16 + 256 * 17 / 8);
}

TEST(RowImage, EveryWidthOfIntegersWorks) {
  std::mt19937_64 random(4);
  for (Column column : {kBool, kInt2, kInt4, kInt8}) {
    for (uint32_t width = 0; width < 64; width++) {
      for (uint32_t rows : {1u, 2u, 7u, 63u, 64u, 65u, 255u, 256u}) {
        const uint64_t base = random();
        std::vector<uint64_t> values(rows);
        for (uint64_t& v : values) v = base + (random() & ((uint64_t{1} << width) - 1));
        BuildAndCheck(column, rows, [&](uint32_t i) { return values[i]; });
        BuildAndCheck(
            column, rows, [&](uint32_t i) { return values[i]; },
            [&](uint32_t i) { return values[i] % 3 == 0; });
        std::sort(values.begin(), values.end());
        BuildAndCheck(column, rows, [&](uint32_t i) { return values[i]; });
      }
    }
  }
  for (uint64_t extreme : {uint64_t{1} << 63, ~(uint64_t{1} << 63)}) {
    BuildAndCheck(kInt8, 256, [&](uint32_t i) { return i % 2 ? extreme : ~extreme; });
    BuildAndCheck(kInt8, 256, [&](uint32_t i) { return i < 128 ? extreme : ~extreme; });
  }
}

TEST(RowImage, DecimalFractionsArePacked) {
  std::mt19937_64 random(5);
  std::vector<double> values(256);
  auto bits = [&](uint32_t i) { return std::bit_cast<uint64_t>(values[i]); };
  for (double& v : values) v = static_cast<double>(random() % 1000000) / 100;
  EXPECT_LE(BuildAndCheck(kInt8, 256, bits), kOverhead + 8 + 256 * 20 / 8);
  for (double& v : values) v = static_cast<double>(random() % 1000000) - 500000;
  EXPECT_LE(BuildAndCheck(kInt8, 256, bits), kOverhead + 16 + 256 * 21 / 8);
  // Full precision, and what is like no integer at all.
  for (double& v : values) v = std::ldexp(static_cast<double>(random()), -64);
  EXPECT_LE(BuildAndCheck(kInt8, 256, bits), kOverhead + 16 + 2048);
  const double odd[] = {-0.0, 0.0, INFINITY, -INFINITY, NAN, 5e-324, 1e308, 0.1, 1.5};
  for (double& v : values) v = odd[random() % 9];
  BuildAndCheck(kInt8, 256, bits);
  for (double& v : values) v = odd[7 + random() % 2];
  values[200] = -0.0;
  BuildAndCheck(kInt8, 256, bits);
}

TEST(RowImage, EqualLengthsNeedNoOffsetsAndRepeatedValuesAreStoredOnce) {
  std::mt19937_64 random(6);
  ValueStore store;
  auto text = [&](uint32_t) {
    return store.Text(std::to_string(1000000000 + random() % 1000000000));
  };
  EXPECT_LE(BuildAndCheck(kText, 256, text), kOverhead + 32 + 256 * 11);
  auto word = [&](uint32_t) {
    return store.Text("status number " + std::to_string(random() % 10));
  };
  EXPECT_LE(BuildAndCheck(kText, 256, word), kOverhead + 64 + 256 / 2 + 10 * 20);
  auto uuid = [&](uint32_t) { return RandomValue(kInterval, random, &store); };
  BuildAndCheck(kInterval, 256, uuid);
  auto varying = [&](uint32_t) { return store.Text(std::string(random() % 20, 'x') + "ab"); };
  EXPECT_LE(BuildAndCheck(kText, 256, varying), kOverhead + 64 + 256 * 15);
}

TEST(RowImage, WidelyVaryingLengthsWork) {
  ValueStore store;
  auto lopsided = [&](uint32_t i) {
    return store.Text(std::string(i < 4 ? 1000000 : i % 3, static_cast<char>('a' + i % 26)));
  };
  BuildAndCheck(kText, 256, lopsided);
  BuildAndCheck(kPlainText, 256, lopsided);
  auto rising = [&](uint32_t i) {
    return store.Text(std::string(i == 255 ? 3000000 : i * 5, static_cast<char>('a' + i % 26)));
  };
  BuildAndCheck(kText, 256, rising);
  BuildAndCheck(kPath, 256, rising);
}

TEST(RowImage, RandomImagesOfAllTypesComeBack) {
  std::mt19937_64 random(7);
  RowImageBuilder builder;  // one for all: its memory is reused
  for (int round = 0; round < 400; round++) {
    ValueStore store;
    std::vector<Column> columns;
    const Column kinds[] = {kBool, kInt2,      kInt4, kInt8,     kText,
                            kPath, kPlainText, kUuid, kInterval, kCString};
    for (uint64_t i = random() % 12; i > 0; i--) columns.push_back(kinds[random() % 10]);
    const auto natts = static_cast<uint32_t>(columns.size());
    std::vector<uint64_t> nulls_in(natts);
    for (uint64_t& n : nulls_in) n = random() % 5;
    builder.Start(columns, natts);
    std::vector<std::pair<SlotNo, RowStamp>> rows;
    std::vector<uint32_t> makers;
    const uint64_t transactions = 1 + random() % 60;
    std::vector<std::vector<std::string>> expected;
    const uint64_t density = 1 + random() % 4, stamps = 1 + random() % 40;
    for (uint32_t slot = random() % 200; slot < 256; slot++) {
      if (random() % density != 0) continue;
      TestRow row(natts);
      std::vector<std::string> contents;
      for (uint32_t i = 0; i < natts; i++) {
        row.nulls[i] = nulls_in[i] != 0 && random() % nulls_in[i] != 0;
        if (!row.nulls[i]) row.values[i] = RandomValue(columns[i], random, &store);
        contents.push_back(row.nulls[i] ? "null" : Content(columns[i], row.values[i]));
      }
      RowStamp stamp = {random() % stamps, 50, 2, VersionKind::kInsert, kVersionCommitted};
      makers.push_back(static_cast<uint32_t>(3 + random() % transactions * 0x4000001));
      builder.Add(static_cast<SlotNo>(slot), stamp, row.values.data(), row.nulls.get(),
                  makers.back());
      if (stamp.xid == 0) stamp = kFrozenStamp;
      rows.push_back({static_cast<SlotNo>(slot), stamp});
      expected.push_back(contents);
    }
    std::string out;
    builder.Finish(9, kSectionFolded, &out);
    AlignedBytes bytes(out);
    RowImage image;
    ExpectOk(RowImage::Open(bytes.slice(), &image));
    ASSERT_EQ(image.rows(), rows.size());
    ASSERT_EQ(image.natts(), natts);
    bool all_frozen = true;
    std::vector<Value> values(natts);
    std::unique_ptr<bool[]> nulls(new bool[natts + 1]);
    for (uint32_t i = 0; i < rows.size(); i++) {
      EXPECT_TRUE(image.Contains(rows[i].first));
      EXPECT_EQ(image.RowOf(rows[i].first), i);
      EXPECT_EQ(image.SlotOf(i), rows[i].first);
      EXPECT_EQ(image.stamp(i), rows[i].second);
      EXPECT_EQ(image.stamp_at(image.stamp_index(i)), rows[i].second);
      all_frozen &= rows[i].second.xid == 0;
      if (rows[i].second.xid == 0) {
        EXPECT_EQ(image.maker(i), makers[i]);
      }
      for (uint32_t from = 0; from < natts;) {
        const uint32_t to = from + 1 + random() % (natts - from);
        image.Decode(i, from, to, values.data(), nulls.get());
        from = to;
      }
      for (uint32_t c = 0; c < natts; c++) {
        EXPECT_EQ(nulls[c] ? "null" : Content(columns[c], values[c]), expected[i][c]);
        if (nulls[c] || (columns[c].flags & kColumnByValue)) continue;
        EXPECT_EQ(values[c] % StoredAlign(columns[c], reinterpret_cast<char*>(values[c])), 0u);
      }
    }
    EXPECT_EQ(image.all_frozen(), all_frozen);
    uint32_t contained = 0;
    for (uint32_t slot = 0; slot < 256; slot++)
      contained += image.Contains(static_cast<SlotNo>(slot));
    EXPECT_EQ(contained, rows.size());
  }
}

TEST(RowImage, HoldsRowsWithoutColumnsAndRowsOfAllColumns) {
  RowImageBuilder builder;
  builder.Start({}, 0);
  const bool no_nulls[1] = {};
  for (int i = 0; i < 256; i++) builder.Add(static_cast<SlotNo>(i), kStamp, nullptr, no_nulls);
  std::string out;
  builder.Finish(1, 0, &out);
  RowImage image;
  AlignedBytes empty(out);
  ExpectOk(RowImage::Open(empty.slice(), &image));
  EXPECT_EQ(image.rows(), 256u);
  image.Decode(255, 0, 0, nullptr, nullptr);

  std::vector<Column> columns(kMaxColumns, kInt4);
  builder.Start(columns, kMaxColumns);
  TestRow row(kMaxColumns);
  for (uint32_t r = 0; r < 10; r++) {
    for (uint32_t i = 0; i < kMaxColumns; i++) row.values[i] = i * 7919 + r * i;
    builder.Add(static_cast<SlotNo>(r), kStamp, row.values.data(), row.nulls.get());
  }
  EXPECT_EQ(builder.raw_size(), 10u * 4 * kMaxColumns);
  out.clear();
  builder.Finish(1, 0, &out);
  AlignedBytes wide(out);
  ExpectOk(RowImage::Open(wide.slice(), &image));
  image.Decode(9, 0, kMaxColumns, row.values.data(), row.nulls.get());
  for (uint32_t i = 0; i < kMaxColumns; i++) EXPECT_EQ(row.values[i], i * 7919 + 9 * i);
}

TEST(RowImage, ARestampedCopyDiffersInItsStampOnly) {
  RowImageBuilder builder;
  const Column column = kInt4;
  for (uint32_t step : {1u, 3u}) {
    builder.Start(Columns(&column, 1), 1);
    const bool null = false;
    for (uint32_t i = 0; i < 80; i++) {
      const Value value = i * 3;
      builder.Add(static_cast<SlotNo>(i * step), kStamp, &value, &null);
    }
    std::string out, copy;
    builder.Finish(1, 0, &out);
    const RowStamp stamp = {77, 78, 79, VersionKind::kInsert, kVersionCommitted};
    ExpectOk(RestampImage(out, stamp, 77, 78, kSectionFolded, &copy));
    BlockView view;
    AlignedBytes bytes(copy);
    ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
    StoredVersion version;
    ASSERT_TRUE(view.NextVersion(static_cast<SlotNo>(79 * step), ~Lsn{0}, &version));
    EXPECT_EQ(version.meta.xid, 77u);
    EXPECT_EQ(version.meta.lsn, 78u);
    EXPECT_EQ(version.meta.cid, 79u);
    Value value;
    bool is_null;
    version.image->Decode(version.row, 0, 1, &value, &is_null);
    EXPECT_EQ(value, 79u * 3);
    EXPECT_FALSE(view.NextVersion(static_cast<SlotNo>(79 * step), 78, &version));
  }
}

TEST(RowImage, ARestampedCopyThatIsFrozenKeepsItsMaker) {
  RowImageBuilder builder;
  const Column column = kInt4;
  const Value value = 5;
  const bool null = false;
  std::string out, copy, several;
  builder.Start(Columns(&column, 1), 1);
  builder.Add(3, kStamp, &value, &null);
  builder.Finish(1, 0, &out);
  ExpectOk(RestampImage(out, kFrozenStamp, 0xfffffff0u, 78, kSectionFolded, &copy));
  RowImage image;
  AlignedBytes bytes(copy);
  ExpectOk(RowImage::Open(bytes.slice(), &image));
  EXPECT_TRUE(image.all_frozen());
  EXPECT_EQ(image.stamp(0), kFrozenStamp);
  EXPECT_EQ(image.maker(0), 0xfffffff0u);

  builder.Start(Columns(&column, 1), 1);
  builder.Add(3, kFrozenStamp, &value, &null, 7);
  builder.Add(4, kFrozenStamp, &value, &null, 8);
  builder.Finish(1, 0, &several);
  EXPECT_EQ(RestampImage(several, kStamp, 0, 78, 0, &copy).code(), StatusCode::kInvalidArgument);
}

// Bytes that 256 rows of one constant column take in an image.
size_t FrozenSize(const std::function<uint32_t(uint32_t)>& maker) {
  RowImageBuilder builder;
  const Column column = kInt4;
  builder.Start(Columns(&column, 1), 1);
  const Value value = 5;
  const bool null = false;
  for (uint32_t i = 0; i < 256; i++) {
    builder.Add(static_cast<SlotNo>(i), kFrozenStamp, &value, &null, maker(i));
  }
  std::string out;
  builder.Finish(1, kSectionFolded, &out);
  AlignedBytes bytes(out);
  RowImage image;
  ExpectOk(RowImage::Open(bytes.slice(), &image));
  EXPECT_TRUE(image.all_frozen());
  EXPECT_EQ(image.stamps(), 1u);
  for (uint32_t i = 0; i < 256; i++) EXPECT_EQ(image.maker(i), maker(i)) << i;
  return out.size();
}

TEST(RowImage, MakersTakeNoMoreSpaceThanTheyDiffer) {
  const size_t none = FrozenSize([](uint32_t) { return kUnknownMaker; });
  EXPECT_EQ(FrozenSize([](uint32_t) { return 4000000000u; }), none) << "a bulk load";
  EXPECT_LE(FrozenSize([](uint32_t i) { return 7000000 + i; }), none + 16 + 32)
      << "a row per transaction";
  auto few_changed = [](uint32_t i) { return i % 60 == 0 ? 9000000 + i * 977 : 5000u; };
  EXPECT_LE(FrozenSize(few_changed), none + 16 + 6 * 4 + 256 * 3 / 8 + 8);
  std::mt19937_64 random(8);
  std::vector<uint32_t> makers(256);
  for (uint32_t& m : makers) m = 4294000000u + static_cast<uint32_t>(random() % (1 << 14));
  EXPECT_LE(FrozenSize([&](uint32_t i) { return makers[i]; }), none + 32 + 256 * 14 / 8 + 8);
}

TEST(RowImage, AppendsBehindWhatTheStringHolds) {
  RowImageBuilder builder;
  const Column column = kText;
  ValueStore store;
  std::string out;
  for (int round = 0; round < 3; round++) {
    builder.Start(Columns(&column, 1), 1);
    const Value value = store.Text("value " + std::to_string(round));
    const bool null = false;
    builder.Add(static_cast<SlotNo>(round), {0, 0, 0, VersionKind::kInsert, 0}, &value, &null);
    builder.Finish(1, kSectionFolded, &out);
  }
  AlignedBytes bytes(out);
  BlockView view;
  ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
  EXPECT_EQ(view.slots()[0], 7u);
  StoredVersion version;
  ASSERT_TRUE(view.NextVersion(2, ~Lsn{0}, &version));
  Value value;
  bool null;
  version.image->Decode(version.row, 0, 1, &value, &null);
  EXPECT_EQ(Content(kText, value), "Pvalue 2");
}

}  // namespace
}  // namespace omendb
