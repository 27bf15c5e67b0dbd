// Index leaves in the `keys` family: written, merged, folded, dropped, read by primary and readers.
#include <rocksdb/slice.h>

#include <fstream>

#include "base/pure.h"
#include "key/leaf_key.h"
#include "leaf_test_util.h"
#include "store/leaf_files.h"
#include "store_fixture.h"

namespace omendb {
namespace {

class StoreLeafTest : public StoreTest {
 protected:
  template <typename Fill>
  void FlushLeaves(Lsn lsn, Fill fill) {
    ExpectOk(store_->NewFlush(&flush_));
    fill(flush_.get());
    ExpectOk(flush_->Commit(lsn));
    flush_.reset();
  }
  void Put(StorageId storage, Slice low, Slice value, Lsn lsn) {
    FlushLeaves(lsn, [&](auto* flush) { ExpectOk(flush->PutLeaf(storage, low, value)); });
  }
  void Merge(StorageId storage, Slice low, Slice value, Lsn lsn) {
    FlushLeaves(lsn, [&](auto* flush) { ExpectOk(flush->MergeLeaf(storage, low, value)); });
  }
  // Leaves of `count` entries each, keys ascending from 0 by 10.
  void Build(StorageId storage, int leaves, int count, Lsn lsn) {
    FlushLeaves(lsn, [&](auto* flush) { AddBuild(flush, storage, leaves, count, lsn); });
  }
  static void AddBuild(PrimaryStore::Flush* flush, StorageId storage, int leaves, int count,
                       Lsn lsn) {
    for (int leaf = 0; leaf < leaves; leaf++) {
      Words words;
      for (int i = leaf * count; i < (leaf + 1) * count; i++) words[{Int8Key(i * 10), 1}] = {};
      const std::string low = LowOf(leaf, count);
      ExpectOk(flush->PutLeaf(
          storage, low,
          LeafValue(words, lsn, low, leaf + 1 < leaves ? LowOf(leaf + 1, count) : "")));
    }
  }
  static std::string LowOf(int leaf, int count) {
    return leaf == 0 ? "" : Position(Int8Key(uint64_t{10} * leaf * count), 1);
  }
  static void ExpectLeaf(Slice value, const Words& words, size_t deltas) {
    LeafView view;
    ExpectOk(LeafView::Parse(value, true, &view));
    EXPECT_EQ(WordsOf(&view), words);
    EXPECT_EQ(view.deltas(), deltas);
  }
};

TEST_F(StoreLeafTest, ReadersAppendAndIteratorsOfThePrimaryFold) {
  Open();
  const std::string low = Position("b", 0), high = Position("x", 0);
  Put(1, low, LeafValue({{{"c", 1}, {}}, {{"d", 1}, {}}}, 10, low, high), 10);
  Merge(1, low, DeltaValue({{{"c", 1}, {"", true}}, {{"e", 1}, {"p"}}}, 20), 20);
  Merge(1, low, DeltaValue({{{"e", 1}, {"q"}}}, 30), 30);
  const Words want = {{{"d", 1}, {}}, {{"e", 1}, {"q"}}};
  for (int reopened = 0; reopened < 2; reopened++) {
    std::string value;
    auto reader = Reader(3);
    ExpectOk(reader->GetLeaf(1, low, &value));
    ExpectLeaf(value, want, 2);
    ExpectOk(store_->GetLeaf(1, low, &value));
    ExpectLeaf(value, want, 2);
    std::unique_ptr<LeafIterator> at;
    ExpectOk(store_->NewLeafIterator(1, &at));
    at->First();
    ASSERT_TRUE(at->Valid());
    ExpectLeaf(at->value(), want, 0);
    at.reset();
    for (Slice other : {Slice(""), Slice("b"), Slice(high)}) {
      EXPECT_EQ(reader->GetLeaf(1, other, &value).code(), StatusCode::kNotFound);
      EXPECT_EQ(store_->GetLeaf(1, other, &value).code(), StatusCode::kNotFound);
    }
    EXPECT_EQ(reader->GetLeaf(2, low, &value).code(), StatusCode::kNotFound);
    Open();
  }
}

TEST_F(StoreLeafTest, ThePrimaryFoldsALeafInManyParts) {
  std::atomic<bool> held{true};
  failure_point_ = [&held](const char* point) {
    if (std::string(point) == "compaction_begin") held.wait(true);
  };
  Open();
  Words want = {{{"a", 1}, {}}};
  Put(1, "", LeafValue(want, 10), 10);
  std::string value;
  for (Lsn i = 1; i <= 70; i++) {
    const Words words = {{{"b", i}, {}}, {{"b", i / 2}, {"", true}}};
    Merge(1, "", DeltaValue(words, 10 + i), 10 + i);
    Apply(words, &want);
    ExpectOk(store_->GetLeaf(1, "", &value));
    ExpectLeaf(value, want, i < 64 ? i : 0);
  }
  held = false;
  held.notify_all();
  store_.reset();  // it refers to what is of this test
}

TEST_F(StoreLeafTest, CompactionFoldsOperandsAndKeepsBounds) {
  Open();
  const std::string low = Position("b", 0), high = Position("x", 0);
  Put(1, low, LeafValue({{{"c", 1}, {}}}, 10, low, high), 10);
  Words want = {{{"c", 1}, {}}};
  for (int i = 0; i < 9; i++) {
    const Words words = {{{"d", 1ull + i / 2}, {"", i % 2 == 1}}};
    Merge(1, low, DeltaValue(words, 20 + i), 20 + i);
    Apply(words, &want);
  }
  ASSERT_EQ(want.size(), 2u);
  ExpectOk(store_->Compact(1));
  std::string value;
  ExpectOk(Reader()->GetLeaf(1, low, &value));
  EXPECT_EQ(value, LeafValue(want, 28, low, high));
}

TEST_F(StoreLeafTest, LeavesSettleIfEnoughLiesAboveTheBottom) {
  Open();
  constexpr int kLeaves = 300, kCount = 400;
  EXPECT_FALSE(store_->SettleLeaves());
  Build(1, kLeaves, kCount, 10);
  ExpectOk(store_->Compact(1));
  const auto change = [&](int leaves, Lsn lsn) {
    FlushLeaves(lsn, [&](auto* flush) {
      for (int leaf = 0; leaf < leaves; leaf++) {
        const Words words = {{{Int8Key(leaf * kCount * 10 + 5), 1}, {}}};
        ExpectOk(flush->MergeLeaf(1, LowOf(leaf, kCount), DeltaValue(words, lsn)));
      }
    });
  };
  const auto deltas = [&](int leaf) {
    std::string value;
    ExpectOk(Reader()->GetLeaf(1, LowOf(leaf, kCount), &value));
    LeafView view;
    ExpectOk(LeafView::Parse(value, true, &view));
    EXPECT_EQ(WordsOf(&view).size(), kCount + 1u);
    return view.deltas();
  };
  change(1, 20);
  EXPECT_FALSE(store_->SettleLeaves());
  EXPECT_EQ(deltas(0), 1u);
  // Of the bottom's bytes between a 64th and a 20th.
  change(30, 30);
  EXPECT_EQ(deltas(1), 1u);
  EXPECT_TRUE(store_->SettleLeaves());
  EXPECT_FALSE(store_->SettleLeaves());
  const auto wait_until = [](const auto& call) {
    for (int tries = 0; tries < 3000 && !call(); tries++) usleep(10000);
  };
  wait_until([&] { return store_->TakeSettled(); });
  EXPECT_FALSE(store_->TakeSettled());
  EXPECT_EQ(deltas(1), 0u);
  // It is not time to settle again.
  settle_pause_ = 1e6;
  Open();
  change(kLeaves, 46);
  EXPECT_TRUE(store_->SettleLeaves());
  wait_until([&] { return store_->TakeSettled(); });
  change(kLeaves, 48);
  EXPECT_FALSE(store_->SettleLeaves());
  settle_pause_ = 0;
  Open();
  // Flushes, compactions and closing need not wait for it.
  change(kLeaves, 50);
  EXPECT_TRUE(store_->SettleLeaves());
  change(kLeaves, 52);
  ExpectOk(store_->Compact(0));
  change(kLeaves, 60);
  EXPECT_TRUE(store_->SettleLeaves());
  Open();
  EXPECT_LE(deltas(1), 1u);
}

TEST_F(StoreLeafTest, WhatIsFlushedWhileLeavesSettleIsSettledToo) {
  std::atomic<bool> held{false}, begun{false};
  failure_point_ = [&](const char* point) {
    if (std::string(point) != "compaction_begin") return;
    begun = true;
    held.wait(true);
  };
  Open();
  Build(1, 20, 400, 10);
  ExpectOk(store_->Compact(1));
  EXPECT_FALSE(store_->SettleLeaves());
  const auto change = [&](uint64_t number, Lsn lsn) {
    Merge(1, "", DeltaValue({{{Int8Key(number), 1}, {}}}, lsn), lsn);
  };
  change(5, 20);
  begun = false;
  held = true;
  EXPECT_TRUE(store_->SettleLeaves());
  for (int tries = 0; tries < 3000 && !begun; tries++) usleep(10000);
  change(6, 30);
  EXPECT_FALSE(store_->TakeSettled());
  held = false;
  held.notify_all();
  for (int tries = 0; tries < 3000 && !store_->TakeSettled(); tries++) usleep(10000);
  EXPECT_TRUE(store_->SettleLeaves());
  store_.reset();  // it refers to what is of this test
}

// As those are that tell readers that leaves have settled.
TEST_F(StoreLeafTest, FlushesWithoutLeavesAreNothingToSettle) {
  Open();
  Build(1, 20, 400, 10);
  ExpectOk(store_->Compact(1));
  EXPECT_FALSE(store_->SettleLeaves());
  Flush({}, 20);
  EXPECT_FALSE(store_->SettleLeaves());
  FlushLeaves(30, [&](auto* flush) {
    const Words words = {{{Int8Key(5), 1}, {}}};
    ExpectOk(flush->MergeLeaf(1, "", DeltaValue(words, 30)));
  });
  EXPECT_TRUE(store_->SettleLeaves());
}

// Redo flushes once more what a compaction has folded long ago.
TEST_F(StoreLeafTest, AnOperandThatComesAgainChangesNothing) {
  Open();
  const std::string add = DeltaValue({{{"c", 1}, {}}}, 20);
  Put(1, "", LeafValue({}, 10), 10);
  Merge(1, "", add, 20);
  Merge(1, "", DeltaValue({{{"c", 1}, {"", true}}}, 30), 30);
  std::string value;
  for (int compacted = 0; compacted < 2; compacted++) {
    Merge(1, "", add, 30);
    ExpectOk(Reader()->GetLeaf(1, "", &value));
    LeafView view;
    ExpectOk(LeafView::Parse(value, true, &view));
    EXPECT_TRUE(WordsOf(&view).empty());
    ExpectOk(store_->Compact(1));
    ExpectOk(Reader()->GetLeaf(1, "", &value));
    ExpectLeaf(value, {}, 0);
  }
}

TEST_F(StoreLeafTest, DeltasWithoutABaseKeepTheirTombstones) {
  Open();
  Merge(1, "", DeltaValue({{{"a", 1}, {"", true}}}, 20), 20);
  Merge(1, "", DeltaValue({{{"b", 1}, {}}}, 30), 30);
  ExpectOk(store_->Compact(1));
  std::string value;
  ExpectOk(Reader()->GetLeaf(1, "", &value));
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_FALSE(view.has_base());
  EXPECT_EQ(view.delta_count(), 2u);
  // As an operand, a base counts all the same.
  Merge(1, "", LeafValue({{{"a", 1}, {}}, {{"c", 1}, {}}}, 10), 30);
  ExpectOk(store_->Compact(1));
  ExpectOk(Reader()->GetLeaf(1, "", &value));
  ExpectLeaf(value, {{{"b", 1}, {}}, {{"c", 1}, {}}}, 0);
}

TEST_F(StoreLeafTest, DeletedLeafIsGoneAndMayComeAgain) {
  Open();
  Build(1, 3, 10, 10);
  FlushLeaves(20, [&](auto* flush) {
    ExpectOk(flush->PutLeaf(1, "", LeafValue({{{Int8Key(3), 1}, {}}}, 20, "", LowOf(2, 10))));
    ExpectOk(flush->DeleteLeaf(1, LowOf(1, 10)));
  });
  std::string value;
  for (int compacted = 0; compacted < 2; compacted++) {
    auto reader = Reader();
    EXPECT_EQ(reader->GetLeaf(1, LowOf(1, 10), &value).code(), StatusCode::kNotFound);
    std::unique_ptr<LeafIterator> it;
    ExpectOk(reader->NewLeafIterator(1, &it));
    it->Seek(LowOf(1, 10));
    ASSERT_TRUE(it->Valid());
    EXPECT_EQ(it->low(), "");
    it->Next();
    ASSERT_TRUE(it->Valid());
    EXPECT_EQ(it->low(), LowOf(2, 10));
    ExpectOk(store_->Compact(1));
  }
  Put(1, LowOf(1, 10), LeafValue({}, 30, LowOf(1, 10), LowOf(2, 10)), 30);
  ExpectOk(Reader()->GetLeaf(1, LowOf(1, 10), &value));
}

TEST_F(StoreLeafTest, LeavesOutOfOrderAreRefusedButRowsMayLieBetween) {
  Open();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  const std::string leaf = LeafValue({}, 1), block = BlockValue({{.number = 7}});
  ExpectOk(flush_->AddBlock(1, 0, true, block));
  ExpectOk(flush_->PutLeaf(5, "", leaf));
  ExpectOk(flush_->AddBlock(1, 1, true, block));
  ExpectOk(flush_->AddBlock(2, 0, false, block));
  ExpectOk(flush_->MergeLeaf(5, "b", DeltaValue({}, 1)));
  EXPECT_EQ(flush_->PutLeaf(5, "b", leaf).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(flush_->DeleteLeaf(5, "a").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(flush_->PutLeaf(4, "z", leaf).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(flush_->PutLeaf(0, "z", leaf).code(), StatusCode::kInvalidArgument);
  ExpectOk(flush_->DeleteLeaf(6, ""));
  ExpectOk(flush_->Commit(1));
  EXPECT_EQ(Files().size(), 2u + 3u);  // rows, keys, and the state of each family
  auto reader = Reader();
  std::string value;
  ExpectOk(reader->GetLeaf(5, "", &value));
  ExpectOk(reader->GetLeaf(5, "b", &value));
  ExpectOk(reader->Get(1, 1, &value));
  ExpectOk(reader->Get(2, 0, &value));
}

// An index that a session wrote into files, by whose leaves a leaf of 10 entries is known.
std::unique_ptr<LeafFiles> WriteLeafFiles(const std::string& store, StorageId storage, int leaves,
                                          uint64_t file_size) {
  auto files = std::make_unique<LeafFiles>(store, storage, file_size);
  for (int leaf = 0; leaf < leaves; leaf++) {
    Words words;
    for (int i = leaf * 10; i < leaf * 10 + 10; i++) words[{Int8Key(i * 10), 1}] = {};
    const auto low_of = [](int number) {
      return number == 0 ? std::string() : Position(Int8Key(uint64_t{100} * number), 1);
    };
    const std::string low = low_of(leaf);
    ExpectOk(files->Put(low, LeafValue(words, 1, low, leaf + 1 < leaves ? low_of(leaf + 1) : "")));
  }
  ExpectOk(files->Finish());
  return files;
}

size_t StagedFiles(const std::string& store) {
  size_t count = 0;
  for (const auto& file : std::filesystem::directory_iterator(store + "/staging")) {
    count += file.path().extension() == ".sst";
  }
  return count;
}

TEST_F(StoreLeafTest, FilesOfANewIndexAreTakenInAtTheBottom) {
  Open();
  // Storages on both sides, and one between them that goes in the same flush.
  for (StorageId storage : {2, 4, 6, 8}) Build(storage, 300, 20, 1);
  auto files = WriteLeafFiles(store_->path(), 5, 3000, 64 << 10);
  EXPECT_GT(files->files(), 3u);
  EXPECT_EQ(StagedFiles(store_->path()), files->files());
  FlushLeaves(5, [&](auto* flush) {
    ExpectOk(flush->PutLeaf(3, "", LeafValue({}, 1)));
    ExpectOk(flush->PutLeaf(7, "", LeafValue({}, 1)));
    for (StorageId storage : {4, 6}) flush->DropStorage(storage);
    flush->AddLeafFiles(5, files->files());
  });
  files->Release();
  EXPECT_EQ(StagedFiles(store_->path()), 0u);
  for (int compacted = 0; compacted < 2; compacted++) {
    auto reader = Reader();
    std::unique_ptr<LeafIterator> it;
    ExpectOk(reader->NewLeafIterator(5, &it));
    int leaves = 0;
    for (it->SeekLow(""); it->Valid(); it->Next()) leaves++;
    EXPECT_EQ(leaves, 3000);
    std::string value;
    for (StorageId storage : {2, 3, 7, 8}) ExpectOk(reader->GetLeaf(storage, "", &value));
    for (StorageId storage : {4, 6}) {
      EXPECT_EQ(reader->GetLeaf(storage, "", &value).code(), StatusCode::kNotFound);
    }
    ExpectOk(store_->Compact(0));
  }
  // Later changes count above the leaves.
  Merge(5, "", DeltaValue({{{Int8Key(0), 1}, {"", true}}}, store_->generation() + 1), 6);
  std::string value;
  ExpectOk(Reader()->GetLeaf(5, "", &value));
  LeafView view;
  ExpectOk(LeafView::Parse(value, true, &view));
  EXPECT_EQ(WordsOf(&view).size(), 9u);
}

TEST_F(StoreLeafTest, FilesThatNobodyTakesInLeaveNothing) {
  Open();
  const std::string path = store_->path();
  WriteLeafFiles(path, 5, 100, 16 << 10).reset();
  EXPECT_EQ(StagedFiles(path), 0u);
  // A flush that is given up takes them along.
  auto files = WriteLeafFiles(path, 5, 100, 16 << 10);
  ExpectOk(store_->NewFlush(&flush_));
  flush_->AddLeafFiles(5, files->files());
  files->Release();
  flush_.reset();
  EXPECT_EQ(StagedFiles(path), 0u);
  // So does an opening what a killed session left.
  files = WriteLeafFiles(path, 5, 100, 16 << 10);
  files->Release();
  files.reset();
  EXPECT_GT(StagedFiles(path), 0u);
  Open();
  EXPECT_EQ(StagedFiles(path), 0u);
}

TEST_F(StoreLeafTest, DroppedStorageIsGoneAtOnceAndItsSpaceLater) {
  Open();
  FlushLeaves(1, [&](auto* flush) {
    ExpectOk(flush->AddBlock(2, 7, true, BlockValue({{.number = 1}})));
    for (StorageId storage : {1, 2, 3}) AddBuild(flush, storage, 400, 400, 1);
  });
  const uint64_t size = store_->ApproximateSize(2);
  EXPECT_GT(size, 200u << 10);
  FlushLeaves(2, [&](auto* flush) {
    // A change to the dropped storage in the same flush loses.
    ExpectOk(flush->PutLeaf(2, LowOf(1, 400), LeafValue({}, 2, LowOf(1, 400), LowOf(2, 400))));
    flush->DropStorage(2);
  });
  std::string value;
  auto reader = Reader();
  EXPECT_EQ(reader->GetLeaf(2, "", &value).code(), StatusCode::kNotFound);
  EXPECT_EQ(reader->GetLeaf(2, LowOf(1, 400), &value).code(), StatusCode::kNotFound);
  EXPECT_EQ(reader->Get(2, 7, &value).code(), StatusCode::kNotFound);
  ExpectOk(reader->GetLeaf(1, LowOf(399, 400), &value));
  ExpectOk(reader->GetLeaf(3, "", &value));
  std::unique_ptr<LeafIterator> it;
  ExpectOk(reader->NewLeafIterator(2, &it));
  for (auto move : {&LeafIterator::First, &LeafIterator::Last}) {
    (it.get()->*move)();
    EXPECT_FALSE(it->Valid());
    ExpectOk(it->status());
  }
  dropped_ = {2, 3};
  ExpectOk(store_->Compact(0));
  EXPECT_GT(store_->ApproximateSize(1), size / 2);
  EXPECT_LT(store_->ApproximateSize(2), size / 4);
  EXPECT_LT(store_->ApproximateSize(3), size / 4);
}

TEST_F(StoreLeafTest, IteratorsFindTheLeafThatCoversAPositionAndStayInTheStorage) {
  Open();
  FlushLeaves(1, [&](auto* flush) {
    for (StorageId storage : {1, 2, 3}) AddBuild(flush, storage, 50, 20, 1);
  });
  FlushLeaves(2, [&](auto* flush) {
    for (int leaf = 0; leaf < 50; leaf += 7) {
      ExpectOk(flush->MergeLeaf(2, LowOf(leaf, 20),
                                DeltaValue({{{Int8Key(leaf * 200 + 15), 9}, {}}}, 2)));
    }
  });
  auto reader = Reader();
  std::unique_ptr<LeafIterator> of_reader, of_primary;
  ExpectOk(reader->NewLeafIterator(2, &of_reader));
  ExpectOk(store_->NewLeafIterator(2, &of_primary));
  for (LeafIterator* it : {of_reader.get(), of_primary.get()}) {
    EXPECT_FALSE(it->Valid());
    for (uint64_t number = 0; number < 10100; number += 5) {
      it->Seek(Position(Int8Key(number), 1));
      ASSERT_TRUE(it->Valid()) << it->status().detail();
      LeafView view;
      ExpectOk(LeafView::Parse(it->value(), true, &view));
      ASSERT_TRUE(view.CoversPosition(Position(Int8Key(number), 1)));
      ASSERT_EQ(view.low(), it->low());
      view.Seek(Int8Key(number), 0);
      const bool changed = number / 200 % 7 == 0 && number % 200 == 15;
      const bool is_there = number < 10000 && (number % 10 == 0 || changed);
      ASSERT_EQ(view.Valid() && view.entry().key == Int8Key(number), is_there);
    }
    it->Seek("");
    ASSERT_TRUE(it->Valid());
    EXPECT_EQ(it->low(), "");
    it->Prev();
    EXPECT_FALSE(it->Valid());
    int leaf = 0;
    for (it->First(); it->Valid(); it->Next(), leaf++) EXPECT_EQ(it->low(), LowOf(leaf, 20));
    EXPECT_EQ(leaf, 50);
    for (it->Last(); it->Valid(); it->Prev()) EXPECT_EQ(it->low(), LowOf(--leaf, 20));
    EXPECT_EQ(leaf, 0);
    for (leaf = 1; leaf < 50; leaf += 3) {
      it->SeekLow(LowOf(leaf, 20));
      ASSERT_TRUE(it->Valid());
      EXPECT_EQ(it->low(), LowOf(leaf, 20));
      it->SeekLow(LowOf(leaf, 20) + "x");
      ASSERT_EQ(it->Valid(), leaf < 49);
      if (it->Valid()) {
        EXPECT_EQ(it->low(), LowOf(leaf + 1, 20));
        it->Prev();
        ASSERT_TRUE(it->Valid());
        EXPECT_EQ(it->low(), LowOf(leaf, 20));
      }
    }
    it->SeekLow(std::string(20, '\xff'));
    EXPECT_FALSE(it->Valid());
    it->Seek(std::string(20, '\xff'));
    ASSERT_TRUE(it->Valid());
    EXPECT_EQ(it->low(), LowOf(49, 20));
    ExpectOk(it->status());
  }
}

TEST_F(StoreLeafTest, IteratorSeesTheGenerationItWasMadeAt) {
  Open();
  Build(1, 3, 10, 10);
  auto reader = Reader();
  std::unique_ptr<LeafIterator> before, after;
  ExpectOk(reader->NewLeafIterator(1, &before));
  FlushLeaves(20, [&](auto* flush) { ExpectOk(flush->DeleteLeaf(1, LowOf(1, 10))); });
  ExpectOk(store_->Compact(0));
  EXPECT_GT(store_->UnlinkObsoleteFiles(), 0u);
  ExpectOk(reader->CatchUp(2));
  ExpectOk(reader->NewLeafIterator(1, &after));
  before->Seek(LowOf(1, 10));
  after->Seek(LowOf(1, 10));
  ASSERT_TRUE(before->Valid() && after->Valid());
  EXPECT_EQ(before->low(), LowOf(1, 10));
  EXPECT_EQ(after->low(), "");
}

TEST_F(StoreLeafTest, BuiltIndexIsWrittenOnceAtTheBottom) {
  Open();
  Build(9, 10, 400, 1);
  Lsn lsn = 2;
  for (StorageId storage = 2; storage < 8; storage++, lsn++) {
    FlushLeaves(lsn, [&](auto* flush) {
      ExpectOk(flush->MergeLeaf(1, "", DeltaValue({{{"a", lsn}, {}}}, lsn)));
      for (int leaf = 0; leaf < 1200; leaf++) {
        const std::string low = LowOf(leaf, 1000);
        Words words;
        for (int i = 0; i < 500; i++) {
          words[{Int8Key(uint64_t{10000} * leaf + 11 + (i * i) % 9973), lsn << 16 | i}] = {
              "and more"};
        }
        ExpectOk(flush->PutLeaf(storage, low, LeafValue(words, lsn, low, LowOf(leaf + 1, 1000))));
      }
      ExpectOk(flush->MergeLeaf(9, "", DeltaValue({{{Int8Key(7), lsn}, {}}}, lsn)));
    });
  }
  WaitForCompaction();
  EXPECT_GE(FilesAtLevel(6, "keys"), 6) << store_->Describe();
  EXPECT_LT(FilesAtLevel(0, "keys"), 12) << store_->Describe();
}

// Whoever reads a damaged leaf learns it; its neighbours are untouched, also after compaction.
TEST_F(StoreLeafTest, FlippedByteIsConfinedToItsLeaf) {
  Open();
  Build(1, 100, 100, 1);
  FlushLeaves(2, [&](auto* flush) {
    for (int leaf = 0; leaf < 100; leaf += 3) {
      ExpectOk(flush->MergeLeaf(1, LowOf(leaf, 100),
                                DeltaValue({{{Int8Key(leaf * 1000 + 5), 9}, {}}}, 2)));
    }
  });
  std::string needle;
  ExpectOk(Reader()->GetLeaf(1, LowOf(50, 100), &needle));
  bool flipped = false;
  for (const auto& [name, size] : Files()) {
    std::fstream file(path_ + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes(size, '\0');
    file.read(bytes.data(), size);
    const size_t at = bytes.find(needle);
    if (at == std::string::npos) continue;
    file.seekp(at + 100);
    file.put(static_cast<char>(bytes[at + 100] ^ 0x10));
    flipped = true;
  }
  ASSERT_TRUE(flipped);
  const auto check = [&] {
    auto reader = Reader(2);
    std::unique_ptr<LeafIterator> it;
    ExpectOk(reader->NewLeafIterator(1, &it));
    int leaf = 0;
    for (it->First(); it->Valid(); it->Next(), leaf++) {
      LeafView view;
      const Status status = LeafView::Parse(it->value(), true, &view);
      EXPECT_EQ(status.ok(), leaf != 50) << leaf;
      if (status.ok()) {
        EXPECT_EQ(WordsOf(&view).size(), leaf % 3 == 0 ? 101u : 100u);
      }
    }
    EXPECT_EQ(leaf, 100);
  };
  check();
  const auto before = Files();
  ExpectOk(store_->Compact(0));
  store_->UnlinkObsoleteFiles();
  for (const auto& [name, size] : before) EXPECT_FALSE(Files().contains(name));
  check();
  bool reported = false;
  for (const std::string& text : Warnings()) {
    reported |=
        text.find("leaf \"" + rocksdb::Slice(LowOf(50, 100)).ToString(true)) != std::string::npos;
  }
  EXPECT_TRUE(reported);
}

// The file shrinks behind the mapping: the session gets an error, not a crash.
TEST_F(StoreLeafTest, TruncatedFileGivesAnError) {
  Open();
  Build(1, 6000, 100, 1);
  auto reader = Reader(1), other = Reader(1);
  std::unique_ptr<LeafIterator> it, refused;
  ExpectOk(other->NewLeafIterator(1, &it));
  it->First();
  EXPECT_TRUE(it->Valid());
  ASSERT_FALSE(LargeFiles(1 << 20).empty());
  for (const std::string& name : LargeFiles(1 << 20)) {
    std::filesystem::resize_file(path_ + "/" + name, 4096);
  }
  std::string value;
  Status status;
  for (int leaf = 0; leaf < 6000 && status.ok(); leaf += 50) {
    status = reader->GetLeaf(1, LowOf(leaf, 100), &value);
  }
  EXPECT_EQ(status.code(), StatusCode::kIoError) << status.message();
  EXPECT_TRUE(reader->poisoned());
  EXPECT_EQ(reader->NewLeafIterator(1, &refused).code(), StatusCode::kIoError);

  for (int leaf = 5999; leaf >= 0 && it->status().ok(); leaf -= 50) it->Seek(LowOf(leaf, 100));
  EXPECT_EQ(it->status().code(), StatusCode::kIoError) << it->status().message();
  EXPECT_FALSE(it->Valid());
  it->First();
  EXPECT_FALSE(it->Valid());
  it.reset();
  other.reset();
  reader.reset();
}

// An index as the flusher keeps it: finds the leaf of each change, merges, folds and splits.
class Index {
 public:
  Index(PrimaryStore* store, StorageId storage) : store_(store), storage_(storage) {}

  void Apply(const Words& changes, Lsn lsn, PrimaryStore::Flush* flush) {
    std::unique_ptr<LeafIterator> it;
    ExpectOk(store_->NewLeafIterator(storage_, &it));
    for (auto from = changes.begin(); from != changes.end();) {
      it->Seek(Position(from->first.first, from->first.second));
      LeafView view;
      std::string value = it->Valid() ? std::string(it->value()) : LeafValue({}, 0);
      const std::string low = it->Valid() ? std::string(it->low()) : "";
      ExpectOk(it->status());
      ExpectOk(LeafView::Parse(value, true, &view));
      Words of_leaf;
      for (; from != changes.end() && view.Covers(from->first.first, from->first.second); ++from) {
        of_leaf.insert(*from);
      }
      ASSERT_FALSE(of_leaf.empty());
      const std::string delta = DeltaValue(of_leaf, lsn);
      value += delta;
      EntryList entries;
      ExpectOk(LeafView::Parse(value, true, &view));
      ExpectOk(FoldLeaf(&view, &entries));
      if (it->Valid() && !MustSplitLeaf(entries)) {
        ExpectOk(flush->MergeLeaf(storage_, low, delta));
        continue;
      }
      std::vector<NewLeaf> leaves;
      const LeafGrowth growth = view.high().empty() ? LeafGrowth::kAppend : LeafGrowth::kRandom;
      ExpectOk(SplitLeaf(entries, view.low(), view.high(), view.lsn(), growth, &leaves));
      for (const NewLeaf& leaf : leaves) {
        ExpectOk(flush->PutLeaf(storage_, leaf.low, leaf.value));
      }
    }
  }

 private:
  PrimaryStore* const store_;
  const StorageId storage_;
};

void ExpectIndex(LeafIterator* it, const Words& live) {
  Words words;
  std::string low;
  for (it->First(); it->Valid(); it->Next()) {
    LeafView view;
    ExpectOk(LeafView::Parse(it->value(), true, &view));
    ASSERT_EQ(it->low(), low);
    ASSERT_EQ(view.low(), low);
    low = view.high();
    words.merge(WordsOf(&view));
  }
  ExpectOk(it->status());
  ASSERT_EQ(low, "");
  ASSERT_TRUE(words == live);
}

TEST_F(StoreLeafTest, IndexOfManyFlushesIsLikeAMap) {
  Open();
  std::mt19937_64 random(31);
  std::map<StorageId, Words> live;
  std::unique_ptr<ReaderStore> reader;
  for (Lsn lsn = 1; lsn <= 60; lsn++) {
    FlushLeaves(lsn, [&](auto* flush) {
      for (StorageId storage : {3, 4, 5}) {
        Words& of_index = live[storage];
        Words changes;
        for (uint64_t i = random() % 800; i > 0; i--) {
          std::string key;
          if (storage == 3) key = Int8Key(random() % 100000);
          if (storage == 4) key = Int8Key(1000000 * lsn + random() % 500000);
          if (storage == 5)
            key = std::string(random() % 300, 'k') + std::to_string(random()) + '\0';
          const TidNumber tid = Tid(random() % 1000, 1 + random() % 256);
          changes[{key, tid}] = {storage == 3 ? "pay" : ""};
        }
        for (uint64_t i = of_index.empty() ? 0 : random() % 300; i > 0; i--) {
          changes[std::next(of_index.begin(), random() % of_index.size())->first] = {"", true};
        }
        ASSERT_NO_FATAL_FAILURE(Index(store_.get(), storage).Apply(changes, lsn, flush));
        Apply(changes, &of_index);
      }
    });
    ASSERT_FALSE(HasFatalFailure());
    if (random() % 10 == 0) ExpectOk(store_->Compact(random() % 2 ? 0 : 3));
    if (random() % 10 == 0) {
      reader.reset();
      Open();
    }
    if (reader == nullptr) {
      reader = Reader(lsn);
    } else {
      ExpectOk(reader->CatchUp(lsn));
    }
    for (StorageId storage : {3, 4, 5}) {
      if (random() % 3) continue;
      std::unique_ptr<LeafIterator> it;
      ExpectOk(reader->NewLeafIterator(storage, &it));
      ASSERT_NO_FATAL_FAILURE(ExpectIndex(it.get(), live[storage]));
      ExpectOk(store_->NewLeafIterator(storage, &it));
      ASSERT_NO_FATAL_FAILURE(ExpectIndex(it.get(), live[storage]));
    }
  }
  EXPECT_GT(live[3].size(), 5000u);
}

}  // namespace
}  // namespace omendb
