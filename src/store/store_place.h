// Where a data block of the store's SSTs begins, in one word that shared memory can hold. A hint:
// what lies there must say itself what it is.
#pragma once

#include <cstdint>

#include "base/pure.h"

namespace omendb {

class StorePlace {
 public:
  StorePlace() = default;  // nowhere
  explicit StorePlace(uint64_t word) : word_(word) {}
  // Nowhere if the word cannot hold them, or if the file is number 0.
  StorePlace(uint64_t file, uint64_t offset)
      : word_(file >> (64 - kOffsetBits) == 0 && offset >> kOffsetBits == 0 && file != 0
                  ? file << kOffsetBits | offset
                  : 0) {}
  explicit operator bool() const { return word_ != 0; }
  uint64_t word() const { return word_; }
  uint64_t file() const { return word_ >> kOffsetBits; }
  uint64_t offset() const { return word_ & ((uint64_t{1} << kOffsetBits) - 1); }

 private:
  static constexpr int kOffsetBits = 36;  // 64 GB
  uint64_t word_ = 0;
};

}  // namespace omendb
