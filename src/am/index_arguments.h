// What a scan key compares a column with, as regions of the column's bytes.
#pragma once

#include "am/index_regions.h"
#include "pg/index_codec.h"

extern "C" {
#include "access/stratnum.h"
}

namespace omendb {

// The column's values that equal an argument. If lossy, those within may be less, equal or greater.
struct EncodedArgument {
  Region equal;
  bool lossy;
};

// `subtype` is the scan key's: the argument's type, InvalidOid for the one of the operator class.
// ERROR if it cannot be compared with the column.
EncodedArgument EncodeArgument(const IndexCodec* codec, int column, Oid subtype, Datum argument,
                               RegionPool* pool);

// The values that satisfy `column <operator> argument`; all that may satisfy it if it is lossy.
Region RegionOf(const IndexCodec* codec, int column, StrategyNumber strategy,
                const EncodedArgument& argument, RegionPool* pool);

Region NullRegion(const IndexCodec* codec, int column, RegionPool* pool);
Region NotNullRegion(RegionPool* pool);

}  // namespace omendb
