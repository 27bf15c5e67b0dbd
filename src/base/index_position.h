// Positions: an entry's key, then its TID in 6 bytes big-endian. As byte strings they have the
// order of the entries (index_entry.h).
#pragma once

#include <algorithm>
#include <string>

#include "base/index_entry.h"
#include "base/types.h"

namespace omendb {

inline std::string Position(Slice key, TidNumber tid) {
  std::string position(key);
  AppendTid(&position, tid);
  return position;
}

// False if it is none. *key lies in `position`.
[[nodiscard]] inline bool SplitPosition(Slice position, Slice* key, TidNumber* tid) {
  if (position.size() <= kTidSize) return false;
  *key = position.substr(0, position.size() - kTidSize);
  *tid = LoadTid(position.data() + key->size());
  return true;
}

// Orders (key, tid) against any bytes as if it were its position.
inline int ComparePosition(Slice key, TidNumber tid, Slice position) {
  const size_t shared = std::min(key.size(), position.size());
  if (int order = key.substr(0, shared).compare(position.substr(0, shared)); order != 0) {
    return order;
  }
  if (position.size() <= key.size()) return 1;  // the TID is left over
  char bytes[kTidSize];
  for (size_t i = 0; i < kTidSize; i++) bytes[i] = static_cast<char>(tid >> (40 - 8 * i));
  return Slice(bytes, kTidSize).compare(position.substr(shared));
}

}  // namespace omendb
