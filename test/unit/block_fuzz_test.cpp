// Damaged block values: with verification every flipped bit is found; without it nothing that the
// block room does leaves the bytes. Meant to run under AddressSanitizer, where leaving them is an
// error; the values stand in heap blocks of their exact size.
#include "block/fold.h"
#include "block/section.h"
#include "block_test_util.h"

namespace omendb {
namespace {

const Column kKinds[] = {kBool, kInt2,      kInt4, kInt8,     kText,
                         kPath, kPlainText, kUuid, kInterval, kCString};

std::string RandomValueBytes(std::mt19937_64& random) {
  ValueStore store;
  std::vector<Column> columns;
  for (uint64_t i = 1 + random() % 6; i > 0; i--) columns.push_back(kKinds[random() % 10]);
  const auto natts = static_cast<uint32_t>(columns.size());
  auto random_row = [&](TestRow* row) {
    for (uint32_t i = 0; i < natts; i++) {
      row->nulls[i] = random() % 6 == 0;
      if (!row->nulls[i]) row->values[i] = RandomValue(columns[i], random, &store);
    }
  };
  std::string out;
  if (random() % 4 != 0) {
    RowImageBuilder builder;
    builder.Start(columns, natts);
    const uint64_t density = 1 + random() % 3, makers = 1 + random() % 12;
    for (uint32_t slot = 0; slot < 40; slot++) {
      if (random() % density != 0) continue;
      TestRow row(natts);
      random_row(&row);
      builder.Add(static_cast<SlotNo>(slot * 2), {random() % 3, 4, 5, VersionKind::kInsert, 0},
                  row.values.data(), row.nulls.get(),
                  static_cast<uint32_t>(random() % makers * 0x10000000));
    }
    builder.Finish(90, kSectionFolded, &out);
  }
  DeltasBuilder deltas;
  deltas.Start(columns);
  for (uint32_t slot = 0; slot < 20; slot++) {
    TestRow row(natts);
    random_row(&row);
    deltas.Add(static_cast<SlotNo>(slot * 3), {7, 200 - slot, 0, VersionKind::kUpdate, 0},
               Pack(columns, row.values.data(), row.nulls.get(), natts));
  }
  deltas.Add(255, {8, 300, 0, VersionKind::kLock, 0}, "\1");
  deltas.Finish(300, 0, &out);
  return out;
}

// Recomputes the checksums, so that damage gets past them.
void Reseal(char* value, size_t size) {
  for (size_t at = 0; at + kSectionHeaderSize <= size;) {
    const auto header = LoadFixed<SectionHeader>(value + at);
    if (header.size < kSectionHeaderSize || header.size > size - at) return;
    SealSection(value + at, header.size, header.size, header.type, header.flags, header.lsn);
    at += header.size;
  }
}

// Reads everything there is. `follow`: also what reference values point to.
void ReadAll(const BlockView& view, bool follow) {
  std::vector<Value> values(kMaxColumns);
  std::unique_ptr<bool[]> nulls(new bool[kMaxColumns]);
  uint64_t sum = 0;
  for (uint32_t slot = 0; slot < 256; slot++) {
    StoredVersion v;
    for (Lsn before = ~Lsn{0}; view.NextVersion(static_cast<SlotNo>(slot), before, &v);
         before = v.meta.lsn) {
      uint32_t natts = 0;
      Columns columns = v.columns;
      std::vector<Column> image_columns;
      std::unique_ptr<char[]> scratch;
      if (v.image != nullptr) {
        natts = v.image->natts();
        v.image->Decode(v.row, 0, natts, values.data(), nulls.get());
        for (uint32_t i = 0; i < natts; i++) {
          image_columns.push_back(v.image->column(i));
          int64_t min, max;
          if (v.image->MinMax(i, &min, &max)) {
            sum += static_cast<uint64_t>(min) + static_cast<uint64_t>(max) / 2;
          }
        }
        columns = image_columns;
        sum += v.image->stamp(v.row).xid + v.image->SlotOf(v.row);
        if (v.meta.xid == 0) sum += v.image->maker(v.row);
      } else {
        for (char c : v.payload) sum += static_cast<unsigned char>(c);
        if (!CarriesRow(v.meta.kind)) continue;
        PackedRowReader reader;
        if (!PackedRowReader::Open(v.payload, columns, &reader).ok()) continue;
        scratch.reset(new char[PackedRowReader::ScratchSize(v.payload, reader.natts())]);
        if (!reader.DecodeUpTo(reader.natts(), values.data(), nulls.get(), scratch.get()).ok()) {
          continue;
        }
        natts = reader.natts();
      }
      for (uint32_t i = 0; i < natts; i++) {
        if (nulls[i]) continue;
        if (v.image != nullptr && !follow && !(columns[i].flags & kColumnByValue)) continue;
        sum += Content(columns[i], values[i]).size();
      }
    }
  }
  volatile uint64_t sink = sum;
  (void)sink;
}

TEST(DamagedBlock, VerificationFindsEveryFlippedBit) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 40; round++) {
    AlignedBytes value(RandomValueBytes(random));
    BlockView view;
    ExpectOk(BlockView::Parse(value.slice(), true, &view));
    ReadAll(view, true);
    for (int flip = 0; flip < 200; flip++) {
      char& byte = value.data()[random() % value.slice().size()];
      const char bit = static_cast<char>(1 << random() % 8);
      byte ^= bit;
      const Status status = BlockView::Parse(value.slice(), true, &view);
      EXPECT_EQ(status.code(), StatusCode::kCorruption);
      EXPECT_FALSE(status.detail().empty());
      TestOracle oracle;
      std::string out;
      EXPECT_EQ(FoldBlock({value.slice()}, FoldScope::kWhole, oracle, &out).code(),
                StatusCode::kCorruption);
      byte ^= bit;
    }
  }
}

