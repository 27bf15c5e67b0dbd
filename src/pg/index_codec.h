// SQL values of an index of the method alex as memcomparable bytes, and back.
//
// Key (order of the bytes = order of the index, prefix-free): for each key column
//
//   marker: uint8      0 NULL sorting first, 1 a value, 2 NULL sorting last; never inverted
//   value:  absent for NULL, else the column's encoding (key/memcomparable.h); every byte inverted
//           for DESC
//
// Payload (what the key does not tell; empty if it tells everything): index_payload.h.
//
// Two values that the operator class calls equal have the same key bytes, others never.
#pragma once

#include "base/index_entry.h"
#include "pg/server.h"

extern "C" {
#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "utils/pg_locale.h"
}

namespace omendb {

// How the values of a column become bytes. The btree support function of its operator class says
// which: an order that is not listed here is refused. Not persisted.
enum class KeyKind : uint8_t {
  kInt2,
  kInt4,
  kInt8,    // all integers as int64; money
  kOid,     // as uint64
  kUint64,  // xid8, pg_lsn
  kFloat4,
  kFloat8,  // both as double
  kNumeric,
  kBool,
  kChar,
  kDate,
  kTime,
  kTimeTz,
  kTimestamp,  // with and without time zone
  kInterval,
  kUuid,
  kMacaddr,
  kMacaddr8,
  kInet,
  kBytea,
  kText,    // bytewise, or by the collation and then bytewise
  kBpchar,  // the same without trailing blanks
  kName,
};

struct IndexColumn {
  KeyKind kind;
  bool descending;
  bool nulls_first;
  bool collated;       // not bytewise: the key holds a sort key and then the bytes themselves
  bool patched;        // the key bytes do not always tell the exact value: may need payload
  bool by_value;       // of the stored type
  int16 length;        // its attlen
  Oid input_type;      // what the operator class takes: the right-hand type without a subtype
  Oid collation;       // InvalidOid if the type has none
  pg_locale_t locale;  // ICU's, if collated
};

// Made by NewIndexCodec; read-only afterwards, so that any number of scans may share it.
struct IndexCodec {
  const char* index_name;
  uint16 key_count;  // columns[0 .. key_count) are key columns, the rest INCLUDE columns
  uint16 column_count;
  uint16 patched_count;  // key columns with `patched`
  IndexColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

inline constexpr char kNullsFirstMarker = 0;
inline constexpr char kNotNullMarker = 1;
inline constexpr char kNullsLastMarker = 2;

// Bytes of a key and its payload. The server's index tuples, in which index-only scans show entries,
// are smaller than 8 kB.
inline constexpr size_t kMostIndexRow = 7680;
// ERROR program_limit_exceeded if there are more.
void CheckIndexRowSize(const char* index_name, size_t size);

// Palloc'd in CurrentMemoryContext, in one piece. Operator classes of alex and of btree do. ERROR
// feature_not_supported for an order that has no bytes here. INCLUDE columns can be of any type.
IndexCodec* NewIndexCodec(Relation index);

// Whether a key column can be one of an alex index. InvalidOid: the type's default operator class.
bool IndexCodecHolds(Oid type, Oid opclass, Oid collation);

// Replaces the contents of key and payload. True if any key column is NULL. ERROR
// program_limit_exceeded if one of them would be larger than kMostIndexRow. Leaves garbage in
// CurrentMemoryContext when values are toasted or collated.
bool EncodeIndexTuple(const IndexCodec* codec, const Datum* values, const bool* isnull,
                      StringInfo key, StringInfo payload);

// Appends one non-NULL value, of the type that the operator class takes, as column `column` has it
// in a key: marker and value.
void AppendIndexColumn(const IndexCodec* codec, int column, Datum value, StringInfo to);
// The same for a value of any string type, of a column of kind kText, kBpchar or kName.
void AppendIndexString(const IndexCodec* codec, int column, Slice value, StringInfo to);
// Appends the marker of a NULL.
void AppendIndexNull(const IndexCodec* codec, int column, StringInfo to);

// Length of column `column` at the front of `key` (which starts with that column), marker included.
// ERROR index_corrupted if there is no such column.
size_t SkipIndexColumn(const IndexCodec* codec, int column, Slice key);

// The whole indexed tuple. Values by reference are palloc'd in CurrentMemoryContext. ERROR
// index_corrupted if the bytes are not what EncodeIndexTuple made.
void DecodeIndexEntry(const IndexCodec* codec, Slice key, Slice payload, Datum* values,
                      bool* isnull);

}  // namespace omendb
