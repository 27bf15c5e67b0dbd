#include "alex/alex_arena.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kSize = 1 << 20;

class AlexArenaTest : public ::testing::Test {
 protected:
  // As many as there is room for.
  std::vector<uint32_t> Fill(size_t bytes) {
    std::vector<uint32_t> blocks;
    while (uint32_t block = arena_.Allocate(bytes)) blocks.push_back(block);
    return blocks;
  }
  void RetireAll(const std::vector<uint32_t>& blocks, size_t bytes) {
    for (uint32_t block : blocks) arena_.Retire(block, bytes);
  }

  std::unique_ptr<char, decltype(&std::free)> memory_{
      static_cast<char*>(std::aligned_alloc(64, kSize)), std::free};
  AlexArena arena_ = AlexArena::Format(memory_.get(), kSize);
};

TEST_F(AlexArenaTest, FreeBlocksServeOtherSizes) {
  arena_.Retire(arena_.Allocate(64), 64);  // its queue has to lie somewhere
  const std::vector<uint32_t> large = Fill(5000);
  EXPECT_GT(large.size(), 170u);
  // All but some, which stay as they are.
  RetireAll({large.begin() + 10, large.end()}, 5000);
  for (size_t i = 0; i < 10; i++) std::memset(arena_.base() + size_t{large[i]} * 8, 'l', 5000);
  for (size_t bytes : {600, 72, 2000, 5000, 100}) {
    const std::vector<uint32_t> small = Fill(bytes);
    EXPECT_GT(small.size() * bytes, (large.size() - 10) * 5000 / 10 * 8);
    for (uint32_t block : small) std::memset(arena_.base() + size_t{block} * 8, 's', bytes);
    RetireAll(small, bytes);
  }
  for (size_t i = 0; i < 10; i++) {
    EXPECT_EQ(std::string(arena_.base() + size_t{large[i]} * 8, 5000), std::string(5000, 'l'));
  }
}

TEST_F(AlexArenaTest, WhatIsToBeKeptIsNotTakenFromLargerBlocks) {
  arena_.Retire(arena_.Allocate(64), 64);
  RetireAll(Fill(5000), 5000);
  while (arena_.Allocate(72, kSize / 16) != 0) continue;
  EXPECT_GT(Fill(5000).size(), 170u);
}

// Blocks of all sizes come and go while there is too little room; none lies in another one.
TEST_F(AlexArenaTest, BlocksNeverOverlap) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    arena_ = AlexArena::Format(memory_.get(), kSize / 3);
    std::mt19937_64 random(seed);
    std::map<size_t, size_t> taken;  // first byte -> bytes
    size_t refused = 0;
    for (int i = 0; i < 20000; i++) {
      const bool grows = i / 1000 % 2 == 0 ? random() % 3 != 0 : random() % 3 == 0;
      if (grows || taken.empty()) {
        const size_t most = size_t{16} << random() % 11;
        const size_t bytes = 1 + random() % most;
        const size_t first = size_t{arena_.Allocate(bytes)} * 8;
        if (first == 0) {
          refused++;
          continue;
        }
        ASSERT_LE(first + bytes, kSize / 3);
        if (bytes >= 128) {
          ASSERT_EQ(first % 64, 0u) << bytes;
        }
        auto behind = taken.lower_bound(first);
        if (behind != taken.end()) {
          ASSERT_GE(behind->first, first + bytes) << seed << ", " << i;
        }
        if (behind != taken.begin()) {
          --behind;
          ASSERT_LE(behind->first + behind->second, first) << seed << ", " << i;
        }
        taken[first] = bytes;
        std::memset(memory_.get() + first, static_cast<char>(first), bytes);
      } else {
        auto gone = taken.lower_bound(random() % (kSize / 3));
        if (gone == taken.end()) gone = taken.begin();
        // Nobody wrote to it.
        for (size_t at = 0; at < gone->second; at++) {
          ASSERT_EQ(memory_.get()[gone->first + at], static_cast<char>(gone->first));
        }
        arena_.Retire(static_cast<uint32_t>(gone->first / 8), gone->second);
        taken.erase(gone);
      }
    }
    EXPECT_GT(refused, 100u);
  }
}

}  // namespace
}  // namespace omendb
