// What the learned index promises, one behaviour a test.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "alex/alex_arena.h"
#include "alex_test_util.h"

namespace omendb {
namespace {

class AlexMapTest : public testing::Test {
 protected:
  explicit AlexMapTest(const AlexOptions& options = {}, Slice prefix = "")
      : map_(memory_, TestMap::Create(memory_, prefix, options)) {}

  void Put(uint64_t number, uint64_t tid = 1) {
    ASSERT_EQ(map_.Put(BigEndian(number), tid, 0, ""), AlexPut::kAdded);
  }
  bool Has(uint64_t number, uint64_t tid = 1) {
    AlexItem item;
    return map_.Find(BigEndian(number), tid, &item);
  }
  // Fresh memory for another map.
  TestMap Another(const AlexOptions& options, Slice prefix = "") {
    return TestMap(memory_, TestMap::Create(memory_, prefix, options));
  }

  TestMemory::Block block_{uint64_t{1} << 28};
  TestMemory memory_{&block_};
  TestMap map_;
};

TEST_F(AlexMapTest, FirstLeafIsSmall) {
  size_t before = block_.used;
  Another(kAlexBufferOptions, "x");
  EXPECT_LE(block_.used - before, 256u + 96u);  // and the map's header
  EXPECT_LE(alex::Leaf::Bytes(alex::kFirstSlots), 256u);
}

TEST_F(AlexMapTest, BufferBoundIsSmall) {
  EXPECT_LE(TestMap::BoundForPut(9, 0, kAlexBufferOptions), size_t{64} << 10);
}

TEST_F(AlexMapTest, CreateWithoutRoom) {
  block_.capacity = block_.used + 128;
  EXPECT_EQ(TestMap::Create(memory_, "", {}), 0u);
}

TEST_F(AlexMapTest, EmptyMap) {
  AlexItem item;
  EXPECT_FALSE(map_.Find("key", 1, &item));
  EXPECT_FALSE(map_.Remove("key", 1));
  TestMap::Iterator it(map_);
  it.SeekToFirst();
  EXPECT_FALSE(it.Valid());
  it.SeekToLast();
  EXPECT_FALSE(it.Valid());
  it.Seek("", 0);
  EXPECT_FALSE(it.Valid());
  it.SeekBefore("zzz", 0);
  EXPECT_FALSE(it.Valid());
  EXPECT_TRUE(map_.BulkLoad({}));
}

TEST_F(AlexMapTest, IteratorsAreTriviallyDestructible) {
  EXPECT_TRUE(std::is_trivially_destructible_v<TestMap::Iterator>);
  EXPECT_TRUE(std::is_trivially_destructible_v<AlexItem>);
  EXPECT_TRUE(std::is_trivially_copyable_v<TestMap>);
  EXPECT_TRUE(std::is_trivially_copyable_v<AlexMap<AlexArena>>);
}

TEST_F(AlexMapTest, PutReplacesFlagsAndPayload) {
  std::string key = BigEndian(5);
  EXPECT_EQ(map_.Put(key, 1, 3, ""), AlexPut::kAdded);
  EXPECT_EQ(map_.Put(key, 1, 255, "payload"), AlexPut::kReplaced);
  AlexItem item;
  ASSERT_TRUE(map_.Find(key, 1, &item));
  EXPECT_EQ(item.flags, 255);
  EXPECT_EQ(item.payload, "payload");
  EXPECT_EQ(map_.Put(key, 1, 0, ""), AlexPut::kReplaced);
  ASSERT_TRUE(map_.Find(key, 1, &item));
  EXPECT_EQ(item.flags, 0);
  EXPECT_EQ(item.payload, "");
  EXPECT_EQ(map_.Stats().keys, 1u);
}

TEST_F(AlexMapTest, EqualKeysAreToldApartByTid) {
  for (uint64_t tid : {uint64_t{0}, uint64_t{7}, (uint64_t{1} << 48) - 1}) Put(9, tid);
  EXPECT_TRUE(Has(9, 7));
  EXPECT_FALSE(Has(9, 8));
  EXPECT_TRUE(map_.Remove(BigEndian(9), 7));
  EXPECT_FALSE(Has(9, 7));
  EXPECT_TRUE(Has(9, 0));
  EXPECT_TRUE(Has(9, (uint64_t{1} << 48) - 1));
}

// Their first eight bytes, with zeros behind shorter ones, are the same number.
TEST_F(AlexMapTest, OneEntryIsNotTakenForAnotherOfItsNumber) {
  std::vector<std::string> keys;
  for (size_t size = 1; size <= 10; size++) keys.push_back("a" + std::string(size - 1, '\0'));
  for (const std::string& there : keys) {
    for (const char* payload : {"", "payload"}) {
      TestMap map = Another({});
      ASSERT_EQ(map.Put(there, 1, 0xff, payload), AlexPut::kAdded);
      for (const std::string& key : keys) {
        AlexItem item;
        EXPECT_EQ(map.Find(key, 1, &item), key == there) << key.size() << " of " << there.size();
        EXPECT_FALSE(map.Find(key, 2, &item));
      }
    }
  }
}

TEST_F(AlexMapTest, KeysOfTheSameNumberAreAllFound) {
  for (int i = 0; i < 5000; i++) {
    ASSERT_EQ(map_.Put("12345678" + BigEndian(i), 1, 0, ""), AlexPut::kAdded);
  }
  AlexItem item;
  for (int i = 0; i < 5000; i++) ASSERT_TRUE(map_.Find("12345678" + BigEndian(i), 1, &item));
  EXPECT_FALSE(map_.Find("12345678" + BigEndian(5000), 1, &item));
}

TEST_F(AlexMapTest, ManyEqualKeysStayFast) {
  TestMap map = Another(kAlexBufferOptions);
  for (uint64_t tid = 0; tid < 100000; tid++) {
    ASSERT_EQ(map.Put(BigEndian(42), tid * 3, 0, ""), AlexPut::kAdded);
  }
  AlexStats stats = map.Stats();
  EXPECT_EQ(stats.keys, 100000u);
  EXPECT_EQ(stats.inline_keys, 100000u);
  EXPECT_LE(stats.levels, 6u);
  EXPECT_LE(stats.mean_search_error, 64);
}

TEST_F(AlexMapTest, ExtremeNumbersAreKeysLikeOthers) {
  for (uint64_t number : {UINT64_MAX, uint64_t{0}, UINT64_MAX - 1, uint64_t{1}}) Put(number);
  for (uint64_t i = 0; i < 20000; i++) Put((uint64_t{1} << 63) + i);
  EXPECT_TRUE(Has(0));
  EXPECT_TRUE(Has(UINT64_MAX));
  TestMap::Iterator it(map_);
  it.SeekToLast();
  ASSERT_TRUE(it.Valid());
  EXPECT_EQ(it.item().key, BigEndian(UINT64_MAX));
  it.Seek(BigEndian(UINT64_MAX), 2);
  EXPECT_FALSE(it.Valid());
  it.SeekBefore(BigEndian(0), 1);
  EXPECT_FALSE(it.Valid());
}

TEST_F(AlexMapTest, PrefixedKeysAreInline) {
  TestMap map = Another({}, "p");
  // At the numbers 0 and 2^64 - 1 there may be keys without the prefix: these are never inline.
  for (uint64_t i = 1; i <= 1000; i++) {
    ASSERT_EQ(map.Put("p" + BigEndian(i), i, 0, ""), AlexPut::kAdded);
  }
  EXPECT_EQ(map.Stats().inline_keys, 1000u);
  ASSERT_EQ(map.Put("o" + BigEndian(1), 1, 0, ""), AlexPut::kAdded);  // before the prefix
  ASSERT_EQ(map.Put("q" + BigEndian(1), 1, 0, ""), AlexPut::kAdded);
  EXPECT_EQ(map.Stats().inline_keys, 1000u);
  TestMap::Iterator it(map);
  it.SeekToFirst();
  EXPECT_EQ(it.item().key, "o" + BigEndian(1));
  it.Next();
  EXPECT_EQ(it.item().key, "p" + BigEndian(1));
}

// Keys before and behind the prefix, and few that have it; each many times, in both orders.
TEST_F(AlexMapTest, KeysOutsideThePrefixAreAllFound) {
  for (bool ascending : {true, false}) {
    for (const AlexOptions& options : {kTinyOptions, kAlexBufferOptions}) {
      TestMap map = Another(options, "mmmmm12345");
      std::vector<std::string> keys;
      for (int i = 0; i < 300; i++) {
        for (const char* begin : {"a", "mmmmm12344", "mmmmm12345", "mmmmm12346", "zz"}) {
          keys.push_back(begin + BigEndian(static_cast<uint64_t>(i) * 7) + "end");
        }
      }
      std::sort(keys.begin(), keys.end());
      if (!ascending) std::reverse(keys.begin(), keys.end());
      constexpr uint64_t kEach = 40;
      for (const std::string& key : keys) {
        for (uint64_t tid = 0; tid < kEach; tid++) {
          ASSERT_EQ(map.Put(key, tid, 0, ""), AlexPut::kAdded);
        }
      }
      std::sort(keys.begin(), keys.end());
      TestMap::Iterator it(map);
      it.SeekToFirst();
      for (const std::string& key : keys) {
        for (uint64_t tid = 0; tid < kEach; tid++) {
          ASSERT_TRUE(it.Valid());
          ASSERT_EQ(it.item().key, key);
          ASSERT_EQ(it.item().tid, tid);
          it.Next();
        }
      }
      EXPECT_FALSE(it.Valid());
      it.SeekToLast();
      for (size_t i = keys.size(); i-- > 0;) {
        for (uint64_t tid = kEach; tid-- > 0;) {
          ASSERT_TRUE(it.Valid());
          ASSERT_EQ(it.item().key, keys[i]);
          ASSERT_EQ(it.item().tid, tid);
          it.Prev();
        }
      }
      EXPECT_LE(map.Stats().levels, 40u);
    }
  }
}

// Keys that have more entries than a leaf holds, or as many; some between them have few.
TEST_F(AlexMapTest, KeysOfManyEntriesStayShallow) {
  enum Order { kAscending, kDescending, kRandom, kMixed };
  constexpr uint64_t kKeys = 2000;
  std::mt19937_64 random(9);
  auto check = [&](const AlexOptions& options, uint64_t each, uint64_t gap, int order) {
    std::vector<uint64_t> numbers;
    for (uint64_t i = 0; i < kKeys; i++) numbers.push_back((uint64_t{1} << 50) + i * gap);
    if (order == kDescending || order == kMixed) std::reverse(numbers.begin(), numbers.end());
    if (order == kRandom) std::shuffle(numbers.begin(), numbers.end(), random);
    block_.used = 64;
    TestMap map = Another(options);
    uint64_t keys = 0;
    for (uint64_t i = 0; i < kKeys; i++) {
      uint64_t tids = order == kMixed && i / 40 % 2 != 0 ? 1 + i % 20 : each;
      for (uint64_t tid = 0; tid < tids; tid++) {
        ASSERT_EQ(map.Put(BigEndian(numbers[i]), tid, 0, ""), AlexPut::kAdded);
      }
      keys += tids;
    }
    AlexStats stats = map.Stats();
    EXPECT_EQ(stats.keys, keys);
    EXPECT_LE(stats.levels, 16u) << each << " each, gap " << gap << ", order " << order;
    AlexItem item;
    for (uint64_t number : numbers) ASSERT_TRUE(map.Find(BigEndian(number), 0, &item));
  };
  for (int order : {kAscending, kDescending, kRandom, kMixed}) {
    for (uint64_t gap : {uint64_t{1}, uint64_t{7}, uint64_t{3'600'000'000}}) {
      check(kTinyOptions, 30, gap, order);
      check(kAlexBufferOptions, 30, gap, order);
    }
    check(kTinyOptions, 300, 3'600'000'000, order);
    check(kAlexBufferOptions, 1000, 3'600'000'000, order);
  }
}

TEST_F(AlexMapTest, SeeksFindNeighbours) {
  for (uint64_t i = 10; i <= 1000; i += 10) Put(i, 5);
  TestMap::Iterator it(map_);
  it.Seek(BigEndian(20), 5);
  EXPECT_EQ(it.item().key, BigEndian(20));
  it.Seek(BigEndian(20), 6);
  EXPECT_EQ(it.item().key, BigEndian(30));
  it.SeekBefore(BigEndian(20), 5);
  EXPECT_EQ(it.item().key, BigEndian(10));
  it.SeekBefore(BigEndian(20), 6);
  EXPECT_EQ(it.item().key, BigEndian(20));
  it.Seek(BigEndian(20).substr(0, 7), 0);  // a beginning of keys
  EXPECT_EQ(it.item().key, BigEndian(10));
  it.Next();
  it.Prev();
  EXPECT_EQ(it.item().key, BigEndian(10));
  it.Prev();
  EXPECT_FALSE(it.Valid());
}

TEST_F(AlexMapTest, OutliersCostLittle) {
  TestMemory::Block block(uint64_t{1} << 28);
  TestMemory memory(&block);
  for (bool bulk : {true, false}) {
    TestMap map(memory, TestMap::Create(memory, "", {}));
    std::vector<std::string> keys;
    for (uint64_t i = 0; i < 200000; i++) keys.push_back(BigEndian(i));
    if (bulk) {
      std::vector<TestMap::Entry> entries;
      for (const std::string& key : keys) entries.push_back({key, 1, 0, ""});
      ASSERT_TRUE(map.BulkLoad(entries));
    } else {
      for (const std::string& key : keys) map.Put(key, 1, 0, "");
    }
    size_t before = map.Stats().bytes;
    for (int bits = 44; bits <= 60; bits += 4) {
      ASSERT_EQ(map.Put(BigEndian(uint64_t{1} << bits), 1, 0, ""), AlexPut::kAdded);
    }
    EXPECT_LE(map.Stats().bytes, before + (64 << 10));
    for (uint64_t i = 200000; i < 210000; i++) map.Put(BigEndian(i), 1, 0, "");
    AlexItem item;
    EXPECT_TRUE(map.Find(BigEndian(uint64_t{1} << 60), 1, &item));
    EXPECT_TRUE(map.Find(BigEndian(205000), 1, &item));
    block.used = 64;
  }
}

TEST_F(AlexMapTest, DenseNumbersAreTheSameEverywhere) {
  AlexStats stats[2];
  for (int far = 0; far < 2; far++) {
    TestMap map = Another({});
    for (uint64_t i = 0; i < 100000; i++) {
      map.Put(BigEndian((far != 0 ? uint64_t{1} << 62 : 0) + i), 1, 0, "");
    }
    stats[far] = map.Stats();
  }
  EXPECT_NEAR(static_cast<double>(stats[1].bytes), static_cast<double>(stats[0].bytes),
              static_cast<double>(stats[0].bytes) * 0.05);
  EXPECT_LE(stats[1].levels, stats[0].levels + 1);
  EXPECT_LE(stats[1].mean_search_error, stats[0].mean_search_error + 1);
}

TEST_F(AlexMapTest, AppendsStayShallow) {
  for (bool descending : {false, true}) {
    TestMap map = Another(kAlexBufferOptions);
    for (uint64_t i = 0; i < 500000; i++) {
      map.Put(BigEndian((uint64_t{1} << 40) + (descending ? -i : i)), 1, 0, "");
    }
    EXPECT_LE(map.Stats().levels, 8u) << descending;
  }
}

// Only children that differ are stored at a node's high end: else each append would rewrite all
// that it has no keys for yet.
TEST_F(AlexMapTest, AppendsStoreNoChildrenAhead) {
  for (uint64_t i = 0; i < 200000; i++) Put(i * 1000);
  const auto* header = alex::At<alex::MapHeader>(block_.bytes, 64 / 8);
  const auto* root = alex::At<alex::Node>(block_.bytes, header->root.root);
  ASSERT_EQ(root->kind, alex::Kind::kNode);
  ASSERT_EQ(root->sorted, 0);
  EXPECT_LT(root->size, root->room);
  EXPECT_NE(root->child[root->size - 1], root->child[root->size - 2]);
  EXPECT_TRUE(Has(199999000));
}

// Of lines that need many digits, over ranges of any width, and of many entries.
TEST_F(AlexMapTest, FitsFindTheLine) {
  for (size_t count : {size_t{2}, size_t{5}, size_t{300}, size_t{4099}}) {
    for (int bits : {0, 20, 62, 63}) {
      const uint64_t gap = std::max<uint64_t>(1, (uint64_t{1} << bits) / count * 19 / 10);
      std::vector<alex::Slot> slots;
      for (size_t i = 0; i < count; i++) slots.push_back({UINT64_MAX / 64 + i * gap, 0});
      alex::Fit fit = alex::Fit::Of(slots.data(), count);
      EXPECT_NEAR(fit.slope * static_cast<double>(gap), 1, 1e-6) << count << " " << bits;
      EXPECT_NEAR(fit.intercept, 0, 1e-3);
      EXPECT_NEAR(fit.error, 0, 1e-3);
      // Half of the entries in steps of two ranks: the line is as good, and the error is known.
      for (size_t i = 1; i < count; i += 2) slots[i].number = slots[i - 1].number;
      fit = alex::Fit::Of(slots.data(), count);
      if (count > 100) {
        EXPECT_NEAR(fit.slope * static_cast<double>(gap), 1, 0.02);
      }
      EXPECT_LE(fit.error, 1);
    }
  }
}

TEST_F(AlexMapTest, RemovingEverythingLeavesLittle) {
  for (uint64_t i = 0; i < 50000; i++) Put(i);
  size_t full = map_.Stats().bytes;
  for (uint64_t i = 0; i < 50000; i++) ASSERT_TRUE(map_.Remove(BigEndian(i), 1));
  AlexStats stats = map_.Stats();
  EXPECT_EQ(stats.keys, 0u);
  EXPECT_LT(stats.bytes, full / 16);
  TestMap::Iterator it(map_);
  it.SeekToFirst();
  EXPECT_FALSE(it.Valid());
}

// Numbers that come evenly fill all leaves at the same pace, which must not be split at once.
TEST_F(AlexMapTest, EvenInsertsStayDense) {
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; i < 400000; i++) numbers.push_back(i);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937_64(4));
  for (size_t i = 0; i < numbers.size(); i++) {
    Put(numbers[i]);
    if (i >= 150000 && i % 10000 == 0) {
      ASSERT_LE(map_.Stats().bytes, i * 27) << i;
    }
  }
}

// Where lines do not follow the keys an insert does not wait for the division of a large leaf.
TEST_F(AlexMapTest, InsertsKeepLeavesOfHardKeysSmall) {
  std::mt19937_64 random(5);
  std::vector<uint64_t> numbers = {0};
  for (int i = 0; i < 200000; i++) {
    numbers.push_back(numbers.back() + 1 + (random() >> (34 + random() % 30)));
  }
  std::shuffle(numbers.begin(), numbers.end(), random);
  for (uint64_t number : numbers) Put(number);
  AlexStats stats = map_.Stats();
  EXPECT_LE(stats.slots, stats.leaves * 512);
  EXPECT_LE(stats.bytes, stats.keys * 27);
  EXPECT_LE(stats.levels, 10u);
  // Which even ones are worth.
  TestMap even = Another({});
  for (int i = 0; i < 200000; i++) even.Put(BigEndian(random()), 1, 0, "");
  stats = even.Stats();
  EXPECT_GE(stats.slots, stats.leaves * 1024);
}

TEST_F(AlexMapTest, BulkLoadPacksTightly) {
  std::mt19937_64 random(3);
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 300000; i++) numbers.push_back(random());
  std::sort(numbers.begin(), numbers.end());
  std::vector<std::string> keys;
  for (uint64_t number : numbers) keys.push_back(BigEndian(number));
  std::vector<TestMap::Entry> entries;
  for (const std::string& key : keys) entries.push_back({key, 1, 0, ""});
  ASSERT_TRUE(map_.BulkLoad(entries));
  AlexStats stats = map_.Stats();
  EXPECT_EQ(stats.keys, numbers.size());
  EXPECT_LE(stats.bytes, numbers.size() * 24);
}

TEST_F(AlexMapTest, BulkLoadWithoutRoomLeavesTheMapEmpty) {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 10000; i++) keys.push_back(BigEndian(i) + "tail");
  std::vector<TestMap::Entry> entries;
  for (const std::string& key : keys) entries.push_back({key, 1, 0, ""});
  block_.capacity = block_.used + 480000;
  EXPECT_FALSE(map_.BulkLoad(entries));
  EXPECT_EQ(map_.Stats().keys, 0u);
  block_.capacity = size_t{1} << 28;
  EXPECT_TRUE(map_.BulkLoad(entries));
  EXPECT_EQ(map_.Stats().keys, 10000u);
}

}  // namespace
}  // namespace omendb
