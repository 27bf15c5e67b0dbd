#include "am/index_quals.h"

#include "am/index_arguments.h"
#include "pg/string_info.h"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// More combinations than this are not enumerated: the columns behind become filters. Times the
// length of any array it is still an int64.
constexpr int64 kMaxRanges = int64{1} << 31;

bool NeedsScratch(const IndexColumn& column, Datum argument) {
  if (column.kind < KeyKind::kInet && column.kind != KeyKind::kNumeric) return false;
  if (column.kind == KeyKind::kName) return true;
  void* pointer = DatumGetPointer(argument);
  return VARATT_IS_EXTERNAL(pointer) || VARATT_IS_COMPRESSED(pointer);
}

MemoryContext ScratchOf(IndexQuals* quals) {
  if (quals->scratch == nullptr) {
    quals->scratch = AllocSetContextCreate(quals->context, "alex scan keys", ALLOCSET_SMALL_SIZES);
  }
  return quals->scratch;
}

EncodedArgument Encode(IndexQuals* quals, int column, Oid subtype, Datum argument) {
  if (!NeedsScratch(quals->codec->columns[column], argument)) {
    return EncodeArgument(quals->codec, column, subtype, argument, &quals->pool);
  }
  MemoryContext caller = MemoryContextSwitchTo(ScratchOf(quals));
  EncodedArgument result = EncodeArgument(quals->codec, column, subtype, argument, &quals->pool);
  MemoryContextSwitchTo(caller);
  return result;
}

void Restrict(IndexQuals* quals, int column, RegionList list) {
  quals->columns[column] = Intersect(&quals->pool, quals->columns[column], list);
}

void RestrictTo(IndexQuals* quals, int column, const Region& region) {
  RegionList list = StartList(&quals->pool);
  AddRegion(&quals->pool, &list, region);
  Restrict(quals, column, list);
}

void RestrictToNothing(IndexQuals* quals, int column) { quals->columns[column].count = 0; }

void AddArray(IndexQuals* quals, const ScanKeyData& key) {
  MemoryContext caller = MemoryContextSwitchTo(ScratchOf(quals));
  ArrayType* array = DatumGetArrayTypeP(key.sk_argument);
  int16 length;
  bool by_value;
  char align;
  get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
  Datum* values;
  bool* nulls;
  int count;
  deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align, &values, &nulls, &count);
  int column = key.sk_attno - 1;
  RegionList list = StartList(&quals->pool);
  for (int i = 0; i < count; i++) {
    if (nulls[i]) continue;
    EncodedArgument argument =
        EncodeArgument(quals->codec, column, key.sk_subtype, values[i], &quals->pool);
    quals->recheck |= argument.lossy;
    AddRegion(&quals->pool, &list,
              RegionOf(quals->codec, column, key.sk_strategy, argument, &quals->pool));
  }
  FinishList(&quals->pool, &list);
  MemoryContextSwitchTo(caller);
  Restrict(quals, column, list);
}

StrategyNumber WithEquality(StrategyNumber strategy) {
  if (strategy == BTLessStrategyNumber) return BTLessEqualStrategyNumber;
  return strategy == BTGreaterStrategyNumber ? BTGreaterEqualStrategyNumber : strategy;
}

