// The leaf directory: it leads to the leaf that covers a position or says that it does not know,
// and its filters never deny a key that they were given.
#include "store/leaf_directory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/index_position.h"

namespace omendb {
namespace {

struct Memory {
  explicit Memory(size_t size)
      : bytes(static_cast<char*>(std::aligned_alloc(64, size)), std::free),
        directory(LeafDirectory::Format(bytes.get(), size)) {}
  std::unique_ptr<char, decltype(&std::free)> bytes;
  LeafDirectory directory;
};

std::string Key(uint64_t number) {
  std::string key(1, '\1');
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key + "tid123";
}

LeafInfo Info(uint32_t count, bool next_known = true) {
  LeafInfo info;
  info.count = count;
  info.flags = next_known ? kNextKnown : 0;
  return info;
}

TEST(LeafDirectory, LeadsToTheLeafThatCoversAPosition) {
  Memory memory(8 << 20);
  uint32_t map = memory.directory.Create("\1");
  ASSERT_NE(map, 0u);
  std::map<std::string, uint32_t> model;
  std::mt19937_64 random(3);
  ASSERT_TRUE(memory.directory.Put(map, "", Info(7)));
  model[""] = 7;
  for (uint32_t i = 0; i < 5000; i++) {
    std::string low = Key(random());
    if (i % 5 == 4) {
      auto gone = std::next(model.begin());
      memory.directory.Remove(map, gone->first);
      model.erase(gone);
    }
    ASSERT_TRUE(memory.directory.Put(map, low, Info(i)));
    model[low] = i;
  }
  for (int i = 0; i < 20000; i++) {
    std::string position = i % 2 == 0 ? Key(random()) : std::next(model.begin(), i % 1000)->first;
    auto behind = model.upper_bound(position);
    std::string low, high;
    LeafInfo info;
    ASSERT_TRUE(memory.directory.Find(map, position, &low, &high, &info));
    EXPECT_EQ(high, behind == model.end() ? "" : behind->first);
    EXPECT_EQ(low, std::prev(behind)->first);
    EXPECT_EQ(info.count, std::prev(behind)->second);
  }
  EXPECT_EQ(memory.directory.StatsOf(map).leaves, model.size());
}

TEST(LeafDirectory, OfTwoPlacesTheLaterFilesIsKept) {
  Memory memory(1 << 20);
  const uint32_t map = memory.directory.Create("");
  ASSERT_TRUE(memory.directory.Put(map, Key(10), Info(1)));
  const auto place = [&] {
    LeafInfo info;
    EXPECT_TRUE(memory.directory.Get(map, Key(10), &info));
    return std::pair(info.place.file(), info.place.offset());
  };
  EXPECT_EQ(place(), std::pair(uint64_t{0}, uint64_t{0}));
  memory.directory.NotePlace(map, Key(10), StorePlace(7, 12345));
  memory.directory.NotePlace(map, Key(11), StorePlace(8, 1));
  memory.directory.NotePlace(map, Key(10), StorePlace(6, 99));
  EXPECT_EQ(place(), std::pair(uint64_t{7}, uint64_t{12345}));
  memory.directory.NotePlace(map, Key(10), StorePlace(9, 0));
  EXPECT_EQ(place(), std::pair(uint64_t{9}, uint64_t{0}));
  LeafInfo info;
  ASSERT_TRUE(memory.directory.Update(map, Key(10), 5, 6, 7, &info));
  EXPECT_EQ(place(), std::pair(uint64_t{9}, uint64_t{0}));
  memory.directory.ForgetPlace(map, Key(10), StorePlace(7, 12345));
  EXPECT_EQ(place(), std::pair(uint64_t{9}, uint64_t{0}));
  memory.directory.ForgetPlace(map, Key(10), StorePlace(9, 0));
  EXPECT_EQ(place(), std::pair(uint64_t{0}, uint64_t{0}));
  memory.directory.NotePlace(map, Key(10), StorePlace(3, 4));
  EXPECT_EQ(place(), std::pair(uint64_t{3}, uint64_t{4}));
  ASSERT_TRUE(memory.directory.Put(map, Key(10), Info(1)));
  EXPECT_EQ(place(), std::pair(uint64_t{0}, uint64_t{0}));
  EXPECT_FALSE(StorePlace(uint64_t{1} << 28, 0));
  EXPECT_FALSE(StorePlace(1, uint64_t{1} << 36));
}

TEST(LeafDirectory, SaysThatItDoesNotKnow) {
  Memory memory(1 << 20);
  uint32_t map = memory.directory.Create("");
  std::string low, high;
  LeafInfo info;
  EXPECT_FALSE(memory.directory.Find(map, Key(5), &low, &high, &info));
  // Where the next leaf begins is known, but nothing of it.
  ASSERT_TRUE(memory.directory.Put(map, Key(10), Info(1)));
  ASSERT_TRUE(memory.directory.Put(map, Key(20), Info(0, false)));
  EXPECT_FALSE(memory.directory.Find(map, Key(9), &low, &high, &info));
  ASSERT_TRUE(memory.directory.Find(map, Key(19), &low, &high, &info));
  EXPECT_EQ(low, Key(10));
  EXPECT_EQ(high, Key(20));
  EXPECT_FALSE(memory.directory.Find(map, Key(20), &low, &high, &info));
}

TEST(LeafDirectory, FiltersNeverDenyAKeyAndMostlyDenyOthers) {
  Memory memory(8 << 20);
  std::mt19937_64 random(9);
  int wrong = 0, asked = 0;
  for (uint32_t keys : {1u, 10u, 100u, 300u, 400u, 512u, 600u}) {
    LeafInfo info;
    memory.directory.NewFilter(keys, &info);
    ASSERT_TRUE(info.has_filter());
    std::vector<std::string> added;
    for (uint32_t i = 0; i < keys; i++) {
      added.push_back(Key(random()).substr(0, 9));
      memory.directory.AddToFilter(info, HashKey(added.back()));
    }
    for (const std::string& key : added) {
      ASSERT_TRUE(memory.directory.MayHave(info, HashKey(key)));
    }
    for (int i = 0; i < 2000; i++) {
      wrong += memory.directory.MayHave(info, HashKey(Key(random()).substr(0, 9)));
      asked++;
    }
    memory.directory.FreeFilter(info);
  }
  EXPECT_LT(wrong, asked / 10);
  EXPECT_TRUE(memory.directory.MayHave(LeafInfo{}, HashKey("anything")));
}

// A leaf begins in the middle of the entries of one key, and others next to a key's.
TEST(LeafDirectory, AKeyMayBeInAnyLeafThatItsEntriesMayBeIn) {
  Memory memory(2 << 20);
  const LeafDirectory& directory = memory.directory;
  const uint32_t map = directory.Create("\1");
  const auto key = [](uint64_t number) { return Key(number).substr(0, 9); };
  const auto add = [&](const std::string& low, const std::vector<std::string>& keys, bool known) {
    LeafInfo info = Info(400, known);
    directory.NewFilter(400, &info);
    ASSERT_TRUE(info.has_filter());
    for (const std::string& one : keys) directory.AddToFilter(info, HashKey(one));
    ASSERT_TRUE(directory.Put(map, low, info));
  };
  const auto may_have = [&](const std::string& one) {
    alex::Approach approaches[2];
    approaches[0] = AlexMap<AlexArena>(directory.arena(), map).ApproachTo(one, 0);
    const bool may = directory.ProbeKey(map, one, approaches).MayHave();
    EXPECT_TRUE(approaches[0].done() && approaches[1].done());
    return may;
  };
  EXPECT_TRUE(may_have(key(15)));
  add("", {key(1)}, true);
  add(Position(key(10), 0), {key(10), key(15), key(20)}, true);
  add(Position(key(20), 7), {key(20), key(25)}, true);
  add(Position(key(30), 0), {key(30)}, false);
  for (uint64_t number : {1, 10, 15, 20, 25, 30}) {
    EXPECT_TRUE(may_have(key(number))) << number;
  }
  int wrong = 0;
  for (uint64_t number : {2, 9, 11, 16, 19, 21, 29}) wrong += may_have(key(number));
  EXPECT_LE(wrong, 1);
  EXPECT_TRUE(may_have(key(31)));
  // Nothing but the leaf that begins within them is asked for the entries of 20.
  add(Position(key(20), 7), {key(25)}, true);
  EXPECT_TRUE(may_have(key(20)));
}

TEST(LeafDirectory, GivesItsMemoryBack) {
  Memory memory(2 << 20);
  size_t used = 0;
  for (int round = 0; round < 50; round++) {
    uint32_t map = memory.directory.Create("\1");
    ASSERT_NE(map, 0u) << round;
    for (uint64_t i = 0; i < 2000; i++) {
      LeafInfo info = Info(400);
      memory.directory.NewFilter(400, &info);
      ASSERT_TRUE(info.has_filter()) << round;
      ASSERT_TRUE(memory.directory.Put(map, Key(i * 1000), info)) << round;
    }
    memory.directory.Drop(map);
    if (round == 5) used = memory.directory.arena().used();
  }
  EXPECT_LE(memory.directory.arena().used(), used + used / 4);
}

// Fills the memory with the map of one index. Returns how many leaves it has.
uint64_t Fill(const LeafDirectory& directory, uint32_t map, uint32_t keys) {
  for (uint64_t i = 0;; i++) {
    LeafInfo info = Info(keys);
    directory.NewFilter(keys, &info);
    if (info.has_filter() && directory.Put(map, Key(i * 1000), info)) continue;
    directory.FreeFilter(info);
    return i;
  }
}

TEST(LeafDirectory, GivesItsMemoryBackWhenItWasFull) {
  Memory memory(2 << 20);
  uint64_t first = 0;
  for (int round = 0; round < 5; round++) {
    uint32_t map = memory.directory.Create("\1");
    ASSERT_NE(map, 0u) << round;
    uint64_t leaves = Fill(memory.directory, map, 400);
    if (round == 0) first = leaves;
    EXPECT_GE(leaves, first - first / 10) << round;
    memory.directory.Drop(map);
  }
  EXPECT_GT(first, 3000u);
}

// Of long keys in two maps that grow by turns, the second of which finds no room in the end.
TEST(LeafDirectory, WhatAMapLeavesIsOfUseToAnother) {
  Memory memory(1 << 20);
  const LeafDirectory& directory = memory.directory;
  const auto put = [&](uint32_t map, uint64_t number) {
    LeafInfo before, info = Info(16);
    const std::string low = Key(number).substr(0, 9) + std::string(500, 'k') + "tid123";
    directory.NewFilter(48, &info);
    if (directory.Put(map, low, info)) return true;
    directory.FreeFilter(info);
    return false;
  };
  std::mt19937_64 random(3);
  const uint32_t first = directory.Create("\1"), second = directory.Create("\1");
  for (int i = 0; i < 1000; i++) ASSERT_TRUE(put(first, random())) << i;
  uint64_t more = 0;
  while (put(second, random())) more++;
  EXPECT_GT(more, 50u);
  directory.Drop(second);
  directory.Drop(first);
  const uint32_t third = directory.Create("\1");
  ASSERT_NE(third, 0u);
  for (uint64_t i = 0; i < 500; i++) ASSERT_TRUE(put(third, i << 40)) << i;
}

// Leaves of random keys grow and split all at about the same time.
TEST(LeafDirectory, FiltersOfGrowingLeavesUseTheSameMemoryAgain) {
  Memory memory(8 << 20);
  const LeafDirectory& directory = memory.directory;
  uint32_t map = directory.Create("\1");
  size_t used = 0;
  for (int wave = 0; wave < 4; wave++) {
    for (uint32_t keys : {512u, 600u, 700u, 800u, 900u, 1024u}) {
      for (uint64_t i = 0; i < 4000; i++) {
        LeafInfo before, info = Info(keys);
        bool had = directory.Get(map, Key(i * 1000), &before);
        directory.NewFilter(keys, &info);
        ASSERT_TRUE(info.has_filter()) << wave << ", " << keys;
        ASSERT_TRUE(directory.Put(map, Key(i * 1000), info));
        if (had) directory.FreeFilter(before);
      }
    }
    if (wave == 0) used = directory.arena().used();
  }
  EXPECT_LE(directory.arena().used(), used + used / 20);
  // Six pairs of lines each, and what the map needs.
  EXPECT_LE(used, LeafDirectory::MinimumSize() + 4000 * (6 * 128 + 141));
}

TEST(LeafDirectory, GivingUpAMapTakesNoMemory) {
  Memory memory(4 << 20);
  uint32_t map = memory.directory.Create("\1");
  EXPECT_GT(Fill(memory.directory, map, 400), 6000u);
  const size_t used = memory.directory.arena().used();
  memory.directory.Drop(map);
  EXPECT_LE(memory.directory.arena().used(), used + 4096);
}

// What is left when there is no room for filters is the maps'.
TEST(LeafDirectory, MapsGrowOnWithoutFilters) {
  Memory memory(2 << 20);
  const LeafDirectory& directory = memory.directory;
  uint32_t map = directory.Create("\1");
  const uint64_t filled = Fill(directory, map, 400);
  for (uint64_t i = 0; i < filled / 8; i++) {
    ASSERT_TRUE(directory.Put(map, Key((filled + i) * 1000), Info(400))) << i << " of " << filled;
  }
}

TEST(LeafDirectory, WithoutRoomSaysSo) {
  Memory memory(LeafDirectory::MinimumSize());
  uint32_t map = memory.directory.Create("");
  ASSERT_NE(map, 0u);
  uint64_t put = 0;
  while (memory.directory.Put(map, Key(put), Info(1))) put++;
  EXPECT_GT(put, 100u);
  std::string low, high;
  LeafInfo info;
  for (uint64_t i = 0; i < put; i++) {
    ASSERT_TRUE(memory.directory.Find(map, Key(i), &low, &high, &info));
    ASSERT_EQ(low, Key(i));
  }
  memory.directory.NewFilter(400, &info);
  EXPECT_FALSE(info.has_filter());
}

}  // namespace
}  // namespace omendb
