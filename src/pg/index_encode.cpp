#include "key/inet_key.h"
#include "key/memcomparable.h"
#include "key/numeric_key.h"
#include "pg/collation_key.h"
#include "pg/index_codec.h"
#include "pg/index_payload.h"

extern "C" {
#include "access/detoast.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inet.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

namespace omendb {
namespace {

[[noreturn]] void RefuseImage() {
  ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("value is damaged")));
}

// A varlena, detoasted if need be. Flat values with a short header are read where they are.
Slice VarlenaBytes(Datum value) {
  struct varlena* flat = PG_DETOAST_DATUM_PACKED(value);
  return Slice(VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat));
}

Slice NameBytes(Datum value) {
  const char* name = DatumGetCString(value);
  return Slice(name, strnlen(name, NAMEDATALEN));
}

Slice WithoutBlanks(Slice value) {
  size_t end = value.find_last_not_of(' ');
  return value.substr(0, end == Slice::npos ? 0 : end + 1);
}

// Room for one more column of at most `size` bytes.
char* Reserve(StringInfo to, size_t size) {
  if (size > MaxAllocSize) size = MaxAllocSize;  // refused below
  enlargeStringInfo(to, static_cast<int>(size));
  return to->data + to->len;
}

void Finish(StringInfo to, const char* end) { to->len = static_cast<int>(end - to->data); }

__int128 SpanOf(const Interval* interval) {
  int64 days = interval->month * INT64CONST(30) + interval->day;
  return static_cast<__int128>(days) * USECS_PER_DAY + interval->time;
}

char* EncodeTimeTz(char* to, const TimeTzADT* value) {
  to = EncodeInt64(to, value->time + value->zone * USECS_PER_SEC);
  return EncodeInt32(to, value->zone);
}

char* AppendRaw(char* to, Datum value, size_t size) {
  memcpy(to, DatumGetPointer(value), size);
  return to + size;
}

// Kinds of a fixed length.
char* EncodeFixed(KeyKind kind, Datum value, char* to) {
  switch (kind) {
    case KeyKind::kInt2:
      return EncodeInt64(to, DatumGetInt16(value));
    case KeyKind::kInt4:
      return EncodeInt64(to, DatumGetInt32(value));
    case KeyKind::kInt8:
    case KeyKind::kTime:
    case KeyKind::kTimestamp:
      return EncodeInt64(to, DatumGetInt64(value));
    case KeyKind::kOid:
      return EncodeUnsigned64(to, DatumGetObjectId(value));
    case KeyKind::kUint64:
      return EncodeUnsigned64(to, DatumGetUInt64(value));
    case KeyKind::kFloat4:
      return EncodeDouble(to, DatumGetFloat4(value));
    case KeyKind::kFloat8:
      return EncodeDouble(to, DatumGetFloat8(value));
    case KeyKind::kBool:
      *to = DatumGetBool(value) ? 1 : 0;
      return to + 1;
    case KeyKind::kChar:
      *to = DatumGetChar(value);
      return to + 1;
    case KeyKind::kDate:
      return EncodeInt64(to, DatumGetDateADT(value));
    case KeyKind::kTimeTz:
      return EncodeTimeTz(to, DatumGetTimeTzADTP(value));
    case KeyKind::kInterval:
      return EncodeInt128(to, SpanOf(DatumGetIntervalP(value)));
    case KeyKind::kUuid:
      return AppendRaw(to, value, UUID_LEN);
    case KeyKind::kMacaddr:
      return AppendRaw(to, value, sizeof(macaddr));
    case KeyKind::kMacaddr8:
      return AppendRaw(to, value, sizeof(macaddr8));
    default:
      elog(ERROR, "no encoding for key kind %d", static_cast<int>(kind));
  }
}

void AppendVariable(const IndexColumn& column, Datum value, StringInfo to) {
  Slice bytes = VarlenaBytes(value);
  char* end;
  if (column.kind == KeyKind::kNumeric) {
    end = EncodeNumeric(Reserve(to, EncodedNumericBound(bytes.size())), bytes);
  } else if (column.kind == KeyKind::kInet) {
    end = EncodeInet(Reserve(to, kEncodedInetBound), bytes);
  } else {
    end = EncodeBytes(Reserve(to, EncodedBytesBound(bytes.size())), bytes);
  }
  if (end == nullptr) RefuseImage();
  Finish(to, end);
}

