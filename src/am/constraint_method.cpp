// PRIMARY KEY and UNIQUE constraints of omendb tables have the index method that
// omendb.default_index_method names. The grammar has no place for it, but a raw constraint has: it
// is set before the server analyses the statement.
//
// Partitioned tables and partitions keep btree: the server matches a partition key with btree's
// operators only, and a partition's index with the parent's only if they have the same method.

#include "am/callbacks.h"
#include "am/index_hooks.h"
#include "pg/index_codec.h"
#include "pg/settings.h"

extern "C" {
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

char g_alex_name[] = "alex";

// What the columns of a table are, before it exists or is altered: definitions in the statement,
// and relations that columns come from.
struct Columns {
  List* definitions;  // of ColumnDef
  List* names;        // of their names
  List* relations;    // of OIDs
};

bool IsOmendbMethod(Oid method) {
  HeapTuple tuple = SearchSysCache1(AMOID, ObjectIdGetDatum(method));
  if (!HeapTupleIsValid(tuple)) return false;
  Oid handler = reinterpret_cast<Form_pg_am>(GETSTRUCT(tuple))->amhandler;
  ReleaseSysCache(tuple);
  return GetTableAmRoutine(handler) == OmendbTableAm();
}

bool MakesOmendbTable(const CreateStmt* statement) {
  if (statement->partspec != nullptr || statement->partbound != nullptr) return false;
  const char* method =
      statement->accessMethod != nullptr ? statement->accessMethod : default_table_access_method;
  Oid oid = get_table_am_oid(method, true);
  return OidIsValid(oid) && IsOmendbMethod(oid);
}

// InvalidOid for a relation that is not there, which the server will say.
Oid FindRelation(const RangeVar* name) { return RangeVarGetRelid(name, NoLock, true); }

bool IsPlainOmendbTable(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  bool plain = form->relkind == RELKIND_RELATION && !form->relispartition;
  Oid method = form->relam;
  ReleaseSysCache(tuple);
  return plain && OidIsValid(method) && IsOmendbMethod(method);
}

bool IsSerial(const TypeName* type) {
  if (list_length(type->names) != 1 || type->pct_type) return false;
  const char* name = strVal(linitial(type->names));
  static const char* const kNames[] = {"smallserial", "serial2",   "serial",
                                       "serial4",     "bigserial", "serial8"};
  for (const char* serial : kNames) {
    if (strcmp(name, serial) == 0) return true;
  }
  return false;
}

bool DefinitionHolds(const ColumnDef* column) {
  if (column->typeName == nullptr) return false;
  if (IsSerial(column->typeName)) return true;
  Oid type = LookupTypeNameOid(nullptr, column->typeName, true);
  if (!OidIsValid(type) || !get_typisdefined(type)) return false;
  Oid collation = column->collClause != nullptr
                      ? get_collation_oid(column->collClause->collname, true)
                      : get_typcollation(type);
  if (column->collClause != nullptr && !OidIsValid(collation)) return false;
  return IndexCodecHolds(type, InvalidOid, collation);
}

// *found: the relation has the column.
bool AttributeHolds(Oid relation, const char* name, bool* found) {
  HeapTuple tuple = SearchSysCacheAttName(relation, name);
  *found = HeapTupleIsValid(tuple);
  if (!*found) return false;
  auto* attribute = reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple));
  Oid type = attribute->atttypid;
  Oid collation = attribute->attcollation;
  ReleaseSysCache(tuple);
  return IndexCodecHolds(type, InvalidOid, collation);
}

bool ColumnHolds(const Columns& columns, const char* name) {
  ListCell* cell;
  ListCell* name_cell;
  forboth(cell, columns.definitions, name_cell, columns.names) {
    if (strcmp(static_cast<char*>(lfirst(name_cell)), name) == 0) {
      return DefinitionHolds(lfirst_node(ColumnDef, cell));
    }
  }
  foreach (cell, columns.relations) {
    bool found;
    bool holds = AttributeHolds(lfirst_oid(cell), name, &found);
    if (found) return holds;
  }
  return false;
}

bool MakesIndex(const Constraint* constraint) {
  return (constraint->contype == CONSTR_PRIMARY || constraint->contype == CONSTR_UNIQUE) &&
         constraint->indexname == nullptr && constraint->access_method == nullptr;
}

void ChooseForTable(Constraint* constraint, const Columns& columns) {
  if (!MakesIndex(constraint)) return;
  ListCell* cell;
  foreach (cell, constraint->keys) {
    if (!ColumnHolds(columns, strVal(lfirst(cell)))) return;
  }
  constraint->access_method = g_alex_name;
}

