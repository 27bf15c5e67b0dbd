// ALTER INDEX … SET TABLESPACE, for one index or ALL IN TABLESPACE, copies an index's file. The
// entries of an alex index are not in it; they follow here, where the server says that it has
// altered the index.

#include "am/index_hooks.h"
#include "engine/index_writer.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

object_access_hook_type g_next_access = nullptr;

// The number of the relation's file in pg_class as this command has left it.
Oid NewFileOf(Oid relation) {
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
  SysScanDesc scan = systable_beginscan(catalog, ClassOidIndexId, true, SnapshotSelf, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  Oid file = HeapTupleIsValid(tuple)
                 ? reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relfilenode
                 : InvalidOid;
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return file;
}

// Whether it is an alex index; *file: the number of its file before this command.
bool KnowsAlexIndex(Oid relation, Oid* file) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  bool is_index = form->relkind == RELKIND_INDEX;
  Oid method = form->relam;
  *file = form->relfilenode;
  ReleaseSysCache(tuple);
  return is_index && method == AlexMethod();
}

void FollowFile(Oid oid) {
  Oid before;
  if (!KnowsAlexIndex(oid, &before)) return;
  Oid after = NewFileOf(oid);
  if (!OidIsValid(after) || after == before) return;
  Relation index = index_open(oid, NoLock);
  // The old storage goes with the old file, when the transaction commits.
  StorageId from = StorageOf(index);
  CommandCounterIncrement();
  StorageForgetNode(&index->rd_node, index->rd_backend);
  if (from != 0) CopyIndexEntries(index, from, index, StorageForWrite(index));
  index_close(index, NoLock);
}

void IndexAccess(ObjectAccessType access, Oid catalog, Oid object, int column, void* argument) {
  if (g_next_access != nullptr) g_next_access(access, catalog, object, column, argument);
  if (access == OAT_POST_ALTER && catalog == RelationRelationId && column == 0) FollowFile(object);
}

}  // namespace

void InstallIndexTablespaces() {
  g_next_access = object_access_hook;
  object_access_hook = IndexAccess;
}

}  // namespace omendb
