#include "key/inet_key.h"
#include "key/memcomparable.h"
#include "key/numeric_key.h"
#include "pg/index_codec.h"
#include "pg/index_payload.h"

extern "C" {
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inet.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

namespace omendb {
namespace {

[[noreturn]] void RefuseEntry(const IndexCodec* codec) {
  ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                  errmsg("index \"%s\" contains a damaged entry", codec->index_name),
                  errhint("Please REINDEX it.")));
}

// Length of the value at the front of `from`, 0 if there is none.
size_t SkipValue(const IndexColumn& column, Slice from) {
  size_t size;
  switch (column.kind) {
    case KeyKind::kBool:
    case KeyKind::kChar:
      size = 1;
      break;
    case KeyKind::kMacaddr:
      size = sizeof(macaddr);
      break;
    case KeyKind::kTimeTz:
      size = sizeof(int64) + sizeof(int32);
      break;
    case KeyKind::kInterval:
      size = kOrdered128Size;
      break;
    case KeyKind::kUuid:
      size = UUID_LEN;
      break;
    case KeyKind::kNumeric:
      return SkipNumeric(from, column.descending);
    case KeyKind::kInet:
      return SkipInet(from, column.descending);
    case KeyKind::kBytea:
      return SkipBytes(from, column.descending);
    case KeyKind::kText:
    case KeyKind::kBpchar:
    case KeyKind::kName:
      size = SkipString(from, column.descending);
      if (column.collated && size > 0) {
        size_t text = SkipString(from.substr(size), column.descending);
        size = text == 0 ? 0 : size + text;
      }
      return size;
    default:
      size = kOrdered64Size;
  }
  return size <= from.size() ? size : 0;
}

char* NewVarlena(size_t size) {
  auto* result = static_cast<char*>(palloc(VARHDRSZ + size));
  SET_VARSIZE(result, VARHDRSZ + size);
  return result;
}

Datum VarlenaOf(Slice bytes) {
  char* result = NewVarlena(bytes.size());
  memcpy(VARDATA(result), bytes.data(), bytes.size());
  return PointerGetDatum(result);
}

Datum CStringOf(Slice bytes) {
  auto* result = static_cast<char*>(palloc(bytes.size() + 1));
  memcpy(result, bytes.data(), bytes.size());
  result[bytes.size()] = '\0';
  return CStringGetDatum(result);
}

template <typename T>
Datum CopyOf(const T& value) {
  auto* result = static_cast<T*>(palloc(sizeof(T)));
  memcpy(result, &value, sizeof(T));
  return PointerGetDatum(result);
}

Datum RawOf(Slice bytes) {
  void* result = palloc(bytes.size());
  memcpy(result, bytes.data(), bytes.size());
  return PointerGetDatum(result);
}

template <typename T>
bool TakePatch(Slice patch, T* value) {
  if (patch.size() != sizeof(T)) return false;
  memcpy(value, patch.data(), sizeof(T));
  return true;
}

// Everything that follows decodes one value, not inverted. `patch` is empty if there is none.

Datum DecodeNumericColumn(const IndexCodec* codec, Slice bytes, Slice patch) {
  uint64_t scale = 0;
  if (!patch.empty() && (!TakeVarint(&patch, &scale) || scale > PG_INT16_MAX)) RefuseEntry(codec);
  char* result = NewVarlena(bytes.size() + sizeof(int32));
  size_t size = DecodeNumeric(bytes, static_cast<int>(scale), VARDATA(result));
  if (size == 0) RefuseEntry(codec);
  SET_VARSIZE(result, VARHDRSZ + size);
  return PointerGetDatum(result);
}

Datum DecodeString(const IndexCodec* codec, const IndexColumn& column, Slice bytes, Slice patch) {
  // Behind the sort key, if there is one; without the zero byte at the end.
  if (column.collated) bytes.remove_prefix(SkipString(bytes, false));
  bytes.remove_suffix(1);
  if (column.kind == KeyKind::kName) {
    if (column.length < 0) return CStringOf(bytes);
    if (bytes.size() >= NAMEDATALEN) RefuseEntry(codec);
    auto* name = static_cast<char*>(palloc0(NAMEDATALEN));
    memcpy(name, bytes.data(), bytes.size());
    return PointerGetDatum(name);
  }
  uint64_t blanks = 0;
  if (!patch.empty() && (!TakeVarint(&patch, &blanks) || blanks > MaxAllocSize / 2)) {
    RefuseEntry(codec);
  }
  char* result = NewVarlena(bytes.size() + blanks);
  memcpy(VARDATA(result), bytes.data(), bytes.size());
  memset(VARDATA(result) + bytes.size(), ' ', blanks);
  return PointerGetDatum(result);
}

Datum DecodeFloat(const IndexCodec* codec, const IndexColumn& column, Slice bytes, Slice patch) {
  if (column.kind == KeyKind::kFloat4) {
    auto value = static_cast<float4>(DecodeDouble(bytes.data()));
    if (!patch.empty() && !TakePatch(patch, &value)) RefuseEntry(codec);
    return Float4GetDatum(value);
  }
  float8 value = DecodeDouble(bytes.data());
  if (!patch.empty() && !TakePatch(patch, &value)) RefuseEntry(codec);
  return Float8GetDatum(value);
}

Datum DecodeInterval(const IndexCodec* codec, Slice bytes, Slice patch) {
  Interval interval = {};
  interval.time = static_cast<int64>(DecodeInt128(bytes.data()));
  if (!patch.empty() && !TakePatch(patch, &interval)) RefuseEntry(codec);
  return CopyOf(interval);
}

Datum DecodeTimeTz(Slice bytes) {
  TimeTzADT value = {};
  value.zone = DecodeInt32(bytes.data() + kOrdered64Size);
  value.time = DecodeInt64(bytes.data()) - value.zone * USECS_PER_SEC;
  return CopyOf(value);
}

Datum DecodeBytea(const IndexCodec* codec, Slice bytes) {
  char* result = NewVarlena(bytes.size());
  int64_t size = DecodeBytes(bytes, VARDATA(result));
  if (size < 0) RefuseEntry(codec);
  SET_VARSIZE(result, VARHDRSZ + size);
  return PointerGetDatum(result);
}

Datum DecodeInetColumn(const IndexCodec* codec, Slice bytes) {
  char* result = NewVarlena(kInetImageBound);
  size_t size = DecodeInet(bytes, VARDATA(result));
  if (size == 0) RefuseEntry(codec);
  SET_VARSIZE(result, VARHDRSZ + size);
  return PointerGetDatum(result);
}

Datum DecodeValue(const IndexCodec* codec, const IndexColumn& column, Slice bytes, Slice patch) {
  switch (column.kind) {
    case KeyKind::kInt2:
      return Int16GetDatum(static_cast<int16>(DecodeInt64(bytes.data())));
    case KeyKind::kInt4:
      return Int32GetDatum(static_cast<int32>(DecodeInt64(bytes.data())));
    case KeyKind::kInt8:
    case KeyKind::kTime:
    case KeyKind::kTimestamp:
      return Int64GetDatum(DecodeInt64(bytes.data()));
    case KeyKind::kOid:
      return ObjectIdGetDatum(static_cast<Oid>(DecodeUnsigned64(bytes.data())));
    case KeyKind::kUint64:
      return UInt64GetDatum(DecodeUnsigned64(bytes.data()));
    case KeyKind::kFloat4:
    case KeyKind::kFloat8:
      return DecodeFloat(codec, column, bytes, patch);
    case KeyKind::kNumeric:
      return DecodeNumericColumn(codec, bytes, patch);
    case KeyKind::kBool:
      return BoolGetDatum(bytes[0] != 0);
    case KeyKind::kChar:
      return CharGetDatum(bytes[0]);
    case KeyKind::kDate:
      return DateADTGetDatum(static_cast<DateADT>(DecodeInt64(bytes.data())));
    case KeyKind::kTimeTz:
      return DecodeTimeTz(bytes);
    case KeyKind::kInterval:
      return DecodeInterval(codec, bytes, patch);
    case KeyKind::kUuid:
    case KeyKind::kMacaddr:
    case KeyKind::kMacaddr8:
      return RawOf(bytes);
    case KeyKind::kInet:
      return DecodeInetColumn(codec, bytes);
    case KeyKind::kBytea:
      return DecodeBytea(codec, bytes);
    case KeyKind::kText:
    case KeyKind::kBpchar:
    case KeyKind::kName:
      return DecodeString(codec, column, bytes, patch);
  }
  RefuseEntry(codec);
}

// Takes the next `size` bytes off the payload.
Slice Take(const IndexCodec* codec, Slice* payload, size_t size) {
  if (payload->size() < size) RefuseEntry(codec);
  Slice taken = payload->substr(0, size);
  payload->remove_prefix(size);
  return taken;
}

Slice TakeSized(const IndexCodec* codec, Slice* payload) {
  uint64_t size;
  if (!TakeVarint(payload, &size) || size > payload->size()) RefuseEntry(codec);
  return Take(codec, payload, size);
}

bool IsSet(Slice bitmap, int bit) { return (bitmap[bit / 8] >> bit % 8 & 1) != 0; }

Datum DecodeIncluded(const IndexCodec* codec, const IndexColumn& column, Slice* payload) {
  if (column.length == -1) return VarlenaOf(TakeSized(codec, payload));
  if (column.length == -2) return CStringOf(TakeSized(codec, payload));
  Slice bytes = Take(codec, payload, column.length);
  if (!column.by_value) return RawOf(bytes);
  switch (column.length) {
    case 1:
      return CharGetDatum(bytes[0]);
    case 2:
      return Int16GetDatum(LoadFixed<int16>(bytes.data()));
    case 4:
      return Int32GetDatum(LoadFixed<int32>(bytes.data()));
    default:
      return Int64GetDatum(LoadFixed<int64>(bytes.data()));
  }
}

// Values are inverted back into a buffer of their own. It needs no alignment.
Slice Upright(const IndexColumn& column, Slice bytes, char* small, size_t small_size) {
  if (!column.descending) return bytes;
  char* copy = bytes.size() <= small_size ? small : static_cast<char*>(palloc(bytes.size()));
  memcpy(copy, bytes.data(), bytes.size());
  InvertBytes(copy, copy + bytes.size());
  return Slice(copy, bytes.size());
}

}  // namespace