void AddRow(IndexQuals* quals, const ScanKeyData& header) {
  auto* key = reinterpret_cast<ScanKey>(DatumGetPointer(header.sk_argument));
  int first_column = key->sk_attno - 1;
  if (key->sk_flags & SK_ISNULL) {
    RestrictToNothing(quals, first_column);
    return;
  }
  RowQual* row = &quals->rows[quals->row_count++];
  *row = {quals->member_count, 0};
  for (;; key++) {
    RowMember* member = &quals->members[quals->member_count++];
    *member = {};
    member->column = key->sk_attno - 1;
    member->strategy = key->sk_strategy;
    member->isnull = (key->sk_flags & SK_ISNULL) != 0;
    if (!member->isnull) {
      EncodedArgument argument = Encode(quals, member->column, key->sk_subtype, key->sk_argument);
      member->equal = argument.equal;
      member->lossy = argument.lossy;
      quals->recheck |= argument.lossy;
    }
    row->count++;
    if (key->sk_flags & SK_ROW_END) break;
  }
  const RowMember& first = quals->members[row->first];
  StrategyNumber strategy = row->count > 1 ? WithEquality(first.strategy) : first.strategy;
  RestrictTo(
      quals, first_column,
      RegionOf(quals->codec, first_column, strategy, {first.equal, first.lossy}, &quals->pool));
}

void AddKey(IndexQuals* quals, const ScanKeyData& key) {
  int column = key.sk_attno - 1;
  if (key.sk_flags & SK_ROW_HEADER) {
    AddRow(quals, key);
  } else if (key.sk_flags & SK_SEARCHNULL) {
    RestrictTo(quals, column, NullRegion(quals->codec, column, &quals->pool));
  } else if (key.sk_flags & SK_SEARCHNOTNULL) {
    RestrictTo(quals, column, NotNullRegion(&quals->pool));
  } else if (key.sk_flags & SK_ISNULL) {
    // Every operator is taken to be strict, as btree does.
    RestrictToNothing(quals, column);
  } else if (key.sk_flags & SK_SEARCHARRAY) {
    AddArray(quals, key);
  } else {
    EncodedArgument argument = Encode(quals, column, key.sk_subtype, key.sk_argument);
    quals->recheck |= argument.lossy;
    RestrictTo(quals, column,
               RegionOf(quals->codec, column, key.sk_strategy, argument, &quals->pool));
  }
}

bool IsRestricted(const IndexQuals* quals, int column) {
  RegionList list = quals->columns[column];
  return list.count != 1 || !IsUnrestricted(quals->pool.regions[list.first]);
}

// Chooses last_column: the leading columns of single values, and the one behind if it is
// restricted.
void ChooseColumns(IndexQuals* quals) {
  int column = 0;
  int64 combinations = 1;
  while (column + 1 < quals->codec->key_count && IsRestricted(quals, column + 1) &&
         OnlyPoints(quals->pool, quals->columns[column])) {
    combinations *= quals->columns[column].count;
    if (combinations * quals->columns[column + 1].count > kMaxRanges) break;
    column++;
  }
  quals->last_column = column;
  quals->last = quals->columns[column];
}

// How far a row comparison names the index's columns from last_column on in their order, each
// exactly and in the same direction: so far it is a bound of the key's bytes.
int LeadingMembers(const IndexQuals* quals, const RowQual& row) {
  const RowMember* members = quals->members + row.first;
  const IndexColumn* columns = quals->codec->columns;
  int count = 0;
  for (; count < row.count; count++) {
    const RowMember& member = members[count];
    if (member.isnull || !member.equal.point || member.column != quals->last_column + count ||
        columns[member.column].descending != columns[quals->last_column].descending) {
      break;
    }
  }
  return count;
}

void NarrowByRow(IndexQuals* quals, const RowQual& row) {
  int leading = LeadingMembers(quals, row);
  if (leading < 2) return;
  RegionPool* pool = &quals->pool;
  int start = pool->bytes.len;
  for (int i = 0; i < leading; i++) {
    Piece piece = quals->members[row.first + i].equal.low;
    enlargeStringInfo(&pool->bytes, static_cast<int>(piece.size));
    appendBinaryStringInfo(&pool->bytes, pool->bytes.data + piece.offset,
                           static_cast<int>(piece.size));
  }
  Piece value = PieceFrom(*pool, start);
  EncodedArgument argument = {{value, AddPrefixEnd(pool, value), false, true}, false};
  StrategyNumber strategy = quals->members[row.first].strategy;
  if (leading < row.count) strategy = WithEquality(strategy);
  RegionList list = StartList(pool);
  AddRegion(pool, &list, RegionOf(quals->codec, quals->last_column, strategy, argument, pool));
  quals->last = Intersect(pool, quals->last, list);
}

