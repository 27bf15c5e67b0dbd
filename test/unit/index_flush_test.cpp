// Changes of an index that come into its leaves: as operands or by writing leaves anew, which are
// split, or merged with the next ones.
#include <set>

#include "index_flush_fixture.h"
#include "base/pure.h"

namespace omendb {
namespace {

std::string KeyOf(uint64_t number) { return '\1' + Int8Key(number); }

constexpr uint64_t kMiddle = uint64_t{1} << 40;

// `count` entries from `first` on, `step` apart.
Words Numbers(uint64_t first, size_t count, uint64_t step, bool removed = false) {
  Words words;
  for (size_t i = 0; i < count; i++) words[{KeyOf(first + i * step), 1}] = {"", removed};
  return words;
}

Words And(Words words, const Words& others) {
  words.insert(others.begin(), others.end());
  return words;
}

// All leaves of the index as they were seen last, without entries.
size_t EmptyLeaves(const auto& leaves) {
  return std::count_if(leaves.begin(), leaves.end(),
                       [](const auto& leaf) { return leaf.second.entries == 0; });
}

TEST_F(IndexFlushTest, TheFirstFlushOfAStoreKeepsItsEntries) {
  ASSERT_EQ(store_->generation(), 0u);
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 100, 1));
  StartAnew();
  UseDirectory(16 << 20);
  options_.changes_at_once = 100;
  TestIndex large(5);
  Write(&large, Numbers(kMiddle, 3000, 1));
}

TEST_F(IndexFlushTest, MoreChangesThanAreFoldedAtOnceComeToTheirLeaf) {
  const Words base = Numbers(kMiddle, 960, 1000);
  const uint64_t end = kMiddle + 960 * 1000;
  const std::vector<Words> changes = {
      Numbers(kMiddle - 3000, 3000, 1),                                        // before
      Numbers(end, 3000, 1),                                                   // behind
      And(Numbers(kMiddle - 1500, 1500, 1), Numbers(end, 1500, 1)),            // around
      Numbers(kMiddle + 5, 3000, 320),                                         // in between
      Numbers(kMiddle - 3003, 1000, 500),                                      // from before on
      Numbers(kMiddle + 480 * 1000 + 1, 990, 1),                               // in one gap
      Numbers(kMiddle, 960, 1000, true),                                       // all goes
      And(Numbers(kMiddle - 700, 700, 1), Numbers(kMiddle, 960, 1000, true)),  // for others
      And(Numbers(kMiddle + 100 * 1000, 100, 1000, true), Numbers(end, 900, 1)),
  };
  StorageId storage = 0;
  for (size_t at_once : {1, 7, 100, 959, 960, 2000, 2999}) {
    options_.changes_at_once = at_once;
    for (size_t i = 0; i < changes.size(); i++) {
      SCOPED_TRACE(testing::Message() << "changes " << i << ", " << at_once << " at once");
      TestIndex index(++storage);
      Write(&index, base);
      ASSERT_EQ(leaves_.size(), 1u);
      Write(&index, changes[i]);
      if (HasFailure()) return;
      EXPECT_EQ(known_, leaves_.size() + 1);
      known_ = 0;
    }
  }
}

TEST_F(IndexFlushTest, LeavesAreFoundInPlaceUntilTheyChange) {
  TestIndex index(5);
  options_.changes_at_once = 5000;
  Write(&index, Numbers(kMiddle, 20000, 10));
  const size_t leaves = leaves_.size();
  ASSERT_GT(leaves, 15u);
  EXPECT_EQ(found_in_place_, 0u);
  Check(&index);
  EXPECT_EQ(found_in_place_, leaves);
  HoldCompactions(true);
  found_in_place_ = 0;
  Write(&index, Numbers(kMiddle + 5, 1, 1));
  EXPECT_EQ(found_in_place_, leaves - 1);
  HoldCompactions(false);
  ExpectOk(store_->Compact(index.storage));
  found_in_place_ = 0;
  // Readers have moved on: what the places name is in no file that they have open, until somebody
  // finds the leaves again.
  Write(&index, {});
  EXPECT_EQ(found_in_place_, 0u);
  Check(&index);
  EXPECT_EQ(found_in_place_, leaves);
}

