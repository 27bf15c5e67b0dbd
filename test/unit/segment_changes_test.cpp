// What a flush of leaves gets of a segment of the write buffer: the newest word on each entry, in
// order, as often as it asks; and the store has it afterwards.
#include "worker/segment_changes.h"

#include "index_flush_fixture.h"
#include "base/pure.h"

namespace omendb {
namespace {

struct TestSegment {
  explicit TestSegment(size_t capacity = 8 << 20)
      : memory(Segment::SizeFor(capacity) / 8 + 1),
        segment(Segment::Format(memory.data(), Segment::SizeFor(capacity))) {}
  bool Add(StorageId storage, const Words::value_type& word) {
    const IndexEntry entry = EntryOf(word);
    if (!segment.Reserve(Segment::BoundForIndexEntry(entry))) return false;
    segment.ApplyIndexEntry(storage, entry, entry.key.substr(0, 1));
    return true;
  }
  SegmentIndex IndexOf(StorageId storage) const {
    SegmentIndex index;
    EXPECT_TRUE(segment.FindIndex(storage, &index));
    return index;
  }
  std::vector<uint64_t> memory;
  Segment segment;
};

Words Taken(IndexChanges* changes) {
  Words words;
  std::string last;
  for (; changes->Valid(); changes->Next()) {
    const IndexEntry& entry = changes->entry();
    const std::string position = Position(entry.key, entry.tid);
    EXPECT_TRUE(words.empty() || last < position) << words.size();
    last = position;
    words[{std::string(entry.key), entry.tid}] = {std::string(entry.payload), entry.removed};
  }
  return words;
}

class SegmentChangesTest : public IndexFlushTest {
 protected:
  // Of a key that is new, or that the index or the segment has.
  Words::value_type RandomWord(const Words& stored, const Words& buffered) {
    const uint64_t kind = random_() % 8;
    Words::key_type place{'\1' + Int8Key(random_() % 50000), random_() % 3};
    const Words& from = kind < 3 ? stored : buffered;
    if (kind < 5 && !from.empty()) {
      const auto at = from.lower_bound(place);
      place = (at == from.end() ? from.begin() : at)->first;
    } else if (kind == 5) {
      place.first = '\1' + std::string(random_() % 40, 'k') + std::to_string(random_() % 500);
      place.first.push_back('\0');
    }
    Word word;
    word.removed = random_() % 3 == 0;
    if (!word.removed && random_() % 3 == 0) word.payload.assign(random_() % 60, 'p');
    return {place, word};
  }

  Status FlushSegment(const TestSegment& segment, const std::vector<TestIndex*>& indexes,
                      size_t most_calls = kNeverFails) {
    std::unique_ptr<PrimaryStore::Flush> flush;
    OMENDB_RETURN_IF_ERROR(store_->NewFlush(&flush));
    CheckedFlush checked(flush.get(), most_calls);
    IndexFlush writer(store_.get(), &checked, store_->generation() + 1, options_);
    for (TestIndex* index : indexes) {
      SegmentChanges changes(segment.IndexOf(index->storage));
      LeafMap map = MapOf(index);
      OMENDB_RETURN_IF_ERROR(writer.Write(index->storage, &changes, &map));
      EXPECT_FALSE(changes.Valid());
    }
    return checked.Commit(++lsn_);
  }
};

TEST_F(SegmentChangesTest, AreTheNewestWordsInOrder) {
  TestSegment segment;
  Words models[2];
  const Words longest = {{{'\1' + std::string(kMaxEntryPart - 2, '\xff') + '\0', Tid(1, 1)},
                          {std::string(kMaxEntryPart, 'p')}},
                         {{std::string(1, '\0'), 0}, {}},
                         {{"\2", Tid(1ull << 31, 291)}, {"", true}}};
  for (const auto& word : longest) {
    ASSERT_TRUE(segment.Add(7, word));
    models[1][word.first] = word.second;
  }
  for (int i = 0; i < 20000; i++) {
    Words& model = models[i % 2];
    const Words::value_type word = RandomWord({}, model);
    ASSERT_TRUE(segment.Add(i % 2 == 0 ? 5 : 7, word));
    model[word.first] = word.second;
  }
  for (int i = 0; i < 2; i++) {
    const SegmentIndex index = segment.IndexOf(i == 0 ? 5 : 7);
    SegmentChanges changes(index), again(index);
    EXPECT_EQ(Taken(&changes), models[i]);
    EXPECT_EQ(Taken(&again), models[i]);
  }
}

// A word on an entry that the index has counts more than the entry; one on an entry of another
// segment more than that of the segment before.
TEST_F(SegmentChangesTest, ComeIntoTheStore) {
  TestIndex indexes[] = {TestIndex(5), TestIndex(7)};
  size_t failed = 0;
  for (int round = 0; round < 40; round++) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    options_.changes_at_once = round % 3 == 0 ? 50 : 32 * 1024;
    TestSegment segment;
    Words changes[2];
    for (uint64_t i = 200 + random_() % (round % 5 == 0 ? 10000 : 500); i > 0; i--) {
      const size_t which = random_() % 2;
      const Words::value_type word = RandomWord(indexes[which].entries, changes[which]);
      ASSERT_TRUE(segment.Add(indexes[which].storage, word));
      changes[which][word.first] = word.second;
    }
    if (round % 4 == 3) {
      // Given up on the way: the next attempt begins with the first entry again.
      if (!FlushSegment(segment, {&indexes[0], &indexes[1]}, random_() % 10).ok()) {
        for (TestIndex& index : indexes) MapOf(&index).Forget();
        failed++;
      } else {
        for (size_t i = 0; i < 2; i++) Apply(changes[i], &indexes[i].entries);
      }
      for (TestIndex& index : indexes) Check(&index);
    }
    ExpectOk(FlushSegment(segment, {&indexes[0], &indexes[1]}));
    for (size_t i = 0; i < 2; i++) {
      Apply(changes[i], &indexes[i].entries);
      Check(&indexes[i]);
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(failed, 0u);
  EXPECT_GT(indexes[0].entries.size(), 5000u);
}

}  // namespace
}  // namespace omendb