void ChooseForColumn(const ColumnDef* column) {
  ListCell* cell;
  foreach (cell, column->constraints) {
    Constraint* constraint = lfirst_node(Constraint, cell);
    if (MakesIndex(constraint) && DefinitionHolds(column)) constraint->access_method = g_alex_name;
  }
}

void AddDefinition(Columns* columns, ColumnDef* column, char* name) {
  columns->definitions = lappend(columns->definitions, column);
  columns->names = lappend(columns->names, name);
}

void AddRelation(Columns* columns, Oid relation) {
  if (OidIsValid(relation)) columns->relations = lappend_oid(columns->relations, relation);
}

void ChooseInCreate(CreateStmt* statement) {
  Columns columns = {};
  ListCell* cell;
  foreach (cell, statement->tableElts) {
    auto* element = static_cast<Node*>(lfirst(cell));
    if (IsA(element, ColumnDef)) {
      auto* column = reinterpret_cast<ColumnDef*>(element);
      // Without a type in a typed table: only its constraints are given.
      if (column->typeName != nullptr) AddDefinition(&columns, column, column->colname);
    } else if (IsA(element, TableLikeClause)) {
      AddRelation(&columns, FindRelation(reinterpret_cast<TableLikeClause*>(element)->relation));
    }
  }
  foreach (cell, statement->inhRelations) {
    AddRelation(&columns, FindRelation(lfirst_node(RangeVar, cell)));
  }
  if (statement->ofTypename != nullptr) {
    Oid type = LookupTypeNameOid(nullptr, statement->ofTypename, true);
    if (OidIsValid(type)) AddRelation(&columns, get_typ_typrelid(type));
  }
  foreach (cell, statement->tableElts) {
    auto* element = static_cast<Node*>(lfirst(cell));
    if (IsA(element, Constraint)) {
      ChooseForTable(reinterpret_cast<Constraint*>(element), columns);
    } else if (IsA(element, ColumnDef)) {
      auto* column = reinterpret_cast<ColumnDef*>(element);
      if (column->typeName != nullptr) ChooseForColumn(column);
    }
  }
  // Always empty in a raw statement, but it costs nothing.
  foreach (cell, statement->constraints) {
    ChooseForTable(lfirst_node(Constraint, cell), columns);
  }
}

void ChooseInAlter(AlterTableStmt* statement, Oid table) {
  Columns columns = {};
  AddRelation(&columns, table);
  ListCell* cell;
  foreach (cell, statement->cmds) {
    AlterTableCmd* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_AddColumn) {
      auto* column = castNode(ColumnDef, command->def);
      AddDefinition(&columns, column, column->colname);
    } else if (command->subtype == AT_AlterColumnType) {
      AddDefinition(&columns, castNode(ColumnDef, command->def), command->name);
    }
  }
  foreach (cell, statement->cmds) {
    AlterTableCmd* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_AddConstraint) {
      ChooseForTable(castNode(Constraint, command->def), columns);
    } else if (command->subtype == AT_AddColumn) {
      ChooseForColumn(castNode(ColumnDef, command->def));
    }
  }
}

}  // namespace

PlannedStmt* ChooseConstraintMethods(PlannedStmt* planned, bool* read_only_tree) {
  if (g_default_index_method != kDefaultIndexAlex || !OidIsValid(AlexMethod())) return planned;
  Node* statement = planned->utilityStmt;
  Oid table = InvalidOid;
  if (IsA(statement, CreateStmt)) {
    if (!MakesOmendbTable(reinterpret_cast<CreateStmt*>(statement))) return planned;
  } else {
    auto* alter = reinterpret_cast<AlterTableStmt*>(statement);
    if (alter->objtype != OBJECT_TABLE) return planned;
    table = FindRelation(alter->relation);
    if (!OidIsValid(table) || !IsPlainOmendbTable(table)) return planned;
  }
  if (*read_only_tree) {
    planned = static_cast<PlannedStmt*>(copyObjectImpl(planned));
    statement = planned->utilityStmt;
    *read_only_tree = false;
  }
  if (IsA(statement, CreateStmt)) {
    ChooseInCreate(reinterpret_cast<CreateStmt*>(statement));
  } else {
    ChooseInAlter(reinterpret_cast<AlterTableStmt*>(statement), table);
  }
  return planned;
}

}  // namespace omendb
