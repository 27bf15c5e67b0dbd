#include "block/fold.h"
#include "block_test_util.h"

namespace omendb {
namespace {

const std::vector<Column> kLayout = {kInt4, kText};

std::string Row(uint64_t number, uint32_t natts = 2) {
  ValueStore store;
  const Value values[] = {number, store.Text("row " + std::to_string(number))};
  const bool nulls[2] = {};
  return Pack(kLayout, values, nulls, natts);
}

struct Entry {
  SlotNo slot;
  VersionMeta meta;
  std::string payload;
};

VersionMeta Meta(FullXid xid, Lsn lsn, VersionKind kind, uint8_t flags = 0) {
  return {xid, lsn, 1, kind, flags};
}

class Fold : public testing::Test {
 protected:
  // Transactions below 10: committed, seen by all. 10 .. 19: committed. 20 .. 29: aborted. Others
  // run.
  Fold() {
    oracle_.horizon = 10;
    for (FullXid xid = 3; xid < 20; xid++) oracle_.verdicts[xid] = Verdict::kCommitted;
    for (FullXid xid = 20; xid < 30; xid++) oracle_.verdicts[xid] = Verdict::kAborted;
  }

  std::string Flush(FoldScope scope, const std::vector<Entry>& entries) {
    FlushFold fold;
    fold.Start(kLayout, scope);
    for (const Entry& e : entries) fold.AddVersion(e.slot, e.meta, e.payload);
    std::string out;
    ExpectOk(fold.Finish(oracle_, &out));
    return out;
  }
  std::string FoldAll(const std::vector<std::string>& values, FoldScope scope) {
    std::string out;
    ExpectOk(FoldBlock(std::vector<Slice>(values.begin(), values.end()), scope, oracle_, &out));
    return out;
  }
  // Versions of a slot as "kind:xid:lsn:flags", newest first; i = image row.
  std::vector<std::string> Versions(const std::string& value, SlotNo slot) {
    AlignedBytes bytes(value);
    BlockView view;
    ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
    std::vector<std::string> found;
    StoredVersion v;
    for (Lsn before = ~Lsn{0}; view.NextVersion(slot, before, &v); before = v.meta.lsn) {
      found.push_back(std::to_string(static_cast<int>(v.meta.kind)) + ":" +
                      std::to_string(v.meta.xid) + ":" + std::to_string(v.meta.lsn) + ":" +
                      std::to_string(v.meta.flags) + (v.image ? "i" : ""));
    }
    return found;
  }
  using List = std::vector<std::string>;

