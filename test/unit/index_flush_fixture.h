// Indexes in a store, flushed into by IndexFlush, with what they should hold. After a flush Check
// looks at all their leaves, as a reader and as the primary see them, and at what the leaf
// directory says of them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "leaf_test_util.h"
#include "store/index_flush.h"
#include "store/reader_store.h"
#include "store_fixture.h"
#include "base/pure.h"

namespace omendb {

// As with a segment's entries, the bytes of one are gone with the next move.
class ListedChanges : public IndexChanges {
 public:
  explicit ListedChanges(const Words& words) : at_(words.begin()), end_(words.end()) { Show(); }
  bool Valid() const override { return at_ != end_; }
  void Next() override {
    ++at_;
    Show();
  }
  const IndexEntry& entry() const override { return entry_; }

 private:
  void Show() {
    if (!Valid()) return;
    entry_ = EntryOf(*at_);
    auto bytes = std::make_unique<char[]>(entry_.key.size() + entry_.payload.size());
    std::copy(entry_.key.begin(), entry_.key.end(), bytes.get());
    std::copy(entry_.payload.begin(), entry_.payload.end(), bytes.get() + entry_.key.size());
    entry_.payload = Slice(bytes.get() + entry_.key.size(), entry_.payload.size());
    entry_.key = Slice(bytes.get(), entry_.key.size());
    bytes_ = std::move(bytes);
  }

  Words::const_iterator at_, end_;
  std::unique_ptr<char[]> bytes_;
  IndexEntry entry_;
};

// Looks at the leaves that are written, and fails where it is told to.
class CheckedFlush : public PrimaryStore::Flush {
 public:
  CheckedFlush(PrimaryStore::Flush* flush, size_t most_calls)
      : flush_(flush), most_calls_(most_calls) {}

  Status PutLeaf(StorageId storage, Slice low, Slice value) override {
    OMENDB_RETURN_IF_ERROR(CountCall());
    puts++;
    LeafView view;
    EntryList entries;
    ExpectOk(LeafView::Parse(value, true, &view));
    EXPECT_TRUE(view.has_base());
    EXPECT_EQ(view.deltas(), 0u);
    EXPECT_EQ(view.low(), low);
    ExpectOk(FoldLeaf(&view, &entries));
    EXPECT_FALSE(MustSplitLeaf(entries));
    return flush_->PutLeaf(storage, low, value);
  }
  Status MergeLeaf(StorageId storage, Slice low, Slice deltas) override {
    OMENDB_RETURN_IF_ERROR(CountCall());
    merges++;
    LeafView view;
    ExpectOk(LeafView::Parse(deltas, true, &view));
    EXPECT_FALSE(view.has_base());
    EXPECT_GT(view.delta_count(), 0u);
    EXPECT_LE(deltas.size(), kMaxLeafBytes / 2);
    return flush_->MergeLeaf(storage, low, deltas);
  }
  Status DeleteLeaf(StorageId storage, Slice low) override {
    OMENDB_RETURN_IF_ERROR(CountCall());
    deletes++;
    return flush_->DeleteLeaf(storage, low);
  }
  Status Commit(Lsn lsn) override {
    OMENDB_RETURN_IF_ERROR(CountCall());
    return flush_->Commit(lsn);
  }
  Status AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value) override {
    return flush_->AddBlock(storage, block, new_block, value);
  }
  void AddLeafFiles(StorageId storage, uint32_t files) override {
    flush_->AddLeafFiles(storage, files);
  }
  void PutMeta(Slice key, Slice value) override { flush_->PutMeta(key, value); }
  void DeleteMeta(Slice key) override { flush_->DeleteMeta(key); }
  void DropStorage(StorageId storage) override { flush_->DropStorage(storage); }
  uint64_t bytes_written() const override { return flush_->bytes_written(); }

  size_t puts = 0, merges = 0, deletes = 0;

 private:
  Status CountCall() {
    if (most_calls_-- > 0) return Status::Ok();
    return Status::IoError("the test's disk is full");
  }

  PrimaryStore::Flush* const flush_;
  size_t most_calls_;
};

struct TestIndex {
  explicit TestIndex(StorageId id) : storage(id) {}
  StorageId storage;
  Words entries;
  LeafMapSlot slot{};
};

class IndexFlushTest : public StoreTest {
 protected:
  static constexpr size_t kNeverFails = ~size_t{0};

  // Many small flushes: in memory if the machine has a file system there.
  void SetUp() override {
    char in_memory[] = "/dev/shm/omendb_store_XXXXXX";
    if (mkdtemp(in_memory) == nullptr) {
      StoreTest::SetUp();
    } else {
      root_ = in_memory;
      path_ = root_ + "/omendb";
    }
    UseDirectory(16 << 20);
    failure_point_ = [this](const char* point) {
      if (std::strcmp(point, "compaction_begin") == 0) compactions_held_.wait(true);
    };
    Open();
  }
  // Compactions that begin wait, so that operands stay operands.
  void HoldCompactions(bool hold) {
    compactions_held_ = hold;
    compactions_held_.notify_all();
  }
  void TearDown() override {
    HoldCompactions(false);
    reader_.reset();
    StoreTest::TearDown();
  }

