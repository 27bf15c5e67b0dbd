// Keys of the `rows` family.
//
//   storage:    uint64 big-endian
//   block:      uint32 big-endian
//   first slot: uint8       0 today; room for blocks stored in several chunks
#pragma once

#include <string>

#include "base/coding.h"
#include "base/types.h"

namespace omendb {

inline constexpr size_t kBlockKeySize = 13;

inline std::string BlockKey(StorageId storage, BlockNo block) {
  std::string key;
  AppendBigEndian64(&key, storage);
  AppendBigEndian32(&key, block);
  key.push_back(0);
  return key;
}

[[nodiscard]] inline bool ParseBlockKey(Slice key, StorageId* storage, BlockNo* block) {
  if (key.size() != kBlockKeySize) return false;
  *storage = LoadBigEndian64(key.data());
  *block = LoadBigEndian32(key.data() + 8);
  return true;
}

}  // namespace omendb