Slice StringBytes(KeyKind kind, Datum value) {
  return kind == KeyKind::kName ? NameBytes(value) : VarlenaBytes(value);
}

bool IsString(KeyKind kind) {
  return kind == KeyKind::kText || kind == KeyKind::kBpchar || kind == KeyKind::kName;
}

void InvertFrom(const IndexColumn& column, int start, StringInfo to) {
  if (column.descending) InvertBytes(to->data + start, to->data + to->len);
}

// Before anything is transformed or copied at length.
void CheckValueSize(const IndexCodec* codec, const IndexColumn& column, Datum value) {
  if (!IsVariableLength(column.kind) || column.kind == KeyKind::kName) return;
  size_t size = toast_raw_datum_size(value) - VARHDRSZ;
  if (column.kind != KeyKind::kBpchar) CheckIndexRowSize(codec->index_name, size);
}

// What decoding the key bytes would not give back, into `to`, which has room for 16 bytes. Returns
// its length, 0 if they tell everything.
size_t PatchOf(const IndexColumn& column, Datum value, char* to) {
  char canonical[kOrdered64Size];
  switch (column.kind) {
    case KeyKind::kNumeric: {
      NumericScales scales = ScalesOf(VarlenaBytes(value));
      return scales.shown == scales.exact ? 0 : StoreVarint(to, scales.shown) - to;
    }
    case KeyKind::kBpchar: {
      Slice bytes = VarlenaBytes(value);
      size_t blanks = bytes.size() - WithoutBlanks(bytes).size();
      return blanks == 0 ? 0 : StoreVarint(to, blanks) - to;
    }
    case KeyKind::kFloat4: {
      float4 number = DatumGetFloat4(value);
      EncodeDouble(canonical, number);
      auto decoded = static_cast<float4>(DecodeDouble(canonical));
      memcpy(to, &number, sizeof(number));
      return memcmp(&number, &decoded, sizeof(number)) == 0 ? 0 : sizeof(number);
    }
    case KeyKind::kFloat8: {
      float8 number = DatumGetFloat8(value);
      EncodeDouble(canonical, number);
      float8 decoded = DecodeDouble(canonical);
      memcpy(to, &number, sizeof(number));
      return memcmp(&number, &decoded, sizeof(number)) == 0 ? 0 : sizeof(number);
    }
    case KeyKind::kInterval: {
      Interval* interval = DatumGetIntervalP(value);
      memcpy(to, interval, sizeof(*interval));
      return interval->day == 0 && interval->month == 0 ? 0 : sizeof(*interval);
    }
    default:
      return 0;
  }
}

void AppendSized(StringInfo to, Slice bytes) {
  char size[kMaxVarint];
  appendBinaryStringInfo(to, size, static_cast<int>(StoreVarint(size, bytes.size()) - size));
  appendBinaryStringInfo(to, bytes.data(), static_cast<int>(bytes.size()));
}

// The empty payload stands for one without content: it begins with the first patch.
void StartPayload(const IndexCodec* codec, StringInfo payload) {
  if (payload->len > 0) return;
  size_t size =
      1 + BitmapSize(codec->patched_count) + BitmapSize(codec->column_count - codec->key_count);
  memset(Reserve(payload, size), 0, size);
  payload->data[0] = kIndexPayloadVersion;
  payload->len = static_cast<int>(size);
}

void AppendPatches(const IndexCodec* codec, const Datum* values, const bool* isnull,
                   StringInfo payload) {
  int bit = 0;
  for (int i = 0; i < codec->key_count; i++) {
    if (!codec->columns[i].patched) continue;
    int this_bit = bit++;
    if (isnull[i]) continue;
    char patch[16];
    size_t size = PatchOf(codec->columns[i], values[i], patch);
    if (size == 0) continue;
    StartPayload(codec, payload);
    payload->data[1 + this_bit / 8] |= static_cast<char>(1 << this_bit % 8);
    AppendSized(payload, Slice(patch, size));
  }
}