void ChooseFilters(IndexQuals* quals) {
  quals->filter_columns = 0;
  for (int i = quals->last_column + 1; i < quals->codec->key_count; i++) {
    if (IsRestricted(quals, i)) quals->filter_columns = i + 1;
  }
  for (int i = 0; i < quals->member_count; i++) {
    int columns = quals->members[i].column + 1;
    if (columns > quals->filter_columns) quals->filter_columns = columns;
  }
  quals->filters = quals->filter_columns > 0;
}

void CountRanges(IndexQuals* quals) {
  quals->range_count = quals->last.count;
  for (int i = 0; i < quals->last_column; i++) quals->range_count *= quals->columns[i].count;
  // A condition that nothing satisfies may be one that is only filtered by.
  for (int i = 0; i < quals->codec->key_count; i++) {
    if (quals->columns[i].count == 0) quals->range_count = 0;
  }
}

void ReserveMembers(IndexQuals* quals, ScanKey keys, int n) {
  int members = 0;
  for (int i = 0; i < n; i++) {
    if (!(keys[i].sk_flags & SK_ROW_HEADER)) continue;
    auto* key = reinterpret_cast<ScanKey>(DatumGetPointer(keys[i].sk_argument));
    for (members++; !(key->sk_flags & SK_ROW_END); key++) members++;
  }
  if (members <= quals->member_capacity) return;
  if (quals->members != nullptr) pfree(quals->members);
  if (quals->rows != nullptr) pfree(quals->rows);
  quals->members =
      static_cast<RowMember*>(MemoryContextAlloc(quals->context, members * sizeof(RowMember)));
  quals->rows =
      static_cast<RowQual*>(MemoryContextAlloc(quals->context, members * sizeof(RowQual)));
  quals->member_capacity = members;
}

void GiveRange(IndexQuals* quals, IndexRange* range) {
  const RegionPool& pool = quals->pool;
  int64 position = quals->position;
  const Region& last = pool.regions[quals->last.first + position % quals->last.count];
  position /= quals->last.count;
  if (quals->last_column == 0) {
    *range = {LowOf(pool, last), HighOf(pool, last), last.high_unbounded};
    return;
  }
  // The first column varies slowest.
  int64 combinations = 1;
  for (int i = 0; i < quals->last_column; i++) combinations *= quals->columns[i].count;
  resetStringInfo(&quals->low);
  for (int i = 0; i < quals->last_column; i++) {
    combinations /= quals->columns[i].count;
    int64 digit = position / combinations;
    position %= combinations;
    Slice bytes = LowOf(pool, pool.regions[quals->columns[i].first + digit]);
    appendBinaryStringInfo(&quals->low, bytes.data(), static_cast<int>(bytes.size()));
  }
  resetStringInfo(&quals->high);
  appendBinaryStringInfo(&quals->high, quals->low.data, quals->low.len);
  Slice low = LowOf(pool, last), high = HighOf(pool, last);
  appendBinaryStringInfo(&quals->low, low.data(), static_cast<int>(low.size()));
  appendBinaryStringInfo(&quals->high, high.data(), static_cast<int>(high.size()));
  *range = {SliceOf(quals->low), SliceOf(quals->high), last.high_unbounded};
}

