// Index entries in a segment of the write buffer, against an ordered map: they are all found, in
// order, and the space that was reserved for them is enough.
#include "buffer/segment_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace omendb {
namespace {

struct Memory {
  explicit Memory(size_t capacity)
      : words(Segment::SizeFor(capacity) / 8 + 1),
        segment(Segment::Format(words.data(), Segment::SizeFor(capacity))) {}
  std::vector<uint64_t> words;
  Segment segment;
};

std::string IntKey(uint64_t value) {
  std::string key(1, '\1');
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(value >> shift));
  return key;
}

bool Put(Segment segment, StorageId storage, const IndexEntry& entry) {
  size_t bound = Segment::BoundForIndexEntry(entry);
  if (!segment.Reserve(bound)) return false;
  segment.ApplyIndexEntry(storage, entry, entry.key.substr(0, 1));
  return true;
}

using Model = std::map<std::pair<std::string, TidNumber>, std::pair<bool, std::string>>;

void ExpectSame(const Segment& segment, StorageId storage, const Model& model) {
  SegmentIndex index;
  ASSERT_EQ(segment.FindIndex(storage, &index), !model.empty());
  if (model.empty()) return;
  SegmentIndex::Iterator at;
  at.Attach(index);
  at.SeekToFirst();
  for (const auto& [name, word] : model) {
    ASSERT_TRUE(at.Valid());
    EXPECT_EQ(at.entry().key, name.first);
    EXPECT_EQ(at.entry().tid, name.second);
    EXPECT_EQ(at.entry().removed, word.first);
    EXPECT_EQ(at.entry().payload, word.second);
    at.Next();
  }
  EXPECT_FALSE(at.Valid());
  at.SeekToLast();
  for (auto entry = model.rbegin(); entry != model.rend(); ++entry) {
    ASSERT_TRUE(at.Valid());
    EXPECT_EQ(at.entry().key, entry->first.first);
    EXPECT_EQ(at.entry().tid, entry->first.second);
    at.Prev();
  }
  EXPECT_FALSE(at.Valid());
}

TEST(SegmentIndex, EntriesOfSeveralIndexesAreKeptApartAndInOrder) {
  Memory memory(16 << 20);
  std::mt19937_64 random(7);
  std::map<StorageId, Model> models;
  for (int i = 0; i < 30000; i++) {
    StorageId storage = 1 + random() % 5;
    std::string key = random() % 3 == 0 ? "text" + std::to_string(random() % 1000) + '\0'
                                        : IntKey(random() % 5000);
    TidNumber tid = random() % 4;
    bool removed = random() % 4 == 0;
    std::string payload = random() % 5 == 0 ? "included" : "";
    ASSERT_TRUE(Put(memory.segment, storage, {key, tid, payload, removed}));
    models[storage][{key, tid}] = {removed, payload};
  }
  for (const auto& [storage, model] : models) ExpectSame(memory.segment, storage, model);
  ExpectSame(memory.segment, 99, {});
  EXPECT_EQ(memory.segment.index_entries(), 30000u);
  EXPECT_EQ(memory.segment.used(), memory.segment.reserved());
}

TEST(SegmentIndex, TheLastReservationHoldsWhatItWasMadeFor) {
  for (int order = 0; order < 3; order++) {
    Memory memory(1 << 20);
    std::mt19937_64 random(11);
    Model model;
    for (uint64_t i = 0;; i++) {
      uint64_t number = order == 0 ? i : order == 1 ? ~i : random();
      std::string key = IntKey(number);
      if (i % 7 == 0) key += std::string(i % 300, 'x');
      if (!Put(memory.segment, 1, {key, i, {}, false})) break;
      model[{key, i}] = {false, ""};
    }
    EXPECT_GT(model.size(), 5000u);
    EXPECT_LE(memory.segment.used(), memory.segment.capacity());
    ExpectSame(memory.segment, 1, model);
  }
}

// What leaves gave up is lost until the segment is emptied: so they give up little.
TEST(SegmentIndex, EntriesTakeLittleOfTheSegment) {
  const char* kNames[] = {"ascending", "descending", "random"};
  const double kMost[] = {25, 25, 45};
  for (int order = 0; order < 3; order++) {
    Memory memory(16 << 20);
    std::mt19937_64 random(13);
    uint64_t entries = 0;
    for (;; entries++) {
      uint64_t number = order == 0 ? entries : order == 1 ? ~entries : random();
      if (!Put(memory.segment, 1, {IntKey(number), entries, {}, false})) break;
    }
    double bytes = static_cast<double>(memory.segment.used()) / static_cast<double>(entries);
    RecordProperty(kNames[order], std::to_string(bytes));
    EXPECT_LE(bytes, kMost[order]) << kNames[order];
  }
}

TEST(SegmentIndex, AnEmptiedSegmentHasNone) {
  Memory memory(1 << 20);
  ASSERT_TRUE(Put(memory.segment, 3, {IntKey(1), 1, {}, false}));
  EXPECT_TRUE(memory.segment.HasIndex(3));
  memory.segment.Reset();
  EXPECT_FALSE(memory.segment.HasIndex(3));
  EXPECT_EQ(memory.segment.index_entries(), 0u);
  ASSERT_TRUE(Put(memory.segment, 3, {IntKey(2), 2, {}, false}));
  ExpectSame(memory.segment, 3, {{{IntKey(2), 2}, {false, ""}}});
}

TEST(SegmentIndex, ManyWritersMissNothing) {
  constexpr int kWriters = 4;
  constexpr uint64_t kEach = 20000;
  Memory memory(64 << 20);
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; writer++) {
    writers.emplace_back([&, writer] {
      std::mt19937_64 random(static_cast<uint64_t>(writer));
      for (uint64_t i = 0; i < kEach; i++) {
        std::string key = IntKey(i % 2 == 0 ? i : random());
        ASSERT_TRUE(Put(memory.segment, 1 + i % 2, {key, i * kWriters + writer, {}, false}));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  Model models[2];
  for (int writer = 0; writer < kWriters; writer++) {
    std::mt19937_64 random(static_cast<uint64_t>(writer));
    for (uint64_t i = 0; i < kEach; i++) {
      std::string key = IntKey(i % 2 == 0 ? i : random());
      models[i % 2][{key, i * kWriters + static_cast<uint64_t>(writer)}] = {false, ""};
    }
  }
  ExpectSame(memory.segment, 1, models[0]);
  ExpectSame(memory.segment, 2, models[1]);
}

}  // namespace
}  // namespace omendb