  // What was known of leaves is not any more: for new indexes.
  void UseDirectory(size_t size) {
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, size)));
    directory_ = LeafDirectory::Format(memory_.get(), size);
  }
  void StartAnew() {
    reader_.reset();
    store_.reset();
    std::filesystem::remove_all(path_);
    lsn_ = 0;
    Open();
  }
  LeafMap MapOf(TestIndex* index) const { return LeafMap(directory_, &index->slot); }

  // Indexes by ascending storage.
  using Changes = std::vector<std::pair<TestIndex*, Words>>;

  // As the store worker does it.
  Status TryWrite(const Changes& changes, size_t most_calls = kNeverFails) {
    std::unique_ptr<PrimaryStore::Flush> flush;
    OMENDB_RETURN_IF_ERROR(store_->NewFlush(&flush));
    CheckedFlush checked(flush.get(), most_calls);
    const auto write = [&] {
      IndexFlush writer(store_.get(), &checked, store_->generation() + 1, options_);
      for (const auto& [index, words] : changes) {
        ListedChanges entries(words);
        LeafMap map = MapOf(index);
        OMENDB_RETURN_IF_ERROR(writer.Write(index->storage, &entries, &map));
        EXPECT_FALSE(entries.Valid());
      }
      return Status::Ok();
    };
    Status status = write();
    if (status.ok()) status = checked.Commit(++lsn_);
    puts_ = checked.puts;
    merges_ = checked.merges;
    deletes_ = checked.deletes;
    for (const auto& [index, words] : changes) {
      if (status.ok()) Apply(words, &index->entries);
      if (!status.ok()) MapOf(index).Forget();
    }
    return status;
  }
  void Write(TestIndex* index, const Words& words) {
    ExpectOk(TryWrite({{index, words}}));
    Check(index);
  }

  // What the leaf loader does, for part of the leaves.
  void LearnLeaves(TestIndex* index, size_t first, size_t count) {
    LeafMap map = MapOf(index);
    std::unique_ptr<LeafIterator> at;
    ExpectOk(store_->NewLeafIterator(index->storage, &at));
    at->First();
    for (size_t i = 0; at->Valid() && i < first + count; i++) {
      const std::string low(at->low()), value(at->value());
      at->Next();
      const Slice next = at->Valid() ? at->low() : Slice();
      if (i < first || map.Knows(low)) continue;
      LeafView view;
      ExpectOk(LeafView::Parse(value, true, &view));
      map.Learn(low, at->Valid() ? &next : nullptr, &view);
    }
    ExpectOk(at->status());
  }

  void Check(TestIndex* index) {
    if (reader_ == nullptr) {
      reader_ = Reader();
      ASSERT_NE(reader_, nullptr);
    }
    ExpectOk(reader_->CatchUp(store_->generation()));
    std::unique_ptr<LeafIterator> at;
    ExpectOk(reader_->NewLeafIterator(index->storage, &at));
    CheckLeaves(index, at.get());
    CheckDirectory(index);
    CheckPlaces(index);
    ExpectOk(store_->NewLeafIterator(index->storage, &at));
    CheckLeaves(index, at.get());
    store_->UnlinkObsoleteFiles();
  }

  // The leaves cover all positions, each one once, and their entries are those of the model.
  void CheckLeaves(TestIndex* index, LeafIterator* at) {
    leaves_.clear();
    auto expected = index->entries.begin();
    std::string high, low, value;
    for (at->First(); at->Valid(); at->Next()) {
      low = at->low();
      value = at->value();
      ASSERT_EQ(low, high) << "leaf " << leaves_.size();
      ASSERT_TRUE(leaves_.empty() || !low.empty());
      LeafView view;
      EntryList entries;
      ExpectOk(LeafView::Parse(value, true, &view));
      ASSERT_TRUE(view.has_base());
      ASSERT_EQ(view.low(), low);
      high = view.high();
      ExpectOk(FoldLeaf(&view, &entries));
      EXPECT_LE(view.lsn(), store_->generation());
      EXPECT_LE(entries.size(), kMaxLeafCount);
      Leaf& leaf = leaves_[low];
      leaf = {high, entries.size(), view.deltas(), view.lsn(), {}, {}};
      const size_t sample = entries.empty() ? 0 : random_() % entries.size();
      for (size_t i = 0; i < entries.size(); i++, ++expected) {
        const IndexEntry entry = entries[i];
        ASSERT_NE(expected, index->entries.end()) << "leaf " << leaves_.size();
        ASSERT_EQ(entry.key, expected->first.first) << "leaf " << leaves_.size();
        ASSERT_EQ(entry.tid, expected->first.second) << "leaf " << leaves_.size();
        ASSERT_EQ(entry.payload, expected->second.payload);
        leaf.hashes.push_back(HashKey(entry.key));
        if (i == sample) leaf.sample = Position(entry.key, entry.tid);
      }
    }
    ExpectOk(at->status());
    EXPECT_EQ(expected, index->entries.end());
    EXPECT_EQ(high, "");
  }

  // Whatever the directory says of the leaves that were looked at is right.
  void CheckDirectory(TestIndex* index) {
    const uint32_t map = index->slot.map;
    if (map == 0) return;
    std::string low, high;
    LeafInfo info;
    for (const auto& [begin, leaf] : leaves_) {
      if (!directory_.Find(map, begin, &low, &high, &info)) continue;
      known_++;
      ASSERT_EQ(low, begin);
      ASSERT_EQ(high, leaf.high);
      EXPECT_GE(info.count, leaf.entries);
      EXPECT_EQ(info.changed, leaf.lsn);
      EXPECT_LE(info.deltas, kMostDeltas);
      for (uint64_t hash : leaf.hashes) ASSERT_TRUE(directory_.MayHave(info, hash));
    }
    for (const auto& [begin, leaf] : leaves_) {
      if (leaf.entries == 0) continue;
      const Slice key = Slice(leaf.sample).substr(0, leaf.sample.size() - kTidSize);
      ASSERT_TRUE(MayHaveKey(map, key));
    }
    for (int i = 0; i < 100; i++) {
      const std::string position = RandomPosition();
      if (!directory_.Find(map, position, &low, &high, &info)) continue;
      const auto covering = std::prev(leaves_.upper_bound(position));
      ASSERT_EQ(low, covering->first);
      ASSERT_EQ(high, covering->second.high);
    }
    EXPECT_LE(directory_.StatsOf(map).leaves, leaves_.size());
  }

  // What lies where a reader has found a leaf's base, once, is the leaf as it is now or says that
  // it is older than the directory knows it to be.
  void CheckPlaces(TestIndex* index) {
    const uint32_t map = index->slot.map;
    if (map == 0) return;
    std::string value;
    LeafView view;
    EntryList entries;
    for (const auto& [low, leaf] : leaves_) {
      LeafInfo info;
      if (!directory_.Get(map, low, &info)) continue;
      if (info.place && GetLeafAt(info.place, index->storage, low, &value)) {
        ExpectOk(LeafView::Parse(value, true, &view));
        ASSERT_EQ(view.low(), low);
        if (view.lsn() >= info.changed) {
          found_in_place_++;
          EXPECT_EQ(leaf.deltas, 0u);
          ASSERT_EQ(view.high(), leaf.high);
          ExpectOk(FoldLeaf(&view, &entries));
          ASSERT_EQ(entries.size(), leaf.entries);
          for (size_t i = 0; i < entries.size(); i++) {
            ASSERT_EQ(HashKey(entries.key(i)), leaf.hashes[i]);
          }
        }
      }
      if (leaf.deltas > 0) continue;
      ExpectOk(reader_->GetLeaf(index->storage, low, &value));
      directory_.NotePlace(map, low, reader_->last_place());
      // It may lie in a block behind something small.
      std::string again;
      if (GetLeafAt(reader_->last_place(), index->storage, low, &again)) {
        ASSERT_EQ(again, value);
      }
      EXPECT_FALSE(GetLeafAt(reader_->last_place(), index->storage + 1, low, &again));
    }
  }

  bool GetLeafAt(StorePlace place, StorageId storage, Slice low, std::string* value) {
    ReaderStore::LeafAt leaf;
    if (!reader_->FindLeafAt(place, storage, low, &leaf)) return false;
    value->resize(leaf.size);
    EXPECT_FALSE(reader_->CopyLeafAt(leaf, 1, leaf.size, value->data()));
    return reader_->CopyLeafAt(leaf, 0, leaf.size, value->data());
  }

  bool MayHaveKey(uint32_t map, Slice key) const {
    alex::Approach approach;
    return directory_.ProbeKey(map, key, {&approach, 1}).MayHave();
  }

  // That of an entry or the beginning of a leaf, or next to it.
  std::string RandomPosition() {
    const auto leaf = std::next(leaves_.begin(), random_() % leaves_.size());
    std::string position = random_() % 2 != 0 ? leaf->first : leaf->second.sample;
    if (position.size() > 8 && random_() % 2 != 0) {
      position[position.size() - 1 - random_() % 8] += random_() % 2 != 0 ? 1 : -1;
    }
    return position;
  }

  struct Leaf {
    std::string high;
    size_t entries, deltas;
    Lsn lsn;
    std::vector<uint64_t> hashes;
    std::string sample;  // position of one of its entries
  };

  IndexFlushOptions options_;
  std::atomic<bool> compactions_held_{false};
  std::unique_ptr<char, decltype(&std::free)> memory_{nullptr, std::free};
  LeafDirectory directory_;
  std::unique_ptr<ReaderStore> reader_;
  std::mt19937_64 random_{11};
  Lsn lsn_ = 0;
  std::map<std::string, Leaf> leaves_;          // by low: those of the last Check
  size_t puts_ = 0, merges_ = 0, deletes_ = 0;  // of the last flush
  size_t known_ = 0;                            // leaves that the directory told of
  size_t found_in_place_ = 0;                   // those that were where they had been found before
};

}  // namespace omendb
