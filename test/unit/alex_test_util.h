// Memory and keys for tests of the learned index.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "alex/alex_map.h"

namespace omendb {

// A bump arena on the heap that counts; what is retired is overwritten if nobody can be inside, so
// that whoever still uses it is found.
class TestMemory {
 public:
  struct Block {
    explicit Block(size_t size) : capacity(size), bytes(static_cast<char*>(std::malloc(size))) {}
    ~Block() { std::free(bytes); }
    size_t capacity;
    size_t used = 64;
    size_t retired = 0;
    bool overwrite = true;
    char* bytes;
  };

  explicit TestMemory(Block* block) : block_(block) {}
  char* base() const { return block_->bytes; }
  uint32_t Allocate(size_t bytes) {
    bytes = (bytes + 7) & ~size_t{7};
    if (block_->capacity - block_->used < bytes) return 0;
    size_t offset = block_->used;
    block_->used += bytes;
    std::memset(block_->bytes + offset, 0xA5, bytes);
    return static_cast<uint32_t>(offset / 8);
  }
  void Retire(uint32_t offset, size_t bytes) {
    block_->retired += bytes;
    if (block_->overwrite) std::memset(block_->bytes + uint64_t{offset} * 8, 0xA5, bytes);
  }

 private:
  Block* block_;
};

using TestMap = AlexMap<TestMemory>;

inline std::string BigEndian(uint64_t number) {
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key;
}

// Leaves whose model does not pay are much smaller than others.
inline constexpr AlexOptions kSlowOptions = {
    .leaf_cap = 4096, .node_cap = 512, .plain_cap = 2048, .slow_cap = 300};
inline constexpr AlexOptions kTinyOptions = {
    .leaf_cap = 512, .node_cap = 256, .plain_cap = 300, .fill_percent = 60};

}  // namespace omendb
