// Keys of the `keys` family.
//
//   storage: uint64 big-endian
//   low:     the leaf's low position: an entry's key, then its TID in 6 bytes big-endian. Empty for
//            an index's first leaf, whose low bound is minus infinity.
#pragma once

#include <string>

#include "base/coding.h"
#include "base/index_entry.h"
#include "base/types.h"

namespace omendb {

inline constexpr size_t kLeafKeyPrefix = 8;

// The same in a buffer that keeps its memory.
inline void SetLeafKey(std::string* key, StorageId storage, Slice low) {
  key->clear();
  AppendBigEndian64(key, storage);
  key->append(low);
}

inline std::string LeafKey(StorageId storage, Slice low) {
  std::string key;
  SetLeafKey(&key, storage, low);
  return key;
}

// *low lies in `key`.
[[nodiscard]] inline bool ParseLeafKey(Slice key, StorageId* storage, Slice* low) {
  if (key.size() < kLeafKeyPrefix) return false;
  *storage = __builtin_bswap64(LoadFixed<uint64_t>(key.data()));
  *low = key.substr(kLeafKeyPrefix);
  return true;
}

inline std::string Position(Slice key, TidNumber tid) {
  std::string position(key);
  AppendTid(&position, tid);
  return position;
}

// Orders (key, tid) against a position, or against any bytes, as if it were one byte string.
inline int ComparePosition(Slice key, TidNumber tid, Slice position) {
  if (position.size() <= key.size()) {
    if (int order = key.substr(0, position.size()).compare(position); order != 0) return order;
    return 1;  // the TID is left over
  }
  if (int order = key.compare(position.substr(0, key.size())); order != 0) return order;
  char bytes[kTidSize];
  for (size_t i = 0; i < kTidSize; i++) bytes[i] = static_cast<char>(tid >> (40 - 8 * i));
  return Slice(bytes, kTidSize).compare(position.substr(key.size()));
}

}  // namespace omendb
