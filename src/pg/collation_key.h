// Strings in the order of a collation, as bytes.
#pragma once

#include "base/types.h"
#include "pg/server.h"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/pg_locale.h"
}

namespace omendb {

// How the strings of a collation are compared.
struct CollationOrder {
  bool deterministic;
  bool bytewise;       // C, POSIX, C.UTF-8: memcmp of the bytes
  pg_locale_t locale;  // if not bytewise; nullptr for libc's default collation of the database
};
// ERROR if the server cannot use the collation.
CollationOrder OrderOfCollation(Oid collation);

// Appends the sort key of a string, which has no zero byte: two strings compare as their sort keys,
// and those with equal sort keys (a deterministic collation) as their bytes. REQUIRES: not
// bytewise, no zero byte in `text`.
void AppendSortKey(pg_locale_t locale, Slice text, StringInfo to);

}  // namespace omendb