TEST_F(IndexFlushTest, SmallChangesAreOperandsUpToTheLimit) {
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 400, 100));
  HoldCompactions(true);
  for (uint32_t i = 0; i < kMostDeltas; i++) {
    Write(&index,
          And(Numbers(kMiddle + i * 1000 + 1, 2, 100), Numbers(kMiddle + i * 1000, 2, 100, true)));
    EXPECT_EQ(puts_, 0u);
    EXPECT_EQ(merges_, 1u);
  }
  Write(&index, Numbers(kMiddle + 1, 1, 1));
  EXPECT_EQ(puts_, 1u);
  EXPECT_EQ(merges_, 0u);
  EXPECT_EQ(leaves_.begin()->second.deltas, 0u);
  // From a third of the leaf on it is written anew at once.
  Write(&index, Numbers(kMiddle, 20, 1000));
  EXPECT_EQ(merges_, 1u);
  Write(&index, Numbers(kMiddle, 200, 100));
  EXPECT_EQ(puts_, 1u);
  EXPECT_EQ(leaves_.size(), 1u);
}

// A compaction folds a leaf, of which the directory does not learn.
TEST_F(IndexFlushTest, AFoldedLeafTakesOperandsAgain) {
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 300, 100));
  for (int round = 0; round < 3; round++) {
    HoldCompactions(true);
    for (uint32_t i = 0; i < kMostDeltas; i++) {
      Write(&index, Numbers(kMiddle + i * 1000 + 1, 3, 100, round % 2 != 0));
      EXPECT_EQ(merges_, 1u) << round << ", " << i;
    }
    HoldCompactions(false);
    ExpectOk(store_->Compact(0));
  }
  // As many as it may have with these, and none of them is there afterwards.
  Write(&index, Numbers(kMiddle + 2, 120, 100, true));
  EXPECT_EQ(merges_, 1u);
  ExpectOk(store_->Compact(0));
  Write(&index, Numbers(kMiddle + 2, 120, 100));
  EXPECT_EQ(merges_, 1u);
  EXPECT_EQ(leaves_.size(), 1u);
}

TEST_F(IndexFlushTest, OperandsNeverMakeALeafTooLarge) {
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 1012, 100));
  EXPECT_EQ(leaves_.size(), 1u);
  Write(&index, Numbers(kMiddle + 50, 12, 100));
  EXPECT_EQ(merges_, 1u);
  Write(&index, Numbers(kMiddle + 51, 1, 1));
  EXPECT_EQ(leaves_.size(), 2u);
}

// Large keys make a leaf too large long before their number does.
TEST_F(IndexFlushTest, OperandsOfLargeEntriesStaySmallerThanALeaf) {
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 400, 100));
  Words large;
  for (uint64_t i = 0; i < 100; i++) {
    large[{KeyOf(kMiddle + i * 7 + 1), 1}] = {std::string(kMaxEntryPart, 'p'), false};
  }
  Write(&index, large);
  EXPECT_EQ(merges_, 0u);
  EXPECT_GT(leaves_.size(), 90u);
}

TEST_F(IndexFlushTest, EmptyLeavesMergeWithTheNextOnes) {
  TestIndex index(5);
  for (size_t at_once : {3, 100, 32 * 1024}) {
    options_.changes_at_once = at_once;
    Write(&index, Numbers(kMiddle, 16000, 1));
    const size_t leaves = leaves_.size();
    ASSERT_GT(leaves, 15u);
    Write(&index, Numbers(kMiddle + 4000, 8000, 1, true));
    EXPECT_LE(leaves_.size(), leaves / 2 + 2);
    EXPECT_EQ(EmptyLeaves(leaves_), 0u);
    EXPECT_GE(deletes_ + 2, leaves / 2);
    // What comes to a gap between leaves finds its place.
    Write(&index, Numbers(kMiddle + 6000, 4000, 1));
    Write(&index, Numbers(kMiddle + 6000, 4000, 1, true));
    // But for one entry at either end.
    Write(&index, Numbers(kMiddle + 1, 15998, 1, true));
    EXPECT_LE(leaves_.size(), 2u);
    Write(&index, Numbers(kMiddle, 16000, 1, true));
    EXPECT_EQ(index.entries.size(), 0u);
    EXPECT_LE(leaves_.size(), 2u);
  }
}

