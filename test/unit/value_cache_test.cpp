// The cache of values that processes share.
#include "cache/value_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kSetSize = 64 + 8 * ValueCache::kPlaceSize;

class ValueCacheTest : public testing::Test {
 protected:
  void Make(size_t size) {
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
    std::fill(memory_.get(), memory_.get() + size, 0);
    cache_ = ValueCache::Attach(memory_.get(), size);
  }
  bool Has(uint64_t hash, uint64_t version, const std::string& want) {
    std::string value;
    return cache_.Get(hash, version, &value) && value == want;
  }
  bool HasAny(uint64_t hash) {
    std::string value;
    return cache_.Get(hash, 0, &value);
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

TEST_F(ValueCacheTest, KeepsNothingWithoutRoom) {
  ValueCache().Put(1, 1, "a");
  EXPECT_FALSE(HasAny(1));
  Make(kSetSize - 1);
  EXPECT_EQ(cache_.places(), 0u);
  cache_.Put(1, 1, "a");
  EXPECT_FALSE(HasAny(1));
}

TEST_F(ValueCacheTest, GivesValuesOfAllSizesBack) {
  Make(100 * kSetSize);
  EXPECT_EQ(cache_.places(), 800u);
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
  for (uint64_t hash = 1; hash <= 4; hash++) cache_.Put(hash, 1, std::to_string(hash));
  for (uint64_t other = 100; other < 1100; other++) {
    for (uint64_t hash = 1; hash <= 4; hash++) EXPECT_TRUE(Has(hash, 1, std::to_string(hash)));
    cache_.Put(other, 1, "once");
  }
  // All are used: the bits are cleared and somebody has to go.
  for (uint64_t other = 5000; other < 5100; other++) PutUntilTaken(other, "often");
}

TEST_F(ValueCacheTest, AFullSetTakesOneValueInFour) {
  Make(kSetSize);
  for (uint64_t hash = 1; hash <= 8; hash++) {
    cache_.Put(hash, 1, "first");
    EXPECT_TRUE(HasAny(hash));
  }
  int taken = 0;
  for (uint64_t hash = 100; hash < 1100; hash++) {
    cache_.Put(hash, 1, "other");
    std::string value;
    taken += cache_.Get(hash, 1, &value);
  }
  EXPECT_NEAR(taken, 250, 1);
  // A new version of what it has it takes at once.
  PutUntilTaken(1, "first");
  cache_.Put(1, 2, "second");
  EXPECT_TRUE(Has(1, 2, "second"));
}

// Values say who they are: no reader gets parts of two.
TEST_F(ValueCacheTest, NoReaderGetsHalfAValue) {
  Make(4 * kSetSize);
  constexpr int kHashes = 64;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits{0};
  const auto value_of = [](uint64_t hash, uint64_t version) {
    std::string value(hash * 37 % 5000 + 16, static_cast<char>('a' + (hash + version) % 26));
    std::memcpy(value.data(), &hash, 8);
    std::memcpy(value.data() + 8, &version, 8);
    return value;
  };
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; writer++) {
    threads.emplace_back([&, writer] {
      std::mt19937_64 random(writer);
      for (int i = 0; i < 100000; i++) {
        const uint64_t hash = 1 + random() % kHashes, version = 1 + random() % 1000;
        cache_.Put(hash, version, value_of(hash, version));
      }
      stop = true;
    });
  }
  for (int reader = 0; reader < 2; reader++) {
    threads.emplace_back([&, reader] {
      std::mt19937_64 random(100 + reader);
      std::string value;
      while (!stop) {
        const uint64_t hash = 1 + random() % kHashes, version = random() % 1000;
        if (!cache_.Get(hash, version, &value)) continue;
        uint64_t got_hash, got_version;
        std::memcpy(&got_hash, value.data(), 8);
        std::memcpy(&got_version, value.data() + 8, 8);
        EXPECT_EQ(got_hash, hash);
        EXPECT_GE(got_version, version);
        EXPECT_EQ(value, value_of(got_hash, got_version));
        hits++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(hits.load(), 1000u);
}

}  // namespace
}  // namespace omendb