void AppendIncluded(const IndexCodec* codec, const Datum* values, const bool* isnull,
                    StringInfo payload) {
  StartPayload(codec, payload);
  size_t nulls = 1 + BitmapSize(codec->patched_count);
  for (int i = codec->key_count; i < codec->column_count; i++) {
    const IndexColumn& column = codec->columns[i];
    int bit = i - codec->key_count;
    if (isnull[i]) {
      payload->data[nulls + bit / 8] |= static_cast<char>(1 << bit % 8);
    } else if (column.by_value) {
      appendBinaryStringInfo(payload, reinterpret_cast<const char*>(&values[i]), column.length);
    } else if (column.length > 0) {
      appendBinaryStringInfo(payload, DatumGetPointer(values[i]), column.length);
    } else if (column.length == -1) {
      size_t size = toast_raw_datum_size(values[i]) - VARHDRSZ;
      CheckIndexRowSize(codec->index_name, size);
      AppendSized(payload, VarlenaBytes(values[i]));
    } else {
      AppendSized(payload, Slice(DatumGetCString(values[i])));
    }
  }
}

}  // namespace

void CheckIndexRowSize(const char* index_name, size_t size) {
  if (size <= kMostIndexRow) return;
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("index row size %zu exceeds alex maximum %zu for index \"%s\"", size,
                         kMostIndexRow, index_name),
                  errhint("Consider a function index of an MD5 hash of the value, or use full text "
                          "indexing.")));
}

void AppendIndexString(const IndexCodec* codec, int i, Slice value, StringInfo to) {
  const IndexColumn& column = codec->columns[i];
  if (column.kind == KeyKind::kBpchar) value = WithoutBlanks(value);
  appendStringInfoCharMacro(to, kNotNullMarker);
  int start = to->len;
  if (column.collated) {
    AppendSortKey(column.locale, value, to);
    appendStringInfoCharMacro(to, '\0');
  }
  Finish(to, EncodeString(Reserve(to, EncodedStringBound(value.size())), value));
  InvertFrom(column, start, to);
}

void AppendIndexColumn(const IndexCodec* codec, int i, Datum value, StringInfo to) {
  const IndexColumn& column = codec->columns[i];
  if (IsString(column.kind)) {
    AppendIndexString(codec, i, StringBytes(column.kind, value), to);
    return;
  }
  constexpr size_t kLongestFixed = 16;
  char* at = Reserve(to, 1 + kLongestFixed);
  *at++ = kNotNullMarker;
  int start = ++to->len;
  if (IsVariableLength(column.kind)) {
    AppendVariable(column, value, to);
  } else {
    Finish(to, EncodeFixed(column.kind, value, at));
  }
  InvertFrom(column, start, to);
}

void AppendIndexNull(const IndexCodec* codec, int i, StringInfo to) {
  appendStringInfoCharMacro(to,
                            codec->columns[i].nulls_first ? kNullsFirstMarker : kNullsLastMarker);
}

bool EncodeIndexTuple(const IndexCodec* codec, const Datum* values, const bool* isnull,
                      StringInfo key, StringInfo payload) {
  resetStringInfo(key);
  resetStringInfo(payload);
  bool any_null = false;
  for (int i = 0; i < codec->key_count; i++) {
    if (isnull[i]) {
      AppendIndexNull(codec, i, key);
      any_null = true;
    } else {
      CheckValueSize(codec, codec->columns[i], values[i]);
      AppendIndexColumn(codec, i, values[i], key);
    }
  }
  CheckIndexRowSize(codec->index_name, static_cast<size_t>(key->len));
  if (codec->patched_count > 0) AppendPatches(codec, values, isnull, payload);
  if (codec->column_count > codec->key_count) AppendIncluded(codec, values, isnull, payload);
  CheckIndexRowSize(codec->index_name, static_cast<size_t>(payload->len));
  return any_null;
}

}  // namespace omendb