TEST_F(IndexFlushTest, ANewLeafBeginsWhereTheOneThatWasTakenInDid) {
  TestIndex index(5);
  const std::string long_key = KeyOf(kMiddle + 20) + std::string(8000, 'k');
  Words words = Numbers(kMiddle, 6, 10);
  words.erase({KeyOf(kMiddle + 20), 1});
  for (auto& [place, word] : words) word.payload.assign(8150, 'p');
  words[{KeyOf(kMiddle + 30), 1}].payload.resize(7900);
  words[{long_key, 1}] = {"small", false};
  Write(&index, words);
  ASSERT_EQ(leaves_.size(), 3u);
  const std::string second = Position(long_key, 1);
  ASSERT_EQ(leaves_.count(second), 1u);
  // What is left of the first leaf fits to the second one, until that one's change comes.
  words = {{{KeyOf(kMiddle), 1}, {std::string(300, 'p'), false}},
           {{KeyOf(kMiddle + 10), 1}, {"", true}},
           {{long_key, 1}, {std::string(kMaxEntryPart, 'q'), false}}};
  Write(&index, words);
  EXPECT_EQ(leaves_.count(second), 1u);
  EXPECT_EQ(deletes_, 0u);
  EXPECT_EQ(leaves_.size(), 4u);
}

TEST_F(IndexFlushTest, LongKeys) {
  TestIndex index(5);
  const auto key = [](uint64_t number) {
    return KeyOf(number) + std::string(kMaxEntryPart - 9, 'k');
  };
  Words words;
  for (uint64_t i = 0; i < 150; i++) words[{key(i * 10), 1}] = {};
  for (size_t at_once : {1, 10, 32 * 1024}) {
    options_.changes_at_once = at_once;
    Write(&index, words);
    EXPECT_EQ(leaves_.size(), 150u);
    // A leaf with one entry is as full as it can be: those behind it stay as they are.
    Write(&index, {{{key(205), 1}, {}}});
    EXPECT_LE(puts_ + merges_, 2u);
    EXPECT_EQ(deletes_, 0u);
    EXPECT_EQ(leaves_.size(), 151u);
    Words removed;
    for (const auto& [place, word] : index.entries) removed[place] = {"", true};
    Write(&index, removed);
    EXPECT_LE(leaves_.size(), 2u);
  }
}

TEST_F(IndexFlushTest, EqualKeysWithManyTids) {
  TestIndex index(5);
  const auto rows = [](uint64_t first, uint64_t count, bool removed = false) {
    Words words;
    for (uint64_t i = first; i < first + count; i++) {
      words[{KeyOf(kMiddle), Tid(i / 200, i % 200 + 1)}] = {"", removed};
    }
    return words;
  };
  for (size_t at_once : {50, 2000}) {
    options_.changes_at_once = at_once;
    Write(&index,
          And(rows(2000, 6000), And(Numbers(kMiddle - 9, 9, 1), Numbers(kMiddle + 1, 9, 1))));
    EXPECT_GT(leaves_.size(), 5u);
    Write(&index, rows(0, 2000));
    Write(&index, And(rows(1000, 4000, true), rows(8000, 1400)));
    Write(&index, rows(1000, 200));
    Write(&index, rows(0, 9400, true));
    Write(&index, Numbers(kMiddle - 9, 19, 1, true));
    EXPECT_EQ(index.entries.size(), 0u);
  }
}

TEST_F(IndexFlushTest, AFlushThatFailsIsRepeated) {
  options_.changes_at_once = 300;
  TestIndex index(5), other(6);
  ExpectOk(TryWrite({{&index, Numbers(kMiddle, 6000, 10)}, {&other, Numbers(kMiddle, 600, 10)}}));
  Words changes = Numbers(kMiddle + 18000, 1800, 10, true);
  changes.merge(Numbers(kMiddle - 1800, 1800, 1));
  changes.merge(Numbers(kMiddle + 40000, 1000, 3));
  size_t failed = 0;
  for (size_t calls = 0; calls < 200; calls++) {
    SCOPED_TRACE(testing::Message() << "after " << calls << " calls");
    const bool knew = calls % 2 == 0;
    if (knew) LearnLeaves(&index, calls % 5, 4);
    const Status status = TryWrite({{&index, changes}, {&other, changes}}, calls);
    EXPECT_EQ(index.slot.map != 0, status.ok());
    if (!status.ok()) failed++;
    Check(&index);
    Check(&other);
    if (status.ok() || HasFailure()) break;
  }
  EXPECT_GT(failed, 10u);
  // Once more, as when the store took it in but the worker did not learn of it.
  ExpectOk(TryWrite({{&index, changes}, {&other, changes}}));
  Check(&index);
  Check(&other);
}

