// One entry of an index, as every room sees it.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>

#include "base/types.h"

namespace omendb {

// TIDs as numbers: block << 16 | offset number, 48 bits. Their order is PostgreSQL's.
using TidNumber = uint64_t;
inline constexpr size_t kTidSize = 6;

// Keys of one index are prefix-free: none is the beginning of another. So "key, then TID" as one
// byte string, an entry's *position*, has the order of (key, tid).
struct IndexEntry {
  Slice key;          // memcomparable bytes of the key columns
  TidNumber tid = 0;  // the row; orders entries of equal keys
  Slice payload;      // what the key does not tell of the indexed tuple (INCLUDE columns); no order
  bool removed = false;  // a tombstone: older entries of the same key and TID count no more
};

// Of what all keys of an index have in common, so much is remembered.
inline constexpr size_t kIndexPrefixRoom = 32;

inline constexpr size_t kMaxEntryPart = 8191;  // bytes of a key, and of a payload, at most

// The first eight bytes of a key, for comparing: where they differ they have the order of the keys.
inline uint64_t KeyHead(Slice key) {
  uint64_t head = 0;
  memcpy(&head, key.data(), key.size() < sizeof(head) ? key.size() : sizeof(head));
  return __builtin_bswap64(head);
}

inline int CompareEntries(Slice key, TidNumber tid, Slice other_key, TidNumber other_tid) {
  if (int order = key.compare(other_key); order != 0) return order;
  return tid < other_tid ? -1 : tid > other_tid;
}

// How many bytes two keys begin with in common.
inline size_t SharedBytes(Slice a, Slice b) {
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin()).first -
      a.begin());
}

// What all keys from first to last begin with, but so that a model is left the eight bytes behind
// it: of short ones the first byte at most. At most `most` bytes, which lie in `first`.
inline Slice CommonKeyPrefix(Slice first, Slice last, size_t most) {
  size_t end = std::min({first.size(), last.size(), most + 8});
  end = end > 8 ? end - 8 : std::min<size_t>(end, 1);
  return first.substr(0, std::min(end, SharedBytes(first, last)));
}

// Big-endian, at the end of a position.
inline void StoreTid(char* to, TidNumber tid) {
  for (int shift = 40; shift >= 0; shift -= 8) *to++ = static_cast<char>(tid >> shift);
}
inline void AppendTid(std::string* to, TidNumber tid) {
  char bytes[kTidSize];
  StoreTid(bytes, tid);
  to->append(bytes, kTidSize);
}
inline TidNumber LoadTid(const char* from) {
  TidNumber tid = 0;
  for (size_t i = 0; i < kTidSize; i++) tid = tid << 8 | static_cast<unsigned char>(from[i]);
  return tid;
}

}  // namespace omendb
