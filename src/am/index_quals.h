// The scan keys of an index scan as ranges of key bytes and filters.
//
// All conditions on one column together are a list of regions of that column's bytes, marker
// included (index_regions.h). The leading columns that have only single values, and the first
// column that has not, give the ranges of the whole key: one for each combination. What is left are
// filters on the bytes of an entry. Nothing is decoded.
//
//   IndexQuals* quals = PrepareIndexQuals(codec, index, keys, n);
//   while (NextIndexRange(quals, backward, &range))
//     for each entry with range.low <= key < range.high:
//       if (EntryMatches(quals, key)) …return it, recheck = quals->recheck
#pragma once

#include "am/index_regions.h"
#include "base/types.h"
#include "pg/index_codec.h"

extern "C" {
#include "access/skey.h"
}

namespace omendb {

// Keys with low <= key < high in the order of the index. An empty low is unbounded.
struct IndexRange {
  Slice low;
  Slice high;
  bool high_unbounded;
};

// One column of a row comparison: what its value compares with.
struct RowMember {
  int column;
  int strategy;  // btree's, as SQL says it: DESC is not yet considered
  bool isnull;   // the argument
  bool lossy;    // a column within `equal` may be less, equal or greater
  Region equal;  // of the column's bytes
};

// (a, b, …) < (x, y, …): members [first, first + count).
struct RowQual {
  int first;
  int count;
};

// Belongs to one scan. Lives in the context that was current at PrepareIndexQuals.
struct IndexQuals {
  const IndexCodec* codec;
  bool recheck;         // entries that match may not satisfy the conditions: xs_recheck
  bool filters;         // EntryMatches has something to test
  bool started;         // false: the next range is the first one in the direction asked for
  int64 range_count;    // ranges of the whole scan; 0 if nothing can match
  int64 position;       // of the range last given: -1 before the first, range_count after the last
  int last_column;      // the ranges are made of columns 0 .. last_column
  RegionList last;      // regions of that column, narrowed by row comparisons
  int filter_columns;   // columns that EntryMatches has to look at
  RegionList* columns;  // of each key column
  RowQual* rows;
  int row_count;
  RowMember* members;
  int member_count;
  int member_capacity;  // of members and of rows
  RegionPool pool;
  StringInfoData low;
  StringInfoData high;
  MemoryContext context;  // where all of this is
  MemoryContext scratch;  // for arrays and toasted arguments; nullptr until needed
};

// ERROR if an argument cannot be encoded. keys may go away afterwards.
IndexQuals* PrepareIndexQuals(const IndexCodec* codec, Relation index, ScanKey keys, int n);
// The same with other arguments (amrescan), reusing the memory; starts from the beginning.
void RescanIndexQuals(IndexQuals* quals, Relation index, ScanKey keys, int n);

// The next range, ascending or with backward descending; the ranges are disjoint. The slices are
// valid until the next call. The direction may change at any time: forward after backward gives
// the range behind the one last given.
bool NextIndexRange(IndexQuals* quals, bool backward, IndexRange* range);
// Starts from the beginning (or from the end, when asked backward).
void ResetIndexRanges(IndexQuals* quals);

// Where NextIndexRange stands, for ammarkpos and amrestrpos.
struct IndexRangeMark {
  int64 position;
  bool started;
};
IndexRangeMark MarkIndexRange(const IndexQuals* quals);
// Gives the range at the mark again, if there is one.
bool RestoreIndexRange(IndexQuals* quals, IndexRangeMark mark, IndexRange* range);

// Whether an entry in the current range satisfies what the range does not say. The key may be
// followed by other bytes (a TID). ERROR index_corrupted for a key that is none.
bool TestIndexFilters(const IndexQuals* quals, Slice key);
inline bool EntryMatches(const IndexQuals* quals, Slice key) {
  return !quals->filters || TestIndexFilters(quals, key);
}

}  // namespace omendb