TEST_F(IndexFlushTest, WithoutRoomForAMap) {
  UseDirectory(LeafDirectory::MinimumSize());
  TestIndex index(5), large(4);
  Words words = Numbers(kMiddle, 4000, 10);
  for (auto& [place, word] : words) word.payload.assign(6000, 'p');
  Write(&large, words);
  EXPECT_GT(leaves_.size(), 1900u);
  EXPECT_EQ(large.slot.state, LeafMapState::kRefused);
  EXPECT_EQ(large.slot.map, 0u);
  Write(&large, And(Numbers(kMiddle + 5000, 500, 10, true), Numbers(kMiddle + 1, 30, 1000)));
  EXPECT_EQ(large.slot.map, 0u);
  // What it took is free for others.
  Write(&index, Numbers(kMiddle, 4000, 1));
  EXPECT_EQ(index.slot.state, LeafMapState::kPartial);
  EXPECT_EQ(known_, leaves_.size());
}

// Of long keys, which come all over the place.
TEST_F(IndexFlushTest, AnIndexIsLearntOnceAnotherHasLeftItsRoom) {
  UseDirectory(1 << 20);
  TestIndex first(4), second(5);
  const auto add = [&](TestIndex* index, size_t count) {
    Words words;
    while (words.size() < count) {
      words[{KeyOf(random_()) + std::string(490, 'k') + Int8Key(random_()), 1}] = {};
    }
    ExpectOk(TryWrite({{index, words}}));
  };
  for (int i = 0; i < 40; i++) add(&first, 2000);
  ASSERT_NE(first.slot.map, 0u);
  for (int i = 0; i < 40 && second.slot.state != LeafMapState::kRefused; i++) add(&second, 1000);
  ASSERT_EQ(second.slot.state, LeafMapState::kRefused);
  Check(&second);
  MapOf(&first).Forget();
  second.slot.state = LeafMapState::kPartial;
  LearnLeaves(&second, 0, leaves_.size());
  EXPECT_EQ(second.slot.state, LeafMapState::kPartial) << leaves_.size();
  known_ = 0;
  Check(&second);
  EXPECT_EQ(known_, leaves_.size());
}

TEST_F(IndexFlushTest, OperandsNeedNoRoomInTheDirectory) {
  UseDirectory(LeafDirectory::MinimumSize());
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 4000, 10));
  ASSERT_NE(index.slot.map, 0u);
  AlexArena arena = directory_.arena();
  arena.Retire(arena.Allocate(64), 64);  // its queue of retired blocks needs room, too
  for (size_t size = 1 << 16; size >= 64; size /= 2) {
    while (arena.Allocate(size) != 0) continue;
  }
  Write(&index, Numbers(kMiddle + 1, 5, 1));
  EXPECT_EQ(merges_, 1u);
  ASSERT_NE(index.slot.map, 0u);
  EXPECT_EQ(known_, 2 * leaves_.size());
  // Leaves do. What one has goes once.
  Write(&index, Numbers(kMiddle + 1, 4000, 10));
  ASSERT_EQ(index.slot.state, LeafMapState::kRefused);
  std::set<uint32_t> taken;
  LeafInfo filter;
  for (directory_.NewFilter(960, &filter); filter.has_filter();
       directory_.NewFilter(960, &filter)) {
    for (uint32_t i = 0; i < filter.pairs; i++) {
      ASSERT_TRUE(taken.insert(filter.pair[i]).second) << "it was given out twice";
    }
  }
  EXPECT_GE(taken.size(), 16u);
}

TEST_F(IndexFlushTest, LeavesThatAreNotKnown) {
  TestIndex index(5);
  Write(&index, Numbers(kMiddle, 16000, 10));
  for (size_t i = 0; i < 40; i++) {
    MapOf(&index).Forget();
    LearnLeaves(&index, i % 17, i % 3);
    LearnLeaves(&index, i * 7 % 17, i % 4);
    Check(&index);
    Write(&index, Numbers(kMiddle + i * 2003 % 160000, 30 + i % 3 * 1000, 3, i % 2 != 0));
    if (HasFailure()) return;
  }
  LearnLeaves(&index, 0, leaves_.size());
  known_ = 0;
  Check(&index);
  EXPECT_EQ(known_, leaves_.size());
}

