// The cache of values that processes share.
#include "cache/value_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kSetSize = ValueCache::kSetSize;

// Says who it is.
std::string ValueOf(uint64_t hash, uint64_t version, size_t size) {
  std::string value(std::max<size_t>(size, 16), static_cast<char>('a' + (hash + version) % 26));
  std::memcpy(value.data(), &hash, 8);
  std::memcpy(value.data() + 8, &version, 8);
  return value;
}

bool Get(const ValueCache& cache, uint64_t hash, uint64_t version, std::string* value) {
  ValueCache::Found found;
  return cache.Find(hash, version, &found) && ValueCache::CopyWhole(found, value);
}

class ValueCacheTest : public testing::Test {
 protected:
  void Make(size_t size) {
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
    std::fill(memory_.get(), memory_.get() + size, 0);
    cache_ = ValueCache::Attach(memory_.get(), size);
  }
  bool Has(uint64_t hash, uint64_t version, const std::string& want) {
    std::string value;
    return Get(cache_, hash, version, &value) && value == want;
  }
  bool HasAny(uint64_t hash) {
    std::string value;
    return Get(cache_, hash, 0, &value);
  }
  // Into a full set not every value is taken.
  void PutUntilTaken(uint64_t hash, const std::string& value) {
    for (int i = 0; i < 100 && !HasAny(hash); i++) cache_.Put(hash, 1, value);
    EXPECT_TRUE(Has(hash, 1, value));
  }
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Free> memory_;
  ValueCache cache_;
};

TEST_F(ValueCacheTest, GivesPiecesUntilItsSetChanges) {
  Make(kSetSize);
  std::string value(3001, '\0'), piece;
  for (size_t i = 0; i < value.size(); i++) value[i] = static_cast<char>(i * 7);
  cache_.Put(1, 1, value);
  ValueCache::Found found;
  ASSERT_TRUE(cache_.Find(1, 1, &found));
  EXPECT_FALSE(cache_.Find(1, 2, &found));
  ASSERT_EQ(found.size(), value.size());
  for (const auto& [at, size] : {std::pair<size_t, size_t>{0, 1}, {8, 64}, {512, 777}, {3000, 1}}) {
    piece.assign(size, 'x');
    EXPECT_TRUE(ValueCache::Copy(found, at, size, piece.data()));
    EXPECT_EQ(piece, value.substr(at, size));
  }
  EXPECT_FALSE(ValueCache::Copy(found, 3000, 2, piece.data()));
  EXPECT_FALSE(ValueCache::Copy(found, 3008, 0, piece.data()));
  cache_.Put(2, 1, "another");
  EXPECT_FALSE(ValueCache::Copy(found, 0, 1, piece.data()));
}

TEST_F(ValueCacheTest, KeepsNothingWithoutRoom) {
  ValueCache().Put(1, 1, "a");
  EXPECT_FALSE(HasAny(1));
  Make(kSetSize - 1);
  cache_.Put(1, 1, "a");
  EXPECT_FALSE(HasAny(1));
}

TEST_F(ValueCacheTest, GivesValuesOfAllSizesBack) {
  Make(100 * kSetSize);
  std::mt19937_64 random(1);
  for (size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{4096},
                      ValueCache::kLargestValue - 1, ValueCache::kLargestValue}) {
    std::string value(size, 0);
    for (char& c : value) c = static_cast<char>(random());
    const uint64_t hash = random();
    cache_.Put(hash, 5, value);
    EXPECT_TRUE(Has(hash, 5, value));
    EXPECT_TRUE(Has(hash, 1, value));
  }
  cache_.Put(77, 5, std::string(ValueCache::kLargestValue + 1, 'x'));
  EXPECT_FALSE(HasAny(77));
  cache_.Put(0, 1, "zero");
  EXPECT_TRUE(Has(0, 1, "zero"));
}

TEST_F(ValueCacheTest, GivesNothingOlderThanAskedFor) {
  Make(kSetSize);
  cache_.Put(1, 5, "five");
  EXPECT_FALSE(Has(1, 6, "five"));
  cache_.Put(1, 7, "seven");
  EXPECT_TRUE(Has(1, 6, "seven"));
  // Whoever read an older one comes late.
  cache_.Put(1, 6, "six");
  EXPECT_TRUE(Has(1, 0, "seven"));
}