size_t SkipIndexColumn(const IndexCodec* codec, int i, Slice key) {
  if (key.empty()) RefuseEntry(codec);
  if (key[0] != kNotNullMarker) {
    if (key[0] != kNullsFirstMarker && key[0] != kNullsLastMarker) RefuseEntry(codec);
    return 1;
  }
  size_t size = SkipValue(codec->columns[i], key.substr(1));
  if (size == 0) RefuseEntry(codec);
  return 1 + size;
}

void DecodeIndexEntry(const IndexCodec* codec, Slice key, Slice payload, Datum* values,
                      bool* isnull) {
  int included = codec->column_count - codec->key_count;
  Slice exact, nulls;
  if (!payload.empty()) {
    if (Take(codec, &payload, 1)[0] != kIndexPayloadVersion) RefuseEntry(codec);
    exact = Take(codec, &payload, BitmapSize(codec->patched_count));
    nulls = Take(codec, &payload, BitmapSize(included));
  } else if (included > 0) {
    RefuseEntry(codec);
  }
  int bit = 0;
  for (int i = 0; i < codec->key_count; i++) {
    const IndexColumn& column = codec->columns[i];
    Slice bytes = key.substr(0, SkipIndexColumn(codec, i, key));
    key.remove_prefix(bytes.size());
    Slice patch;
    if (column.patched) {
      if (!exact.empty() && IsSet(exact, bit)) patch = TakeSized(codec, &payload);
      bit++;
    }
    isnull[i] = bytes[0] != kNotNullMarker;
    values[i] = 0;
    if (isnull[i]) continue;
    char small[64];
    values[i] =
        DecodeValue(codec, column, Upright(column, bytes.substr(1), small, sizeof(small)), patch);
  }
  for (int i = 0; i < included; i++) {
    int to = codec->key_count + i;
    isnull[to] = IsSet(nulls, i);
    values[to] = isnull[to] ? 0 : DecodeIncluded(codec, codec->columns[to], &payload);
  }
}

}  // namespace omendb