TEST_F(IndexFlushTest, LeavesThatAreWrittenAnewTakeNoMoreOfTheDirectory) {
  TestIndex index(5);
  size_t used = 0;
  for (int i = 0; i < 150; i++) {
    Write(&index, Numbers(kMiddle, 1500, 3, i % 2 != 0));
    if (i == 75) used = directory_.arena().used();
  }
  EXPECT_LE(directory_.arena().used(), used + 4096);
}

TEST_F(IndexFlushTest, KeysOutsideOfThePrefix) {
  TestIndex index(5);
  const std::string prefix = KeyOf(kMiddle).substr(0, 5);
  std::copy(prefix.begin(), prefix.end(), index.slot.prefix);
  index.slot.prefix_size = static_cast<uint8_t>(prefix.size());
  Write(&index, Numbers(kMiddle, 5000, 1));
  Write(&index, And(Numbers(kMiddle >> 8, 3000, 1), Numbers(kMiddle << 8, 3000, 1)));
  Words words = {{{std::string("\0", 1), 1}, {}}, {{"\2", 1}, {}}, {{"\1\xff", 3}, {}}};
  Write(&index, words);
  Write(&index, Numbers(kMiddle << 8, 3000, 1, true));
  const size_t known = known_;
  Write(&index, Numbers(kMiddle, 2000, 2, true));
  EXPECT_EQ(known_ - known, leaves_.size());
}

// It takes its changes all the same, and they are right if the damage is.
TEST_F(IndexFlushTest, ADamagedLeafStopsNobody) {
  const uint64_t step = 1000, count = 8000;
  StorageId storage = 0;
  for (size_t at_once : {40, 32 * 1024}) {
    for (size_t changed : {3, 300, 3000}) {
      for (int known = 0; known < 3; known++) {
        SCOPED_TRACE(testing::Message() << at_once << ", " << changed << ", " << known);
        options_.changes_at_once = at_once;
        TestIndex index(++storage);
        Write(&index, Numbers(kMiddle, count, step));
        ASSERT_GT(leaves_.size(), 7u);
        const auto damaged = std::next(leaves_.begin(), 4);
        const std::string low = damaged->first;
        std::string value;
        ExpectOk(store_->GetLeaf(index.storage, low, &value));
        const size_t at = value.size() / 2;
        value[at] ^= 0x10;
        std::unique_ptr<PrimaryStore::Flush> flush;
        ExpectOk(store_->NewFlush(&flush));
        ExpectOk(flush->PutLeaf(index.storage, low, value));
        ExpectOk(flush->Commit(++lsn_));
        flush.reset();
        if (known < 2) MapOf(&index).Forget();
        if (known == 1) LearnLeaves(&index, 0, 4);
        // All of the leaf before goes, which would like to take in the next one; changes of the
        // leaf and of those behind.
        const std::string before = std::prev(damaged)->first;
        Words changes;
        for (const auto& [place, word] : index.entries) {
          const std::string position = Position(place.first, place.second);
          if (position >= before && position < low) changes[place] = {"", true};
        }
        const uint64_t first = kMiddle + 1600 * step;
        changes = And(changes, Numbers(first + 1, changed, 2));
        changes = And(changes, Numbers(first, 3, step, true));
        changes = And(changes, Numbers(kMiddle + 2500 * step + 1, 500, step));
        ASSERT_LT(Position(KeyOf(first), 1), damaged->second.high);
        ExpectOk(TryWrite({{&index, changes}}));
        ExpectOk(store_->GetLeaf(index.storage, low, &value));
        LeafView view;
        EXPECT_EQ(LeafView::Parse(value, true, &view).code(), StatusCode::kCorruption);
        value[at] ^= 0x10;
        Words found;
        std::unique_ptr<LeafIterator> leaf;
        ExpectOk(store_->NewLeafIterator(index.storage, &leaf));
        for (leaf->First(); leaf->Valid(); leaf->Next()) {
          const std::string bytes(leaf->low() == low ? value : leaf->value());
          ExpectOk(LeafView::Parse(bytes, true, &view));
          found.merge(WordsOf(&view));
        }
        ExpectOk(leaf->status());
        EXPECT_EQ(found, index.entries);
        const uint32_t map = index.slot.map;
        for (const auto& [place, word] : index.entries) {
          if (map == 0) break;
          ASSERT_TRUE(MayHaveKey(map, place.first));
        }
        if (HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace omendb
