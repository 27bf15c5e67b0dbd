#include "am/index_regions.h"

#include <algorithm>

#include "key/memcomparable.h"

namespace omendb {
namespace {

bool IsEmpty(const RegionPool& pool, const Region& region) {
  return !region.high_unbounded && LowOf(pool, region) >= HighOf(pool, region);
}

// a's end lies before b's.
bool EndsBefore(const RegionPool& pool, const Region& a, const Region& b) {
  if (a.high_unbounded) return false;
  return b.high_unbounded || HighOf(pool, a) < HighOf(pool, b);
}

}  // namespace

void InitRegionPool(RegionPool* pool, MemoryContext context) {
  *pool = {};
  pool->context = context;
  initStringInfo(&pool->bytes);
  pool->capacity = 4;
  pool->regions = static_cast<Region*>(MemoryContextAlloc(context, 4 * sizeof(Region)));
}

void ResetRegionPool(RegionPool* pool) {
  resetStringInfo(&pool->bytes);
  pool->used = 0;
}

Piece AddBytes(RegionPool* pool, Slice bytes) {
  int start = pool->bytes.len;
  appendBinaryStringInfo(&pool->bytes, bytes.data(), static_cast<int>(bytes.size()));
  return PieceFrom(*pool, start);
}

Piece PieceFrom(const RegionPool& pool, int start) {
  return {static_cast<uint32>(start), static_cast<uint32>(pool.bytes.len - start)};
}

Piece AddPrefixEnd(RegionPool* pool, Piece piece) {
  int start = pool->bytes.len;
  enlargeStringInfo(&pool->bytes, static_cast<int>(piece.size));
  char* copy = pool->bytes.data + start;
  memcpy(copy, pool->bytes.data + piece.offset, piece.size);
  pool->bytes.len += static_cast<int>(MakePrefixEnd(copy, piece.size));
  return PieceFrom(*pool, start);
}

RegionList StartList(RegionPool* pool) { return {pool->used, 0}; }

void AddRegion(RegionPool* pool, RegionList* list, const Region& region) {
  if (IsEmpty(*pool, region)) return;
  if (pool->used == pool->capacity) {
    pool->capacity *= 2;
    pool->regions = static_cast<Region*>(
        repalloc_huge(pool->regions, sizeof(Region) * static_cast<Size>(pool->capacity)));
  }
  pool->regions[pool->used++] = region;
  list->count++;
}

void FinishList(RegionPool* pool, RegionList* list) {
  Region* begin = pool->regions + list->first;
  Region* end = begin + list->count;
  if (list->count < 2) return;
  std::sort(begin, end,
            [&](const Region& a, const Region& b) { return LowOf(*pool, a) < LowOf(*pool, b); });
  Region* last = begin;
  for (Region* next = begin + 1; next != end; next++) {
    if (last->high_unbounded || LowOf(*pool, *next) < HighOf(*pool, *last)) {
      bool same = last->point && next->point;  // two points that overlap are one value
      if (EndsBefore(*pool, *last, *next)) {
        last->high = next->high;
        last->high_unbounded = next->high_unbounded;
      }
      last->point = same;
    } else {
      *++last = *next;
    }
  }
  list->count = static_cast<int>(last + 1 - begin);
  pool->used = list->first + list->count;
}

RegionList Intersect(RegionPool* pool, RegionList left, RegionList right) {
  if (left.count == 1 && IsUnrestricted(pool->regions[left.first])) return right;
  if (right.count == 1 && IsUnrestricted(pool->regions[right.first])) return left;
  RegionList both = StartList(pool);
  for (int i = 0, j = 0; i < left.count && j < right.count;) {
    // Copies: the pool may move.
    Region a = pool->regions[left.first + i];
    Region b = pool->regions[right.first + j];
    Region region = a;
    if (LowOf(*pool, a) < LowOf(*pool, b)) region.low = b.low;
    bool a_ends_first = EndsBefore(*pool, a, b);
    if (!a_ends_first) {
      region.high = b.high;
      region.high_unbounded = b.high_unbounded;
    }
    // No condition cuts a value in two, so what meets a point is that point.
    region.point = a.point || b.point;
    AddRegion(pool, &both, region);
    if (a_ends_first) {
      i++;
    } else {
      j++;
    }
  }
  return both;
}

bool ListContains(const RegionPool& pool, RegionList list, Slice bytes) {
  const Region* begin = pool.regions + list.first;
  const Region* end = begin + list.count;
  const Region* after = std::upper_bound(begin, end, bytes, [&](Slice value, const Region& region) {
    return value < LowOf(pool, region);
  });
  if (after == begin) return false;
  const Region& region = after[-1];
  return region.high_unbounded || bytes < HighOf(pool, region);
}

bool OnlyPoints(const RegionPool& pool, RegionList list) {
  for (int i = 0; i < list.count; i++) {
    if (!pool.regions[list.first + i].point) return false;
  }
  return true;
}

}  // namespace omendb
