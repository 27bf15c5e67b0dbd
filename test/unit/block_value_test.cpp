#include "block/block_value.h"

#include "block_test_util.h"

namespace omendb {
namespace {

const std::vector<Column> kColumns = {kInt4};

std::string Row(uint64_t value) {
  const bool null = false;
  return Pack(kColumns, &value, &null, 1);
}

std::string Image(uint16_t flags, Lsn lsn, std::vector<std::pair<SlotNo, RowStamp>> rows,
                  uint64_t value) {
  RowImageBuilder builder;
  builder.Start(kColumns, 1);
  const bool null = false;
  for (auto& [slot, stamp] : rows) builder.Add(slot, stamp, &value, &null);
  std::string out;
  builder.Finish(lsn, flags, &out);
  return out;
}

struct Delta {
  SlotNo slot;
  VersionMeta meta;
  std::string payload;
};

std::string Deltas(uint16_t flags, Lsn lsn, const std::vector<Delta>& deltas) {
  DeltasBuilder builder;
  builder.Start(kColumns);
  for (const Delta& d : deltas) builder.Add(d.slot, d.meta, d.payload);
  std::string out;
  builder.Finish(lsn, flags, &out);
  return out;
}

VersionMeta Update(FullXid xid, Lsn lsn) { return {xid, lsn, 0, VersionKind::kUpdate, 0}; }

std::vector<Lsn> Lsns(const BlockView& view, SlotNo slot) {
  std::vector<Lsn> lsns;
  StoredVersion version;
  for (Lsn before = ~Lsn{0}; view.NextVersion(slot, before, &version); before = version.meta.lsn) {
    lsns.push_back(version.meta.lsn);
  }
  return lsns;
}

TEST(BlockView, GivesVersionsOfAllSectionsNewestFirstAndOnce) {
  const RowStamp frozen = kFrozenStamp;
  const std::string base = Image(kSectionFolded, 100, {{3, frozen}, {4, frozen}}, 1);
  const std::string first =
      Deltas(0, 120, {{3, Update(10, 120), Row(2)}, {3, Update(10, 110), Row(3)}});
  const std::string second = Deltas(0, 130, {{3, Update(11, 130), Row(4)}});
  AlignedBytes value(base + first + second + first);
  BlockView view;
  ExpectOk(BlockView::Parse(value.slice(), true, &view));
  EXPECT_EQ(Lsns(view, 3), (std::vector<Lsn>{130, 120, 110, 0}));
  EXPECT_EQ(Lsns(view, 4), (std::vector<Lsn>{0}));
  EXPECT_TRUE(Lsns(view, 5).empty());
  EXPECT_EQ(view.slots()[0], 0x18u);
  EXPECT_EQ(view.delta_slots()[0], 0x08u);
  EXPECT_EQ(view.plain_image(), nullptr);
  EXPECT_EQ(view.max_lsn(), 130u);
}

TEST(BlockView, SkipsWhatTheFoldHasSeen) {
  const std::string base = Image(kSectionFolded, 115, {{3, kFrozenStamp}}, 1);
  const std::string old = Deltas(0, 115, {{7, Update(10, 115), Row(2)}});
  const std::string mixed = Deltas(
      0, 120,
      {{3, Update(10, 120), Row(2)}, {3, Update(10, 110), Row(3)}, {9, Update(9, 109), Row(1)}});
  const std::string image = Image(
      0, 125,
      {{20, {5, 112, 0, VersionKind::kInsert, 0}}, {21, {6, 125, 0, VersionKind::kInsert, 0}}}, 5);
  AlignedBytes value(base + old + mixed + image);
  BlockView view;
  ExpectOk(BlockView::Parse(value.slice(), true, &view));
  EXPECT_EQ(Lsns(view, 3), (std::vector<Lsn>{120, 0}));
  EXPECT_TRUE(Lsns(view, 7).empty());
  EXPECT_TRUE(Lsns(view, 9).empty());
  EXPECT_TRUE(Lsns(view, 20).empty());
  EXPECT_EQ(Lsns(view, 21), (std::vector<Lsn>{125}));
  EXPECT_EQ(view.slots()[0], uint64_t{1} << 3 | uint64_t{1} << 21);
}

TEST(BlockView, APlainImageIsOneFrozenImageAndNothingElse) {
  const std::string frozen = Image(kSectionFolded, 100, {{3, kFrozenStamp}}, 1);
  const std::string fresh =
      Image(kSectionFolded, 100, {{3, {9, 100, 0, VersionKind::kInsert, 0}}}, 1);
  BlockView view;
  AlignedBytes a(frozen), b(fresh), c(frozen + Deltas(0, 120, {{3, Update(10, 120), Row(2)}})),
      d(frozen + Deltas(0, 90, {{3, Update(10, 90), Row(2)}}));
  ExpectOk(BlockView::Parse(a.slice(), false, &view));
  ASSERT_NE(view.plain_image(), nullptr);
  EXPECT_TRUE(view.plain_image()->Contains(3));
  ExpectOk(BlockView::Parse(b.slice(), false, &view));
  EXPECT_EQ(view.plain_image(), nullptr);
  ExpectOk(BlockView::Parse(c.slice(), false, &view));
  EXPECT_EQ(view.plain_image(), nullptr);
  ExpectOk(BlockView::Parse(d.slice(), false, &view));
  EXPECT_NE(view.plain_image(), nullptr) << "an operand that was folded already counts for nothing";
  ExpectOk(BlockView::Parse(Slice(), true, &view));
  EXPECT_TRUE(view.empty());
  EXPECT_EQ(view.plain_image(), nullptr);
}

TEST(BlockView, ARepeatedConfirmDoesNotHideTheInsertItWasMergedWith) {
  const std::string merged = Deltas(0, 120, {{3, {9, 120, 0, VersionKind::kInsert, 0}, Row(5)}});
  const std::string confirm =
      Deltas(0, 120, {{3, {9, 120, 0, VersionKind::kSpeculativeConfirm, 0}, ""}});
  for (const std::string& bytes : {merged + confirm, confirm + merged}) {
    AlignedBytes value(bytes);
    BlockView view;
    ExpectOk(BlockView::Parse(value.slice(), true, &view));
    StoredVersion version;
    ASSERT_TRUE(view.NextVersion(3, ~Lsn{0}, &version));
    EXPECT_EQ(version.meta.kind, VersionKind::kInsert);
    EXPECT_FALSE(view.NextVersion(3, 120, &version));
  }
}

TEST(BlockView, HintsAreNotStored) {
  VersionMeta meta = Update(10, 120);
  meta.flags = kVersionHintCommitted | kVersionHintAborted | kVersionCommitted;
  AlignedBytes value(Deltas(0, 120, {{3, meta, Row(2)}}));
  BlockView view;
  ExpectOk(BlockView::Parse(value.slice(), true, &view));
  StoredVersion version;
  ASSERT_TRUE(view.NextVersion(3, ~Lsn{0}, &version));
  EXPECT_EQ(version.meta.flags, kVersionCommitted);
}

TEST(BlockView, RefusesWhatNoBuilderWrites) {
  BlockView view;
  auto code = [&](const std::string& bytes) {
    AlignedBytes value(bytes);
    return BlockView::Parse(value.slice(), true, &view).code();
  };
  EXPECT_EQ(code("stray"), StatusCode::kCorruption);
  const std::string good = Deltas(0, 120, {{3, Update(10, 120), Row(2)}});
  EXPECT_EQ(code(good + std::string(8, '\0')), StatusCode::kCorruption);
  EXPECT_EQ(code(good.substr(0, good.size() - 8)), StatusCode::kCorruption);
  // Out of order, and payloads that do not fit their kind.
  EXPECT_EQ(code(Deltas(0, 120, {{4, Update(1, 2), Row(1)}, {3, Update(1, 3), Row(1)}})),
            StatusCode::kCorruption);
  EXPECT_EQ(code(Deltas(0, 120, {{4, Update(1, 2), Row(1)}, {4, Update(1, 2), Row(1)}})),
            StatusCode::kCorruption);
  EXPECT_EQ(code(Deltas(0, 120, {{4, {1, 2, 0, VersionKind::kMove, 0}, "1234"}})),
            StatusCode::kCorruption);
  EXPECT_EQ(code(Deltas(0, 120, {{4, {1, 2, 0, VersionKind::kLock, 0}, ""}})),
            StatusCode::kCorruption);
  EXPECT_TRUE(view.empty());
}

}  // namespace
}  // namespace omendb
