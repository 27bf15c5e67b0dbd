#include "am/index_datetime.h"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

// Larger than any difference between two offsets from UTC (below 16 hours to either side).
constexpr int kSlackDays = 2;
constexpr int64 kSlack = kSlackDays * USECS_PER_DAY;

DatetimeRange Equal(int64 value) { return {value, value, false}; }
// Between value - 1 and value.
DatetimeRange Before(int64 value) { return {value, value - 1, false}; }

int64 FloorDay(Timestamp timestamp) {
  int64 day = timestamp / USECS_PER_DAY;
  return timestamp % USECS_PER_DAY < 0 ? day - 1 : day;
}

// A value of another type that was converted to the timestamp column's type, as the server's
// comparison does; beyond what a timestamp can be it lies between the last one and infinity.
DatetimeRange Converted(Timestamp timestamp, int overflow) {
  if (overflow > 0) return Before(DT_NOEND);
  if (overflow < 0) return Before(DT_NOBEGIN + 1);
  return Equal(timestamp);
}

DatetimeRange DateAgainst(Timestamp timestamp) {
  if (TIMESTAMP_IS_NOBEGIN(timestamp)) return Equal(DATEVAL_NOBEGIN);
  if (TIMESTAMP_IS_NOEND(timestamp)) return Equal(DATEVAL_NOEND);
  int64 day = FloorDay(timestamp);
  return day * USECS_PER_DAY == timestamp ? Equal(day) : Before(day + 1);
}

// The local time of a moment. False if clocks are changed around it, or if there is none.
bool LocalTime(TimestampTz moment, Timestamp* local) {
  struct pg_tm parts;
  fsec_t fraction;
  int offset;
  *local = moment;
  if (timestamp2tm(moment, &offset, &parts, &fraction, nullptr, session_timezone) != 0) {
    return false;
  }
  *local = moment - offset * USECS_PER_SEC;
  pg_time_t from = timestamptz_to_time_t(moment) - (kSlackDays + 1) * SECS_PER_DAY;
  pg_time_t boundary;
  long before_offset, after_offset;
  int before_dst, after_dst;
  int changes = pg_next_dst_boundary(&from, &before_offset, &before_dst, &boundary, &after_offset,
                                     &after_dst, session_timezone);
  if (changes < 0) return false;
  return changes == 0 || boundary > from + 2 * (kSlackDays + 1) * SECS_PER_DAY;
}

DatetimeRange LocalAgainst(Oid column_type, TimestampTz moment) {
  if (TIMESTAMP_NOT_FINITE(moment)) {
    return column_type == DATEOID ? DateAgainst(moment) : Equal(moment);
  }
  Timestamp local;
  bool exact = LocalTime(moment, &local);
  if (exact) return column_type == DATEOID ? DateAgainst(local) : Equal(local);
  if (column_type == DATEOID) {
    int64 day = FloorDay(local);
    return {day - kSlackDays, day + kSlackDays + 1, true};
  }
  // A finite timestamp is that far from the ends of the numbers.
  return {local - kSlack, local + kSlack, true};
}

}  // namespace

bool CompareDatetimes(Oid column_type, Oid argument_type, Datum argument, DatetimeRange* range) {
  int overflow = 0;
  if (column_type == DATEOID && argument_type == TIMESTAMPOID) {
    *range = DateAgainst(DatumGetTimestamp(argument));
  } else if ((column_type == DATEOID || column_type == TIMESTAMPOID) &&
             argument_type == TIMESTAMPTZOID) {
    *range = LocalAgainst(column_type, DatumGetTimestampTz(argument));
  } else if (column_type == TIMESTAMPOID && argument_type == DATEOID) {
    Timestamp converted = date2timestamp_opt_overflow(DatumGetDateADT(argument), &overflow);
    *range = Converted(converted, overflow);
  } else if (column_type == TIMESTAMPTZOID && argument_type == DATEOID) {
    TimestampTz converted = date2timestamptz_opt_overflow(DatumGetDateADT(argument), &overflow);
    *range = Converted(converted, overflow);
  } else if (column_type == TIMESTAMPTZOID && argument_type == TIMESTAMPOID) {
    TimestampTz converted =
        timestamp2timestamptz_opt_overflow(DatumGetTimestamp(argument), &overflow);
    *range = Converted(converted, overflow);
  } else {
    return false;
  }
  return true;
}

}  // namespace omendb
