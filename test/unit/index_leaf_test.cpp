#include "base/pure.h"
#include "block/leaf_packer.h"
#include "block/section.h"
#include "leaf_test_util.h"

namespace omendb {
namespace {

Words RandomInt8Words(size_t count, uint64_t seed, uint64_t span = 1ull << 47) {
  std::mt19937_64 random(seed);
  Words words;
  while (words.size() < count) {
    words[{Int8Key((1ull << 62) + random() % span), Tid(random() % 78000, 1 + random() % 256)}] =
        {};
  }
  return words;
}

TEST(IndexLeaf, EmptyLeafHasBoundsAndNoEntries) {
  const std::string low = Position("a", 7), high = Position("b", 0);
  const std::string value = LeafValue({}, 5, low, high);
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_TRUE(view.has_base());
  EXPECT_EQ(view.low(), low);
  EXPECT_EQ(view.high(), high);
  EXPECT_EQ(view.lsn(), 5u);
  EXPECT_EQ(view.base_count(), 0u);
  view.First();
  EXPECT_FALSE(view.Valid());
  view.Last();
  EXPECT_FALSE(view.Valid());
  view.Seek("a", 8);
  EXPECT_FALSE(view.Valid());
}

TEST(IndexLeaf, CoversItsLowPositionAndNotItsHighOne) {
  const std::string low = Position("bb", 7), high = Position("dd", 9);
  LeafView view;
  const std::string value = LeafValue({}, 1, low, high);
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_FALSE(view.Covers("bb", 6));
  EXPECT_TRUE(view.Covers("bb", 7));
  EXPECT_TRUE(view.Covers("cc", 0));
  EXPECT_TRUE(view.Covers("dd", 8));
  EXPECT_FALSE(view.Covers("dd", 9));
  EXPECT_FALSE(view.Covers("b", 99));
  EXPECT_TRUE(view.CoversPosition(low));
  EXPECT_FALSE(view.CoversPosition(high));
  const std::string whole = LeafValue({}, 1);
  ExpectOk(LeafView::Parse(whole, true, &view));
  EXPECT_TRUE(view.Covers("", 0));
  EXPECT_TRUE(view.CoversPosition(std::string(100, '\xff')));
}

TEST(IndexLeaf, RandomInt8KeysTakeLessThanTenBytesEach) {
  const Words words = RandomInt8Words(400, 1);
  const std::string low = Position(words.begin()->first.first, words.begin()->first.second);
  const std::string high = Position(Int8Key(1ull << 63), 0);
  const std::string value = LeafValue(words, 1, low, high);
  EXPECT_LT(static_cast<double>(value.size()) / 400, 9.6);
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(WordsOf(&view), words);
}

TEST(IndexLeaf, AscendingKeysAndRowsTakeThreeBytesEach) {
  Words words;
  for (uint64_t i = 0; i < 400; i++) words[{Int8Key(1000000 + i), Tid(i / 256, 1 + i % 256)}] = {};
  EXPECT_LT(LeafValue(words, 1).size(), 400u * 3);
}

TEST(IndexLeaf, FindsEveryEntryAndEveryGap) {
  const Words words = RandomInt8Words(500, 2);
  const std::string value = LeafValue(words, 1);
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  for (auto it = words.begin(); it != words.end(); ++it) {
    const auto& [key, tid] = it->first;
    view.Seek(key, 0);
    ASSERT_TRUE(view.Valid());
    EXPECT_EQ(view.entry().key, key);
    EXPECT_EQ(view.entry().tid, tid);
    view.Seek(key, tid + 1);
    EXPECT_EQ(view.Valid(), std::next(it) != words.end());
    if (view.Valid()) {
      EXPECT_EQ(view.entry().key, std::next(it)->first.first);
    }
    view.SeekBefore(key, tid);
    EXPECT_EQ(view.Valid(), it != words.begin());
    if (view.Valid()) {
      EXPECT_EQ(view.entry().key, std::prev(it)->first.first);
    }
  }
}

TEST(IndexLeaf, SeeksWithTheBeginningOfAKeyAndWithMore) {
  for (const char* more : {"", "x"}) {  // as numbers and with prefixes
    Words words;
    for (int i = 0; i < 100; i++) {
      words[{Int8Key(i * 256) + (i % 2 ? more : ""), Tid(1, i + 1)}] = {};
    }
    const std::string value = LeafValue(words, 1);
    LeafView view;
    ExpectOk(LeafView::Parse(value, true, &view));
    view.Seek("", 0);
    EXPECT_EQ(view.entry().tid, Tid(1, 1));
    view.Seek(Int8Key(50 * 256).substr(0, 7), ~0u);
    EXPECT_EQ(view.entry().tid, Tid(1, 51));
    view.Seek(Int8Key(50 * 256) + "a", 0);
    EXPECT_EQ(view.entry().tid, Tid(1, 52));
    view.SeekBefore(Int8Key(50 * 256) + "a", 0);
    EXPECT_EQ(view.entry().tid, Tid(1, 51));
    view.Seek(std::string(6, '\0') + "\xff", 0);
    EXPECT_FALSE(view.Valid());
    view.SeekBefore("\xff", 0);
    EXPECT_EQ(view.entry().tid, Tid(1, 100));
    view.SeekBefore("", 5);
    EXPECT_FALSE(view.Valid());
  }
}

TEST(IndexLeaf, NewestWordOnAnEntryWins) {
  const std::string base =
      LeafValue({{{"a", 1}, {"old"}}, {{"b", 1}, {"old"}}, {{"b", 2}, {}}}, 10);
  const std::string first = DeltaValue({{{"a", 1}, {"newer"}}, {{"b", 1}, {"", true}}}, 20);
  const std::string second = DeltaValue({{{"a", 1}, {"newest"}}, {{"c", 9}, {"in"}}}, 30);
  const std::string value = base + first + second;
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(view.deltas(), 2u);
  EXPECT_EQ(view.delta_count(), 4u);
  EXPECT_EQ(view.base_count(), 3u);
  EXPECT_EQ(view.lsn(), 30u);
  const Words want = {{{"a", 1}, {"newest"}}, {{"b", 2}, {}}, {{"c", 9}, {"in"}}};
  EXPECT_EQ(WordsOf(&view), want);
  view.Seek("b", 0);
  EXPECT_EQ(view.entry().tid, 2u);
  view.Prev();
  EXPECT_EQ(view.entry().payload, "newest");
  view.Prev();
  EXPECT_FALSE(view.Valid());
}

TEST(IndexLeaf, WhatWasFoldedAlreadyIsSkipped) {
  const std::string add = DeltaValue({{{"a", 1}, {}}}, 10);
  const std::string remove = DeltaValue({{{"a", 1}, {"", true}}}, 20);
  std::string folded;
  const std::string base = LeafValue({}, 5);
  ExpectOk(FoldLeafValues(std::vector<Slice>{base, add, remove}, &folded));
  LeafView view;
  // Applied again on top of the fold.
  const std::string again = folded + add;
  ExpectOk(LeafView::Parse(again, true, &view));
  EXPECT_EQ(view.deltas(), 0u);
  EXPECT_TRUE(WordsOf(&view).empty());
  // Not folded yet: the LSN decides, not the place.
  const std::string twice = base + add + remove + add;
  ExpectOk(LeafView::Parse(twice, true, &view));
  EXPECT_TRUE(WordsOf(&view).empty());
}

TEST(IndexLeaf, TheNewestOfTwoBasesCounts) {
  const std::string value = LeafValue({{{"new", 1}, {}}}, 20) +
                            DeltaValue({{{"later", 1}, {}}}, 30) +
                            LeafValue({{{"old", 1}, {}}}, 10) + DeltaValue({{{"gone", 1}, {}}}, 15);
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(WordsOf(&view), (Words{{{"later", 1}, {}}, {{"new", 1}, {}}}));
}

TEST(IndexLeaf, DeltasWithoutABaseStayDeltas) {
  const std::string first = DeltaValue({{{"a", 1}, {}}, {{"b", 1}, {"", true}}}, 10);
  const std::string second = DeltaValue({{{"a", 1}, {"", true}}, {{"c", 1}, {}}}, 20);
  std::string folded;
  ExpectOk(FoldLeafValues(std::vector<Slice>{first, second}, &folded));
  LeafView view;
  ExpectOk(LeafView::Parse(folded, true, &view));
  EXPECT_FALSE(view.has_base());
  EXPECT_EQ(WordsOf(&view), (Words{{{"c", 1}, {}}}));
  // The tombstone is still there for the base that comes.
  const std::string base = LeafValue({{{"a", 1}, {}}, {{"b", 1}, {}}}, 5);
  const std::string value = base + folded;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(WordsOf(&view), (Words{{{"c", 1}, {}}}));
}

TEST(IndexLeaf, FoldKeepsBoundsAndDropsTombstones) {
  const std::string low = Position("a", 0), high = Position("z", 0);
  const std::string base = LeafValue({{{"b", 1}, {}}, {{"c", 1}, {"p"}}}, 10, low, high);
  const std::string delta = DeltaValue({{{"b", 1}, {"", true}}, {{"d", 1}, {"q"}}}, 20);
  std::string folded;
  ExpectOk(FoldLeafValues(std::vector<Slice>{base, delta}, &folded));
  EXPECT_EQ(folded, LeafValue({{{"c", 1}, {"p"}}, {{"d", 1}, {"q"}}}, 20, low, high));
}

TEST(IndexLeaf, FoldRefusesEntriesOutOfBounds) {
  const std::string base = LeafValue({{{"b", 1}, {}}}, 10, Position("a", 0), Position("c", 0));
  const std::string delta = DeltaValue({{{"d", 1}, {}}}, 20);
  std::string folded;
  EXPECT_EQ(FoldLeafValues(std::vector<Slice>{base, delta}, &folded).code(),
            StatusCode::kCorruption);
  EXPECT_TRUE(folded.empty());
}

TEST(IndexLeaf, BuildersRefuseWhatALeafCannotHold) {
  std::string value;
  LeafBuilder builder(Position("b", 0), Position("d", 0));
  const auto refuses = [&](std::vector<IndexEntry> entries, StatusCode code) {
    builder.Start(Position("b", 0), Position("d", 0));
    for (const IndexEntry& entry : entries) builder.Add(entry);
    EXPECT_EQ(builder.Finish(1, &value).code(), code);
    EXPECT_TRUE(value.empty());
  };
  refuses({{"c", 1, "", false}, {"c", 1, "", false}}, StatusCode::kInvalidArgument);
  refuses({{"c", 2, "", false}, {"c", 1, "", false}}, StatusCode::kInvalidArgument);
  refuses({{"a", 1, "", false}}, StatusCode::kInvalidArgument);
  refuses({{"d", 0, "", false}}, StatusCode::kInvalidArgument);
  refuses({{"c", 1, "", true}}, StatusCode::kInvalidArgument);
  refuses({{"c", 1ull << 48, "", false}}, StatusCode::kInvalidArgument);
  const std::string large(kMaxEntryPart + 1, 'c');
  refuses({{large, 1, "", false}}, StatusCode::kLimitExceeded);
  refuses({{"c", 1, large, false}}, StatusCode::kLimitExceeded);
  builder.Start("b", "a");
  EXPECT_EQ(builder.Finish(1, &value).code(), StatusCode::kInvalidArgument);
}

TEST(IndexLeaf, HoldsTheLargestEntries) {
  Words words;
  for (char c = 'a'; c <= 'd'; c++) {
    words[{std::string(kMaxEntryPart - 1, 'k') + c, ~0ull >> 16}] = {std::string(kMaxEntryPart, c)};
    words[{std::string(c - 'a', 'k') + "a", 0}] = {};
  }
  const std::string value = LeafValue(words, 1);
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(WordsOf(&view), words);
  EntryList entries;
  ExpectOk(FoldLeaf(&view, &entries));
  std::vector<NewLeaf> leaves;
  ExpectOk(SplitLeaf(entries, "", "", 1, LeafGrowth::kRandom, &leaves));
  EXPECT_EQ(leaves.size(), 5u);  // the small ones, and each large one alone
}

EntryList ListOf(const Words& words) {
  EntryList list;
  for (const auto& word : words) list.Add(EntryOf(word));
  return list;
}

std::vector<size_t> CountsOf(const std::vector<NewLeaf>& leaves) {
  std::vector<size_t> counts;
  for (const NewLeaf& leaf : leaves) {
    LeafView view;
    ExpectOk(LeafView::Parse(leaf.value, true, &view));
    counts.push_back(view.base_count());
  }
  return counts;
}

TEST(SplitLeaf, KeepsWhatFits) {
  std::vector<NewLeaf> leaves;
  const EntryList entries = ListOf(RandomInt8Words(1024, 3));
  EXPECT_FALSE(MustSplitLeaf(entries));
  ExpectOk(SplitLeaf(entries, "", "", 9, LeafGrowth::kRandom, &leaves));
  EXPECT_EQ(CountsOf(leaves), (std::vector<size_t>{1024}));
  leaves.clear();
  ExpectOk(SplitLeaf(EntryList(), "low", "lower", 9, LeafGrowth::kAppend, &leaves));
  EXPECT_EQ(CountsOf(leaves), (std::vector<size_t>{0}));
  EXPECT_EQ(leaves[0].low, "low");
  EXPECT_EQ(leaves[0].high, "lower");
}

TEST(SplitLeaf, FillsLeavesEvenlyOrFromTheLeft) {
  const EntryList entries = ListOf(RandomInt8Words(1025, 4));
  EXPECT_TRUE(MustSplitLeaf(entries));
  std::vector<NewLeaf> leaves;
  std::set<size_t> firsts;
  for (uint64_t seed = 4; seed < 24; seed++) {
    leaves.clear();
    ExpectOk(SplitLeaf(ListOf(RandomInt8Words(1025, seed)), "", "", 9, LeafGrowth::kRandom,
                       &leaves));
    const std::vector<size_t> counts = CountsOf(leaves);
    ASSERT_EQ(counts.size(), 2u);
    EXPECT_EQ(counts[0] + counts[1], 1025u);
    EXPECT_GE(counts[0], 409u);
    EXPECT_LE(counts[0], 616u);
    firsts.insert(counts[0]);
  }
  EXPECT_GT(firsts.size(), 10u) << "they would all be full at the same time";
  leaves.clear();
  ExpectOk(SplitLeaf(entries, "", "", 9, LeafGrowth::kAppend, &leaves));
  EXPECT_EQ(CountsOf(leaves), (std::vector<size_t>{960, 65}));
  for (size_t count : {8000, 8003, 8004, 7999, 20000}) {
    leaves.clear();
    ExpectOk(SplitLeaf(ListOf(RandomInt8Words(count, 5)), "", "", 9, LeafGrowth::kRandom, &leaves));
    for (size_t leaf : CountsOf(leaves)) {
      EXPECT_GE(leaf, 720u);
      EXPECT_LE(leaf, 801u);
    }
  }
}

TEST(SplitLeaf, SplitsBetweenRowsOfOneKey) {
  Words words;
  for (uint64_t i = 0; i < 4000; i++) words[{"same", Tid(i, 1)}] = {};
  std::vector<NewLeaf> leaves;
  ExpectOk(SplitLeaf(ListOf(words), "", "", 9, LeafGrowth::kRandom, &leaves));
  ASSERT_EQ(leaves.size(), 5u);
  EXPECT_EQ(leaves[1].low, Position("same", Tid(800, 1)));
}

TEST(DamagedLeaf, IsNoRowBlockAndARowBlockIsNoLeaf) {
  const std::string value = LeafValue({}, 1);
  SectionHeader header;
  EXPECT_EQ(ReadSection(value, true, &header).code(), StatusCode::kCorruption);
  LeafView view;
  EXPECT_EQ(LeafView::Parse("", true, &view).code(), StatusCode::kCorruption);
  EXPECT_EQ(LeafView::Parse(value + "x", true, &view).code(), StatusCode::kCorruption);
}

// Every entry is in the leaf that covers it, and the leaves cover everything.
void ExpectPacked(const Words& words, size_t least_fill, size_t most) {
  std::vector<std::string> lows, highs;
  Words found;
  size_t smallest = SIZE_MAX;
  LeafPacker packer(7, [&](Slice low, Slice value) {
    LeafView view;
    ExpectOk(LeafView::Parse(value, true, &view));
    EXPECT_EQ(view.low(), low);
    EXPECT_EQ(view.lsn(), 7u);
    EXPECT_LE(view.base_count(), most);
    if (!view.high().empty()) smallest = std::min<size_t>(smallest, view.base_count());
    lows.emplace_back(low);
    highs.emplace_back(view.high());
    for (const auto& word : WordsOf(&view)) {
      EXPECT_TRUE(view.Covers(word.first.first, word.first.second));
      EXPECT_TRUE(found.insert(word).second);
    }
    return Status::Ok();
  });
  for (const auto& word : words) ExpectOk(packer.Add(EntryOf(word)));
  ExpectOk(packer.Finish());
  EXPECT_EQ(found, words);
  if (words.empty()) {
    EXPECT_TRUE(lows.empty());
    return;
  }
  EXPECT_EQ(lows.front(), "");
  EXPECT_EQ(highs.back(), "");
  for (size_t i = 1; i < lows.size(); i++) EXPECT_EQ(lows[i], highs[i - 1]);
  if (lows.size() > 1) {
    EXPECT_GE(smallest, least_fill);
  }
}

TEST(LeafPacker, PacksWhateverNumberOfEntries) {
  for (size_t count : {0, 1, 2, 959, 960, 961, 1920, 1921, 20000}) {
    ExpectPacked(RandomInt8Words(count, count), 960, 960);
  }
}

TEST(LeafPacker, CutsByBytesAsWell) {
  std::mt19937_64 random(3);
  Words words;
  for (int i = 0; i < 3000; i++) {
    words[{Int8Key(random()) + std::string(random() % 300, 'k'), random() % 1000}] = {
        std::string(random() % 8 == 0 ? random() % 5000 : 0, 'p')};
  }
  ExpectPacked(words, 1, 960);
  // Each larger than a leaf is meant to be.
  words.clear();
  for (int i = 0; i < 20; i++) words[{Int8Key(i), 1}] = {std::string(kMaxEntryPart, 'p')};
  ExpectPacked(words, 1, 1);
}

TEST(LeafPacker, OneKeyMayFillManyLeaves) {
  Words words;
  for (TidNumber tid = 0; tid < 10000; tid++) words[{"same", tid * 3}] = {};
  ExpectPacked(words, 960, 960);
}

TEST(LeafPacker, PassesOnWhatItsTakerSays) {
  LeafPacker packer(1, [](Slice, Slice) { return Status::IoError("no"); });
  ExpectOk(packer.Add({"a", 1, "", false}));
  EXPECT_EQ(packer.Finish().code(), StatusCode::kIoError);
}

}  // namespace
}  // namespace omendb