  TestOracle oracle_;
};

constexpr auto kIns = VersionKind::kInsert;
constexpr auto kUpd = VersionKind::kUpdate;

TEST_F(Fold, FreezesWhatEveryoneSeesAndDropsWhatIsOlder) {
  const std::string value = Flush(FoldScope::kWhole, {{1, Meta(5, 100, kIns), Row(1)},
                                                      {1, Meta(6, 110, kUpd), Row(2)},
                                                      {1, Meta(21, 120, kUpd), Row(3)}});
  EXPECT_EQ(Versions(value, 1), (List{"1:0:0:1i"}));
  AlignedBytes bytes(value);
  BlockView view;
  ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
  ASSERT_NE(view.plain_image(), nullptr);
  EXPECT_TRUE(view.has_folded());
  EXPECT_EQ(view.max_lsn(), 120u) << "of all that went in, dropped or not";
}

TEST_F(Fold, AFrozenRowKeepsItsMakerHoweverOftenItIsFolded) {
  auto makers = [](const std::string& value) {
    AlignedBytes bytes(value);
    BlockView view;
    ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
    std::vector<uint32_t> found;
    StoredVersion v;
    for (SlotNo slot = 0; slot < 4; slot++) {
      if (!view.NextVersion(slot, ~Lsn{0}, &v)) continue;
      found.push_back(v.meta.xid == 0 ? v.image->maker(v.row) : 0);
    }
    return found;
  };
  using Makers = std::vector<uint32_t>;
  const FullXid epoch = FullXid{1} << 32;
  for (FullXid xid : {epoch + 5, epoch + 6, epoch + 7}) {
    oracle_.verdicts[xid] = Verdict::kCommitted;
  }
  oracle_.horizon = epoch + 7;
  std::string value = Flush(FoldScope::kWhole, {{1, Meta(epoch + 5, 100, kIns), Row(1)},
                                                {2, Meta(epoch + 5, 101, kIns), Row(2)},
                                                {3, Meta(epoch + 6, 102, kIns), Row(3)}});
  EXPECT_EQ(makers(value), (Makers{5, 5, 6}));
  value = FoldAll({value, Flush(FoldScope::kPartial, {{2, Meta(epoch + 7, 110, kUpd), Row(4)}})},
                  FoldScope::kWhole);
  EXPECT_EQ(makers(value), (Makers{5, 0, 6})) << "the update is not frozen yet";
  oracle_.horizon = epoch + 8;
  for (int round = 0; round < 3; round++) {
    value = FoldAll({value}, FoldScope::kWhole);
    EXPECT_EQ(makers(value), (Makers{5, 7, 6}));
  }
  const std::string gone =
      Flush(FoldScope::kPartial, {{3, Meta(epoch + 7, 120, VersionKind::kDelete), ""},
                                  {1, Meta(epoch + 7, 121, VersionKind::kDelete), ""}});
  EXPECT_EQ(makers(FoldAll({value, gone}, FoldScope::kWhole)), (Makers{7}));
}

TEST_F(Fold, ALoggedImageFrozenByItsFlushKeepsItsMaker) {
  RowImageBuilder builder;
  builder.Start(kLayout, 1);
  const bool null = false;
  for (uint32_t i = 0; i < 20; i++) {
    const Value value = i;
    builder.Add(static_cast<SlotNo>(i), {0, 0, 0, kIns, 0}, &value, &null);
  }
  std::string section;
  builder.Finish(0, 0, &section);
  const AlignedBytes logged(section);
  const std::string changed = Row(1);
  for (bool touched : {false, true}) {
    FlushFold fold;
    fold.Start(kLayout, FoldScope::kWhole);
    fold.AddImage(Meta(8, 100, kIns, kVersionCommitted), logged.slice());
    if (touched) fold.AddVersion(3, Meta(9, 110, kUpd, kVersionCommitted), changed);
    std::string out;
    ExpectOk(fold.Finish(oracle_, &out));
    if (!touched) {
      EXPECT_EQ(out.size(), section.size());
    }
    AlignedBytes bytes(out);
    BlockView view;
    ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
    for (uint32_t i = 0; i < 20; i++) {
      StoredVersion v;
      ASSERT_TRUE(view.NextVersion(static_cast<SlotNo>(i), ~Lsn{0}, &v));
      EXPECT_EQ(v.meta.xid, 0u);
      EXPECT_EQ(v.image->maker(v.row), touched && i == 3 ? 9u : 8u);
    }
  }
}

// As in recovery.
class KnowsNothing : public TransactionOracle {
 public:
  FullXid Horizon() const override { return 0; }
  Verdict Resolve(FullXid) const override { return Verdict::kUnknown; }
};

// A copy of a table logs images of frozen rows under an xid that says only that.
TEST_F(Fold, ALoggedImageOfFrozenRowsKeepsTheirMakers) {
  const std::string changed = Row(1);
  for (uint32_t makers : {1u, 7u}) {
    RowImageBuilder builder;
    builder.Start(kLayout, 1);
    const bool null = false;
    for (uint32_t i = 0; i < 20; i++) {
      const Value value = i;
      builder.Add(static_cast<SlotNo>(i), {0, 0, 0, kIns, 0}, &value, &null, 50 + i % makers);
    }
    std::string section;
    builder.Finish(0, 0, &section);
    const AlignedBytes logged(section);
    for (FoldScope scope : {FoldScope::kWhole, FoldScope::kPartial}) {
      for (bool touched : {false, true}) {
        FlushFold fold;
        fold.Start(kLayout, scope);
        fold.AddImage(Meta(kFrozenXid, 100, kIns), logged.slice());
        if (touched) fold.AddVersion(3, Meta(9, 110, kUpd, kVersionCommitted), changed);
        std::string out;
        ExpectOk(fold.Finish(KnowsNothing(), &out));
        AlignedBytes bytes(out);
        BlockView view;
        ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
        for (uint32_t i = 0; i < 20; i++) {
          StoredVersion v;
          ASSERT_TRUE(view.NextVersion(static_cast<SlotNo>(i), ~Lsn{0}, &v));
          if (scope == FoldScope::kWhole && !(touched && i == 3)) {
            EXPECT_EQ(v.meta.xid, 0u);
          }
          if (scope == FoldScope::kPartial || v.meta.xid != 0) continue;
          EXPECT_EQ(v.image->maker(v.row), touched && i == 3 ? 9u : 50 + i % makers);
        }
      }
    }
  }
}

TEST_F(Fold, KeepsWhatSomeoneMayStillNeed) {
  const std::string value = Flush(FoldScope::kWhole, {{1, Meta(12, 100, kIns), Row(1)},
                                                      {1, Meta(13, 110, kUpd), Row(2)},
                                                      {1, Meta(40, 120, kUpd), Row(3)}});
  EXPECT_EQ(Versions(value, 1), (List{"2:40:120:0", "2:13:110:1", "1:12:100:1i"}));
}

TEST_F(Fold, ADeleteSeenByAllLeavesNothingOrATombstone) {
  const std::vector<Entry> entries = {{1, Meta(5, 100, kIns), Row(1)},
                                      {1, Meta(6, 110, VersionKind::kDelete), ""}};
  EXPECT_EQ(Flush(FoldScope::kWhole, entries), "");
  const std::string part = Flush(FoldScope::kPartial, entries);
  EXPECT_EQ(Versions(part, 1), (List{"3:6:110:1"}));
  const std::string base = Flush(FoldScope::kWhole, {{1, Meta(5, 90, kIns), Row(0)}});
  EXPECT_EQ(FoldAll({base, part}, FoldScope::kWhole), "");
}

TEST_F(Fold, LocksOfTheRunningStayAlsoBelowAnUpdateThatEveryoneSees) {
  const VersionKind lock = VersionKind::kLock;
  const std::vector<Entry> entries = {{1, Meta(5, 100, kIns), Row(1)},
                                      {1, Meta(41, 110, lock), std::string(1, '\0')},
                                      {1, Meta(6, 120, kUpd), Row(2)},
                                      {1, Meta(12, 130, lock), std::string(1, '\0')},
                                      {1, Meta(22, 140, lock), std::string(1, '\0')},
                                      {1, Meta(42, 150, lock), std::string(1, '\0')}};
  EXPECT_EQ(Versions(Flush(FoldScope::kWhole, entries), 1),
            (List{"5:42:150:0", "5:41:110:0", "1:0:0:1i"}));
  EXPECT_EQ(Versions(Flush(FoldScope::kPartial, entries), 1),
            (List{"5:42:150:0", "2:6:120:1", "5:41:110:0"}));
}

TEST_F(Fold, AConfirmMakesASpeculativeInsertPlain) {
  const Entry insert = {1, Meta(40, 100, kIns, kVersionSpeculative), Row(1)};
  const Entry confirm = {1, Meta(40, 110, VersionKind::kSpeculativeConfirm), ""};
  EXPECT_EQ(Versions(Flush(FoldScope::kWhole, {insert, confirm}), 1), (List{"1:40:110:0i"}));
  EXPECT_EQ(Versions(Flush(FoldScope::kPartial, {insert, confirm}), 1), (List{"1:40:110:0"}));
  EXPECT_EQ(Versions(Flush(FoldScope::kPartial, {confirm}), 1), (List{"6:40:110:0"}));
  EXPECT_EQ(Versions(Flush(FoldScope::kWhole, {insert}), 1), (List{"1:40:100:4"}));
  const std::string base = Flush(FoldScope::kWhole, {insert});
  const std::string operand = Flush(FoldScope::kPartial, {confirm});
  EXPECT_EQ(Versions(FoldAll({base, operand}, FoldScope::kWhole), 1), (List{"1:40:110:0i"}));
}

TEST_F(Fold, AConfirmedInsertIsNotLostOnABaseThatHasTheBareOne) {
  const Entry insert = {1, Meta(40, 100, kIns, kVersionSpeculative), Row(1)};
  const Entry confirm = {1, Meta(40, 110, VersionKind::kSpeculativeConfirm), ""};
  const std::string base = Flush(FoldScope::kWhole, {insert});
  const std::string again = Flush(FoldScope::kPartial, {insert, confirm});
  oracle_.verdicts[40] = Verdict::kCommitted;
  EXPECT_EQ(Versions(FoldAll({base, again}, FoldScope::kWhole), 1)[0], "1:40:110:1i");
}

TEST_F(Fold, AnAbortedSpeculationNeverComesBack) {
  const Entry insert = {1, Meta(5, 100, kIns, kVersionSpeculative), Row(1)};
  const Entry abort = {1, Meta(5, 110, VersionKind::kSpeculativeAbort), ""};
  EXPECT_EQ(Flush(FoldScope::kWhole, {insert, abort}), "");
  const std::string part = Flush(FoldScope::kPartial, {insert, abort});
  EXPECT_EQ(Versions(part, 1), (List{"7:5:110:1"}));
  // Although its transaction committed: the abort may lie in a newer operand.
  const std::string base = Flush(FoldScope::kWhole, {insert});
  EXPECT_EQ(Versions(base, 1), (List{"1:5:100:5"}));
  EXPECT_EQ(FoldAll({base, part}, FoldScope::kWhole), "");
}

TEST_F(Fold, MissingAttributesStayMissing) {
  const std::string value = Flush(FoldScope::kWhole, {{1, Meta(5, 100, kIns), Row(1, 1)},
                                                      {2, Meta(5, 110, kIns), Row(2, 2)},
                                                      {3, Meta(5, 120, kIns), Row(3, 0)}});
  AlignedBytes bytes(value);
  BlockView view;
  ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
  const uint32_t expected[] = {0, 1, 2, 0};
  for (SlotNo slot = 1; slot <= 3; slot++) {
    StoredVersion v;
    ASSERT_TRUE(view.NextVersion(slot, ~Lsn{0}, &v));
    ASSERT_NE(v.image, nullptr);
    EXPECT_EQ(v.image->natts(), expected[slot]);
  }
}

TEST_F(Fold, ManyInsertsOfAPartialFlushBecomeAnImageAndAreNotMarkedFolded) {
  std::vector<Entry> entries;
  for (uint32_t i = 0; i < 100; i++) {
    entries.push_back({static_cast<SlotNo>(i), Meta(5, 100 + i, kIns), Row(i)});
  }
  entries.push_back({99, Meta(40, 300, kUpd), Row(1000)});
  const std::string value = Flush(FoldScope::kPartial, entries);
  EXPECT_EQ(Versions(value, 7), (List{"1:5:107:1i"}));
  EXPECT_EQ(Versions(value, 99), (List{"2:40:300:0", "1:5:199:1i"}));
  AlignedBytes bytes(value);
  BlockView view;
  ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
  EXPECT_FALSE(view.has_folded());
}

TEST_F(Fold, ALoggedBatchKeepsItsBytesAndGetsItsVerdict) {
  RowImageBuilder builder;
  builder.Start(kLayout, 2);
  ValueStore store;
  const bool nulls[2] = {};
  for (uint32_t i = 0; i < 256; i++) {
    const Value values[] = {i, store.Text("abc" + std::to_string(i))};
    builder.Add(static_cast<SlotNo>(i), {1, 0, 0, kIns, 0}, values, nulls);
  }
  std::string section;
  builder.Finish(0, 0, &section);
  AlignedBytes bytes(section);
  auto flush = [&](FullXid xid, FoldScope scope) {
    FlushFold fold;
    fold.Start(kLayout, scope);
    fold.AddImage(Meta(xid, 500, kIns), bytes.slice());
    std::string out;
    ExpectOk(fold.Finish(oracle_, &out));
    return out;
  };
  EXPECT_EQ(Versions(flush(5, FoldScope::kWhole), 9), (List{"1:0:0:1i"}));
  EXPECT_EQ(Versions(flush(12, FoldScope::kWhole), 9), (List{"1:12:500:1i"}));
  EXPECT_EQ(Versions(flush(40, FoldScope::kWhole), 9), (List{"1:40:500:0i"}));
  EXPECT_EQ(Versions(flush(5, FoldScope::kPartial), 9), (List{"1:5:500:1i"}));
  EXPECT_EQ(flush(22, FoldScope::kWhole), "");
}

TEST_F(Fold, APartialFoldOfAFoldedValueIsRefused) {
  const std::string base = Flush(FoldScope::kWhole, {{1, Meta(5, 100, kIns), Row(1)}});
  std::string out;
  EXPECT_EQ(FoldBlock({Slice(base)}, FoldScope::kPartial, oracle_, &out).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(Fold, TakesValuesAtAnyAddress) {
  const std::string base = Flush(FoldScope::kWhole, {{1, Meta(12, 100, kIns), Row(1)}});
  const std::string shifted = "x" + base;
  std::string out;
  ExpectOk(FoldBlock({Slice(shifted).substr(1)}, FoldScope::kWhole, oracle_, &out));
  EXPECT_EQ(Versions(out, 1), (List{"1:12:100:1i"}));
}

}  // namespace
}  // namespace omendb
