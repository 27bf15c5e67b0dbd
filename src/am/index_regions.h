// Sets of byte strings as regions [low, high), and lists of them.
//
// The bytes stand in a pool and regions name them by offset, so that the pool may grow. Lists are
// ascending and disjoint; they, too, stand in the pool.
#pragma once

#include "base/types.h"
#include "pg/server.h"

extern "C" {
#include "lib/stringinfo.h"
}

namespace omendb {

struct Piece {
  uint32 offset;
  uint32 size;
};

struct Region {
  Piece low;
  Piece high;
  bool high_unbounded;
  bool point;  // low is one whole value and high the end of what starts with it
};

struct RegionList {
  int first;  // in the pool
  int count;
};

struct RegionPool {
  StringInfoData bytes;
  Region* regions;
  int used;
  int capacity;
  MemoryContext context;
};

void InitRegionPool(RegionPool* pool, MemoryContext context);
void ResetRegionPool(RegionPool* pool);

inline Slice BytesOf(const RegionPool& pool, Piece piece) {
  return Slice(pool.bytes.data + piece.offset, piece.size);
}
inline Slice LowOf(const RegionPool& pool, const Region& region) {
  return BytesOf(pool, region.low);
}
inline Slice HighOf(const RegionPool& pool, const Region& region) {
  return BytesOf(pool, region.high);
}

// Everything.
inline constexpr Region kUnrestricted = {{0, 0}, {0, 0}, true, false};
inline bool IsUnrestricted(const Region& region) {
  return region.high_unbounded && region.low.size == 0;
}

Piece AddBytes(RegionPool* pool, Slice bytes);
// What is in the pool's bytes from `start` on, as a piece.
Piece PieceFrom(const RegionPool& pool, int start);
// The end of all strings that start with the piece.
Piece AddPrefixEnd(RegionPool* pool, Piece piece);

// Lists are made one at a time: Start, Add…, then Finish sorts and merges.
RegionList StartList(RegionPool* pool);
// An empty region is left out.
void AddRegion(RegionPool* pool, RegionList* list, const Region& region);
void FinishList(RegionPool* pool, RegionList* list);

RegionList Intersect(RegionPool* pool, RegionList left, RegionList right);
bool ListContains(const RegionPool& pool, RegionList list, Slice bytes);
bool OnlyPoints(const RegionPool& pool, RegionList list);

}  // namespace omendb