TEST_F(ValueCacheTest, WhatIsUsedStaysWhileOthersComeAndGo) {
  Make(kSetSize);
  const std::string other_value(3000, 'o');
  for (uint64_t hash = 1; hash <= 4; hash++) cache_.Put(hash, 1, ValueOf(hash, 1, 5000));
  for (uint64_t other = 100; other < 5100; other++) {
    for (uint64_t hash = 1; hash <= 4; hash++) EXPECT_TRUE(Has(hash, 1, ValueOf(hash, 1, 5000)));
    cache_.Put(other, 1, other_value);
  }
  // Nobody asks for them any more.
  for (uint64_t other = 10000; other < 10100; other++) PutUntilTaken(other, other_value);
  for (uint64_t hash = 1; hash <= 4; hash++) EXPECT_FALSE(HasAny(hash));
  // All are used: the hand goes round, and somebody has to go.
  for (uint64_t other = 20000; other < 20100; other++) PutUntilTaken(other, other_value);
}

TEST_F(ValueCacheTest, AFullSetTakesOneValueInFour) {
  Make(kSetSize);
  const std::string large(4096, 'l');
  int first = 0;
  while (cache_.Put(100 + first, 1, large), HasAny(100 + first)) first++;
  EXPECT_GE(first, 15);
  int taken = 0;
  std::string value;
  for (uint64_t hash = 1000; hash < 2000; hash++) {
    cache_.Put(hash, 1, large);
    taken += Get(cache_, hash, 1, &value);
  }
  EXPECT_NEAR(taken, 250, 1);
  // A new version of what it has it takes at once.
  PutUntilTaken(1, "first");
  cache_.Put(1, 2, "second");
  EXPECT_TRUE(Has(1, 2, "second"));
  cache_.Put(1, 3, large);
  EXPECT_TRUE(Has(1, 3, large));
}

TEST_F(ValueCacheTest, SmallValuesFillItToo) {
  Make(kSetSize);
  int there = 0;
  for (uint64_t hash = 1; hash <= 1000; hash++) cache_.Put(hash, 1, std::to_string(hash));
  for (uint64_t hash = 1; hash <= 1000; hash++) there += HasAny(hash);
  EXPECT_EQ(there, 24);
}

// Whatever comes in whatever order: what it gives is what was put, and no older.
TEST_F(ValueCacheTest, RandomValuesOfAllSizes) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    std::mt19937_64 random(seed);
    Make((1 + seed % 3) * kSetSize);
    std::vector<uint64_t> versions(300), sizes(300);
    const size_t largest = seed % 4 == 0 ? 600 : ValueCache::kLargestValue;
    int hits = 0;
    for (int i = 0; i < 20000; i++) {
      const size_t number = random() % 300;
      const uint64_t hash = number * 0x9E3779B97F4A7C15ull;
      std::string value;
      if (Get(cache_, hash, versions[number], &value)) {
        EXPECT_EQ(value, ValueOf(hash, versions[number], sizes[number]));
        hits++;
        continue;
      }
      if (versions[number] == 0 || random() % 4 == 0) {
        versions[number] += 1 + random() % 3;
        sizes[number] = 16 + random() % (largest - 16);
      }
      cache_.Put(hash, versions[number], ValueOf(hash, versions[number], sizes[number]));
    }
    EXPECT_GT(hits, 300);
  }
}

// No reader gets parts of two values.
TEST_F(ValueCacheTest, NoReaderGetsHalfAValue) {
  Make(4 * kSetSize);
  constexpr int kHashes = 64;
  constexpr int kReaders = 2, kHits = 20000;
  std::atomic<int> reading{kReaders};
  const auto value_of = [](uint64_t hash, uint64_t version) {
    return ValueOf(hash, version, hash * 37 % 5000);
  };
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; writer++) {
    threads.emplace_back([&, writer] {
      std::mt19937_64 random(writer);
      while (reading > 0) {
        const uint64_t hash = 1 + random() % kHashes, version = 1 + random() % 1000;
        cache_.Put(hash, version, value_of(hash, version));
      }
    });
  }
  for (int reader = 0; reader < kReaders; reader++) {
    threads.emplace_back([&, reader] {
      std::mt19937_64 random(100 + reader);
      std::string value;
      for (int hits = 0; hits < kHits;) {
        const uint64_t hash = 1 + random() % kHashes, version = random() % 1000;
        if (!Get(cache_, hash, version, &value)) continue;
        uint64_t got_hash, got_version;
        std::memcpy(&got_hash, value.data(), 8);
        std::memcpy(&got_version, value.data() + 8, 8);
        EXPECT_EQ(got_hash, hash);
        EXPECT_GE(got_version, version);
        EXPECT_EQ(value, value_of(got_hash, got_version));
        hits++;
      }
      reading--;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace omendb
