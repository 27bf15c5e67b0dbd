// ALTER TABLE … ALTER COLUMN … TYPE makes the constraints of the column again from their
// definitions, which name no access method: their indexes become btree's. The server keeps the
// old index's storage if the operator classes are the same and does not compare methods; an alex
// index of a constraint has btree's classes. So it gets its own ones first.

#include "am/index_hooks.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace omendb {
namespace {

bool HasColumn(Relation index, AttrNumber column) {
  for (int i = 0; i < index->rd_index->indnatts; i++) {
    if (index->rd_index->indkey.values[i] == column) return true;
  }
  return false;
}

void PrepareTable(Oid table_oid, const char* column_name) {
  AttrNumber column = get_attnum(table_oid, column_name);
  if (column <= 0) return;
  Relation table = table_open(table_oid, NoLock);
  List* indexes = RelationGetIndexList(table);
  ListCell* cell;
  foreach (cell, indexes) {
    Relation index = index_open(lfirst_oid(cell), AccessExclusiveLock);
    if (IsAlexIndex(index) && index->rd_index->indisunique && HasColumn(index, column) &&
        OidIsValid(get_index_constraint(RelationGetRelid(index)))) {
      UseAlexOpclasses(index);
    }
    index_close(index, NoLock);
  }
  list_free(indexes);
  table_close(table, NoLock);
}

// The tables of a composite type, which ALTER TYPE … CASCADE changes with it.
List* TablesOfType(Oid relation) {
  List* tables = NIL;
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(get_rel_type_id(relation)));
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 1, &key);
  for (HeapTuple tuple; HeapTupleIsValid(tuple = systable_getnext(scan));) {
    tables = lappend_oid(tables, reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->oid);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return tables;
}

// Those whose columns the command changes, locked.
List* ChangedTables(const AlterTableStmt* statement, const AlterTableCmd* command) {
  // The server raises what is wrong.
  Oid relation = RangeVarGetRelid(statement->relation, NoLock, true);
  if (!OidIsValid(relation) || !pg_class_ownercheck(relation, GetUserId())) return NIL;
  List* roots = list_make1_oid(relation);
  if (statement->objtype == OBJECT_TYPE) {
    roots = command->behavior == DROP_CASCADE ? TablesOfType(relation) : NIL;
  }
  List* tables = NIL;
  ListCell* cell;
  foreach (cell, roots) {
    LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
    tables = list_concat_unique_oid(
        tables, find_all_inheritors(lfirst_oid(cell), AccessExclusiveLock, nullptr));
  }
  return tables;
}

}  // namespace

void PrepareColumnTypeChanges(Node* node) {
  if (!IsA(node, AlterTableStmt)) return;
  auto* statement = reinterpret_cast<AlterTableStmt*>(node);
  if (statement->objtype != OBJECT_TABLE && statement->objtype != OBJECT_TYPE) return;
  ListCell* cell;
  foreach (cell, statement->cmds) {
    AlterTableCmd* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype != AT_AlterColumnType) continue;
    if (!OidIsValid(AlexMethod())) return;
    List* tables = ChangedTables(statement, command);
    ListCell* table_cell;
    foreach (table_cell, tables) PrepareTable(lfirst_oid(table_cell), command->name);
  }
}

}  // namespace omendb
