// Keys of the `keys` family.
//
//   storage: uint64 big-endian
//   low:     the leaf's low position: an entry's key, then its TID in 6 bytes big-endian. Empty for
//            an index's first leaf, whose low bound is minus infinity.
#pragma once

#include <string>

#include "base/coding.h"
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
  *storage = LoadBigEndian64(key.data());
  *low = key.substr(kLeafKeyPrefix);
  return true;
}

}  // namespace omendb
