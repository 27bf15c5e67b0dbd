#include "pg/collation_key.h"

#include <features.h>

#include <clocale>
#include <cstring>

extern "C" {
#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

// LC_COLLATE of a collation of libc.
const char* LibcName(Oid collation) {
  if (collation == DEFAULT_COLLATION_OID) return setlocale(LC_COLLATE, nullptr);
  HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for collation %u", collation);
  bool isnull;
  Datum name = SysCacheGetAttr(COLLOID, tuple, Anum_pg_collation_collcollate, &isnull);
  const char* result = isnull ? "" : TextDatumGetCString(name);
  ReleaseSysCache(tuple);
  return result;
}

// Since 2.35, glibc has C.UTF-8 without a collation table: strcoll() is strcmp(). The server asks
// strcoll() all the same; here it saves storing each string twice.
bool ComparesBytes(const char* name) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
  return pg_strcasecmp(name, "C.UTF-8") == 0 || pg_strcasecmp(name, "C.utf8") == 0;
#else
  (void)name;
  return false;
#endif
}

#ifdef USE_ICU
// What the usual locales need; else the second call has what the first one asked for. Too much is
// the StringInfo's to refuse.
int FirstRoom(Slice text) {
  return static_cast<int>(text.size() < MaxAllocSize / 4 - 4 ? 4 * text.size() + 16 : MaxAllocSize);
}
#endif

}  // namespace

CollationOrder OrderOfCollation(Oid collation) {
  if (!OidIsValid(collation)) {
    ereport(ERROR, (errcode(ERRCODE_INDETERMINATE_COLLATION),
                    errmsg("could not determine which collation to use for an index"),
                    errhint("Use the COLLATE clause to set the collation explicitly.")));
  }
  if (lc_collate_is_c(collation)) return {true, true, nullptr};
  pg_locale_t locale = pg_newlocale_from_collation(collation);
  if (locale != nullptr && !locale->deterministic) return {false, false, locale};
  bool libc = locale == nullptr || locale->provider == COLLPROVIDER_LIBC;
  if (libc) return {true, ComparesBytes(LibcName(collation)), nullptr};
  return {true, false, locale};
}

void AppendSortKey(pg_locale_t locale, Slice text, StringInfo to) {
#ifdef USE_ICU
  UChar* wide;
  int32_t wide_size = icu_to_uchar(&wide, text.data(), text.size());
  UCollator* collator = locale->info.icu.ucol;
  enlargeStringInfo(to, FirstRoom(text));
  for (;;) {
    int32_t room = to->maxlen - to->len;
    auto* at = reinterpret_cast<uint8_t*>(to->data + to->len);
    int32_t size = ucol_getSortKey(collator, wide, wide_size, at, room);
    if (size <= 0) {
      ereport(ERROR,
              (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a sort key of a string")));
    }
    if (size <= room) {
      to->len += size - 1;  // without the zero byte at its end
      break;
    }
    enlargeStringInfo(to, size);
  }
  pfree(wide);
#else
  elog(ERROR, "no sort keys of %zu bytes in %d without ICU, for provider %c", text.size(), to->len,
       locale->provider);
#endif
}

}  // namespace omendb
