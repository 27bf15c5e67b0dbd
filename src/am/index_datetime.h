// Comparisons between date, timestamp and timestamp with time zone as ranges of the column's
// values.
//
// Between timestamp and timestamptz, and date and timestamptz, they go by the session's time zone
// at the time of the scan. Local time does not grow steadily when clocks are changed, so near such
// a moment the range has to be wide and the condition to be tested again.
#pragma once

#include "pg/server.h"

namespace omendb {

// The column's values first .. last equal the argument, those below first are less, those above
// last are greater. first = last + 1: none is equal. If lossy, those within may be anything.
struct DatetimeRange {
  int64 first;
  int64 last;
  bool lossy;
};

// How values of column_type (DATEOID, TIMESTAMPOID, TIMESTAMPTZOID) compare with one of another of
// these types. False if the types are no such pair.
bool CompareDatetimes(Oid column_type, Oid argument_type, Datum argument, DatetimeRange* range);

}  // namespace omendb