TEST(DamagedBlock, StaysWithinItsBytesWithoutVerification) {
  std::mt19937_64 random(12);
  for (int round = 0; round < 60; round++) {
    const std::string good = RandomValueBytes(random);
    for (int damage = 0; damage < 60; damage++) {
      AlignedBytes value(good);
      // Mostly in the descriptions at the front of a section.
      const size_t reach = random() % 3 ? std::min<size_t>(good.size(), 300) : good.size();
      for (uint64_t n = 1 + random() % 3; n > 0; n--) {
        char& byte = value.data()[random() % reach];
        byte = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      }
      BlockView view;
      if (BlockView::Parse(value.slice(), false, &view).ok()) ReadAll(view, false);
    }
  }
}

TEST(DamagedBlock, StaysWithinItsBytesBehindAGoodChecksum) {
  std::mt19937_64 random(13);
  int parsed = 0;
  for (int round = 0; round < 60; round++) {
    const std::string good = RandomValueBytes(random);
    for (int damage = 0; damage < 60; damage++) {
      AlignedBytes value(good);
      const size_t reach = random() % 3 ? std::min<size_t>(good.size(), 300) : good.size();
      for (uint64_t n = 1 + random() % 3; n > 0; n--) {
        char& byte = value.data()[random() % reach];
        byte = static_cast<char>(random() % 3 == 0 ? 0xff : random());
      }
      Reseal(value.data(), value.slice().size());
      BlockView view;
      if (!BlockView::Parse(value.slice(), true, &view).ok()) continue;
      parsed++;
      ReadAll(view, true);
      TestOracle oracle;
      oracle.horizon = random() % 10;
      std::string out;
      if (FoldBlock({value.slice()}, FoldScope::kWhole, oracle, &out).ok() && !out.empty()) {
        ExpectOk(BlockView::Parse(out, true, &view));
        ReadAll(view, true);
      }
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(DamagedBlock, AnyPrefixIsRefusedOrComplete) {
  std::mt19937_64 random(14);
  const std::string good = RandomValueBytes(random);
  for (size_t size = 0; size < good.size(); size++) {
    AlignedBytes value(Slice(good).substr(0, size));
    BlockView view;
    if (BlockView::Parse(value.slice(), true, &view).ok()) ReadAll(view, true);
  }
}

}  // namespace
}  // namespace omendb
