#include "am/index_arguments.h"

#include "am/index_datetime.h"
#include "key/memcomparable.h"

extern "C" {
#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
}

namespace omendb {
namespace {

[[noreturn]] void RefuseType(const IndexCodec* codec, int column, Oid type) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("column %d of index \"%s\" cannot be compared with type %s", column + 1,
                         codec->index_name, format_type_be(type))));
}

// A number that is encoded in 8 bytes already, as the column's value.
template <typename T>
Piece AddNumber(const IndexColumn& column, char* (*encode)(char*, T), T value, RegionPool* pool) {
  char bytes[1 + kOrdered64Size];
  bytes[0] = kNotNullMarker;
  char* end = encode(bytes + 1, value);
  if (column.descending) InvertBytes(bytes + 1, end);
  return AddBytes(pool, Slice(bytes, end - bytes));
}

EncodedArgument PointAt(Piece value, RegionPool* pool) {
  return {{value, AddPrefixEnd(pool, value), false, true}, false};
}

EncodedArgument EncodeDatetime(const IndexCodec* codec, int i, Oid type, Datum argument,
                               RegionPool* pool) {
  const IndexColumn& column = codec->columns[i];
  DatetimeRange range;
  if (!CompareDatetimes(column.input_type, type, argument, &range)) RefuseType(codec, i, type);
  int64 first = column.descending ? range.last : range.first;
  int64 last = column.descending ? range.first : range.last;
  Piece low = AddNumber<int64>(column, EncodeInt64, first, pool);
  if (range.first == range.last) return PointAt(low, pool);
  Piece high = AddPrefixEnd(pool, AddNumber<int64>(column, EncodeInt64, last, pool));
  return {{low, high, false, false}, range.lossy};
}

int64 IntegerOf(const IndexCodec* codec, int column, Oid type, Datum argument) {
  switch (type) {
    case INT2OID:
      return DatumGetInt16(argument);
    case INT4OID:
      return DatumGetInt32(argument);
    case INT8OID:
      return DatumGetInt64(argument);
    default:
      RefuseType(codec, column, type);
  }
}

float8 FloatOf(const IndexCodec* codec, int column, Oid type, Datum argument) {
  if (type == FLOAT4OID) return DatumGetFloat4(argument);
  if (type == FLOAT8OID) return DatumGetFloat8(argument);
  RefuseType(codec, column, type);
}

// An argument of another type than the operator class takes.
EncodedArgument EncodeOtherType(const IndexCodec* codec, int i, Oid type, Datum argument,
                                RegionPool* pool) {
  const IndexColumn& column = codec->columns[i];
  int start = pool->bytes.len;
  switch (column.kind) {
    case KeyKind::kInt2:
    case KeyKind::kInt4:
    case KeyKind::kInt8:
      return PointAt(
          AddNumber<int64>(column, EncodeInt64, IntegerOf(codec, i, type, argument), pool), pool);
    case KeyKind::kFloat4:
    case KeyKind::kFloat8:
      return PointAt(
          AddNumber<double>(column, EncodeDouble, FloatOf(codec, i, type, argument), pool), pool);
    case KeyKind::kDate:
    case KeyKind::kTimestamp:
      return EncodeDatetime(codec, i, type, argument, pool);
    case KeyKind::kText:
    case KeyKind::kName:
      if (type == NAMEOID) {
        const char* name = NameStr(*DatumGetName(argument));
        AppendIndexString(codec, i, Slice(name, strnlen(name, NAMEDATALEN)), &pool->bytes);
      } else if (type == TEXTOID) {
        struct varlena* text = PG_DETOAST_DATUM_PACKED(argument);
        AppendIndexString(codec, i, Slice(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)),
                          &pool->bytes);
      } else {
        RefuseType(codec, i, type);
      }
      return PointAt(PieceFrom(*pool, start), pool);
    default:
      RefuseType(codec, i, type);
  }
}

constexpr Slice kNotNullStart(&kNotNullMarker, 1);

Piece NotNullEnd(RegionPool* pool) {
  char end = kNotNullMarker + 1;
  return AddBytes(pool, Slice(&end, 1));
}

}  // namespace

EncodedArgument EncodeArgument(const IndexCodec* codec, int i, Oid subtype, Datum argument,
                               RegionPool* pool) {
  if (OidIsValid(subtype) && subtype != codec->columns[i].input_type) {
    return EncodeOtherType(codec, i, subtype, argument, pool);
  }
  int start = pool->bytes.len;
  AppendIndexColumn(codec, i, argument, &pool->bytes);
  return PointAt(PieceFrom(*pool, start), pool);
}

Region RegionOf(const IndexCodec* codec, int i, StrategyNumber strategy,
                const EncodedArgument& argument, RegionPool* pool) {
  if (codec->columns[i].descending) strategy = BTCommuteStrategyNumber(strategy);
  const Region& equal = argument.equal;
  switch (strategy) {
    case BTLessStrategyNumber:
      return {AddBytes(pool, kNotNullStart), argument.lossy ? equal.high : equal.low, false, false};
    case BTLessEqualStrategyNumber:
      return {AddBytes(pool, kNotNullStart), equal.high, false, false};
    case BTEqualStrategyNumber:
      return equal;
    case BTGreaterEqualStrategyNumber:
      return {equal.low, NotNullEnd(pool), false, false};
    case BTGreaterStrategyNumber:
      return {argument.lossy ? equal.low : equal.high, NotNullEnd(pool), false, false};
    default:
      elog(ERROR, "unrecognized strategy number: %d", strategy);
  }
}

Region NullRegion(const IndexCodec* codec, int column, RegionPool* pool) {
  int start = pool->bytes.len;
  AppendIndexNull(codec, column, &pool->bytes);
  return PointAt(PieceFrom(*pool, start), pool).equal;
}

Region NotNullRegion(RegionPool* pool) {
  return {AddBytes(pool, kNotNullStart), NotNullEnd(pool), false, false};
}

}  // namespace omendb