// The order of the row of an entry, whose columns are given, and the arguments decides.
bool RowMatches(const IndexQuals* quals, const RowQual& row, const Slice* columns) {
  for (int i = 0; i < row.count; i++) {
    const RowMember& member = quals->members[row.first + i];
    Slice value = columns[member.column];
    // Nothing compares with NULL; later members are not reached if an earlier one decides.
    if (member.isnull || value[0] != kNotNullMarker) return false;
    int order = value < LowOf(quals->pool, member.equal)     ? -1
                : value >= HighOf(quals->pool, member.equal) ? 1
                                                             : 0;
    if (order == 0 && member.lossy) return true;  // rechecked
    if (quals->codec->columns[member.column].descending) order = -order;
    bool less = member.strategy <= BTLessEqualStrategyNumber;
    if (order != 0) return less == (order < 0);
  }
  StrategyNumber strategy = quals->members[row.first + row.count - 1].strategy;
  return strategy == BTLessEqualStrategyNumber || strategy == BTGreaterEqualStrategyNumber;
}

}  // namespace

IndexQuals* PrepareIndexQuals(const IndexCodec* codec, Relation index, ScanKey keys, int n) {
  auto* quals = static_cast<IndexQuals*>(palloc0(sizeof(IndexQuals)));
  quals->codec = codec;
  quals->context = CurrentMemoryContext;
  quals->columns = static_cast<RegionList*>(palloc(codec->key_count * sizeof(RegionList)));
  InitRegionPool(&quals->pool, CurrentMemoryContext);
  initStringInfo(&quals->low);
  initStringInfo(&quals->high);
  RescanIndexQuals(quals, index, keys, n);
  return quals;
}

void RescanIndexQuals(IndexQuals* quals, Relation index PG_USED_FOR_ASSERTS_ONLY, ScanKey keys,
                      int n) {
  Assert(IndexRelationGetNumberOfKeyAttributes(index) == quals->codec->key_count);
  if (quals->scratch != nullptr) MemoryContextReset(quals->scratch);
  ResetRegionPool(&quals->pool);
  quals->recheck = false;
  quals->row_count = quals->member_count = 0;
  ReserveMembers(quals, keys, n);
  RegionList everything = StartList(&quals->pool);
  AddRegion(&quals->pool, &everything, kUnrestricted);
  for (int i = 0; i < quals->codec->key_count; i++) quals->columns[i] = everything;
  for (int i = 0; i < n; i++) AddKey(quals, keys[i]);
  ChooseColumns(quals);
  for (int i = 0; i < quals->row_count; i++) NarrowByRow(quals, quals->rows[i]);
  ChooseFilters(quals);
  CountRanges(quals);
  ResetIndexRanges(quals);
}

void ResetIndexRanges(IndexQuals* quals) {
  quals->started = false;
  quals->position = -1;
}

bool NextIndexRange(IndexQuals* quals, bool backward, IndexRange* range) {
  if (!quals->started) {
    quals->started = true;
    quals->position = backward ? quals->range_count : -1;
  }
  if (backward) {
    if (quals->position >= 0) quals->position--;
  } else {
    if (quals->position < quals->range_count) quals->position++;
  }
  if (quals->position < 0 || quals->position >= quals->range_count) return false;
  GiveRange(quals, range);
  return true;
}

IndexRangeMark MarkIndexRange(const IndexQuals* quals) { return {quals->position, quals->started}; }

bool RestoreIndexRange(IndexQuals* quals, IndexRangeMark mark, IndexRange* range) {
  quals->position = mark.position;
  quals->started = mark.started;
  if (!mark.started || mark.position < 0 || mark.position >= quals->range_count) return false;
  GiveRange(quals, range);
  return true;
}

bool TestIndexFilters(const IndexQuals* quals, Slice key) {
  Slice columns[INDEX_MAX_KEYS];
  for (int i = 0; i < quals->filter_columns; i++) {
    columns[i] = key.substr(0, SkipIndexColumn(quals->codec, i, key));
    key.remove_prefix(columns[i].size());
    if (i > quals->last_column && !ListContains(quals->pool, quals->columns[i], columns[i])) {
      return false;
    }
  }
  for (int i = 0; i < quals->row_count; i++) {
    if (!RowMatches(quals, quals->rows[i], columns)) return false;
  }
  return true;
}

}  // namespace omendb
