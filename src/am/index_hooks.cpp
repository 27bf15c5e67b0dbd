#include "am/index_hooks.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

constexpr char kMethodName[] = "alex";
constexpr char kHandlerSymbol[] = "omendb_alex_handler";

// The handler function last found to be ours; forgotten when any function changes.
Oid g_handler = InvalidOid;
bool g_watches_functions = false;

void ForgetHandler(Datum, int, uint32) { g_handler = InvalidOid; }

bool IsOurHandler(Oid function) {
  if (!OidIsValid(function)) return false;
  if (function == g_handler) return true;
  if (!g_watches_functions) {
    CacheRegisterSyscacheCallback(PROCOID, ForgetHandler, 0);
    g_watches_functions = true;
  }
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  bool isnull;
  Datum symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
  bool ours = !isnull && strcmp(TextDatumGetCString(symbol), kHandlerSymbol) == 0;
  ReleaseSysCache(tuple);
  if (ours) g_handler = function;
  return ours;
}

// The class of the same order that another method has: alex's have the names of btree's. One that
// somebody else made is its own.
Oid ClassFor(Oid method, Oid opclass) {
  HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for opclass %u", opclass);
  auto* form = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple));
  Oid other = InvalidOid;
  if (form->opcnamespace == PG_CATALOG_NAMESPACE && form->opcmethod != method) {
    other = GetSysCacheOid3(CLAAMNAMENSP, Anum_pg_opclass_oid, ObjectIdGetDatum(method),
                            NameGetDatum(&form->opcname), ObjectIdGetDatum(form->opcnamespace));
  }
  bool pair = OidIsValid(other) && get_opclass_input_type(other) == form->opcintype;
  ReleaseSysCache(tuple);
  return pair ? other : opclass;
}

oidvector* OpclassesIn(HeapTuple index_row) {
  bool isnull;
  Datum classes = SysCacheGetAttr(INDEXRELID, index_row, Anum_pg_index_indclass, &isnull);
  return reinterpret_cast<oidvector*>(DatumGetPointer(classes));
}

// Gives an index the operator classes of a method, in pg_index and, for this session, in the
// relation cache, which keeps an open index's families and row of pg_index when it is invalidated,
// and those of one that this transaction made in any case. The support functions are the same.
void SetOpclasses(Relation index, Oid method) {
  Relation catalog = table_open(IndexRelationId, RowExclusiveLock);
  HeapTuple tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(RelationGetRelid(index)));
  if (!HeapTupleIsValid(tuple)) {
    elog(ERROR, "cache lookup failed for index %u", RelationGetRelid(index));
  }
  oidvector* opclasses = OpclassesIn(tuple);
  oidvector* cached = OpclassesIn(index->rd_indextuple);
  bool changed = false;
  for (int i = 0; i < opclasses->dim1; i++) {
    Oid other = ClassFor(method, opclasses->values[i]);
    if (other == opclasses->values[i]) continue;
    opclasses->values[i] = cached->values[i] = other;
    index->rd_opfamily[i] = get_opclass_family(other);
    changed = true;
  }
  if (changed) {
    CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
    CommandCounterIncrement();
  }
  heap_freetuple(tuple);
  table_close(catalog, RowExclusiveLock);
}

}  // namespace

bool IsAlexIndex(Relation index) { return IsOurHandler(index->rd_amhandler); }

Oid AlexMethod() {
  HeapTuple tuple = SearchSysCache1(AMNAME, CStringGetDatum(kMethodName));
  if (!HeapTupleIsValid(tuple)) return InvalidOid;
  auto* method = reinterpret_cast<Form_pg_am>(GETSTRUCT(tuple));
  Oid oid = IsOurHandler(method->amhandler) ? method->oid : InvalidOid;
  ReleaseSysCache(tuple);
  return oid;
}

void UseBtreeOpclasses(Relation index) {
  if (index->rd_index->indisunique) SetOpclasses(index, BTREE_AM_OID);
}

void UseAlexOpclasses(Relation index) { SetOpclasses(index, AlexMethod()); }

void InstallIndexHooks() {
  InstallIndexMask();
  InstallPlannerIndexes();
  InstallIndexOnlyScans();
  InstallIndexTablespaces();
}

}  // namespace omendb
