#include "am/publications.h"

#include "am/callbacks.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

constexpr int kNamesInDetail = 5;

bool IsOmendbAm(Oid am) {
  if (!OidIsValid(am) || am == HEAP_TABLE_AM_OID) return false;
  HeapTuple tuple = SearchSysCache1(AMOID, ObjectIdGetDatum(am));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_am>(GETSTRUCT(tuple));
  bool is_table = form->amtype == AMTYPE_TABLE;
  Oid handler = form->amhandler;
  ReleaseSysCache(tuple);
  return is_table && GetTableAmRoutine(handler) == OmendbTableAm();
}

// A table of ours that a publication would send: unlogged and temporary ones are none, nor are the
// rows of a materialized view.
bool WouldBeSent(Oid table) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  bool kind = form->relkind == RELKIND_RELATION && form->relpersistence == RELPERSISTENCE_PERMANENT;
  Oid am = form->relam;
  ReleaseSysCache(tuple);
  return kind && IsOmendbAm(am);
}

List* OnlySent(List* tables) {
  List* result = NIL;
  ListCell* cell;
  foreach (cell, tables) {
    if (WouldBeSent(lfirst_oid(cell))) result = lappend_oid(result, lfirst_oid(cell));
  }
  return result;
}

char* NameOf(Oid table) {
  return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
                                    get_rel_name(table));
}

void WarnOf(Oid publication, List* tables) {
  if (tables == NIL) return;
  list_sort(tables, list_oid_cmp);
  StringInfoData names;
  initStringInfo(&names);
  for (int i = 0; i < Min(list_length(tables), kNamesInDetail); i++) {
    appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", NameOf(list_nth_oid(tables, i)));
  }
  if (list_length(tables) > kNamesInDetail) {
    appendStringInfo(&names, " and %d more", list_length(tables) - kNamesInDetail);
  }
  ereport(WARNING, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("publication \"%s\" does not send changes of omendb tables",
                           get_publication_name(publication, false)),
                    errdetail("Logical decoding of them is not supported: %s.", names.data)));
}

// The table and what is sent in its place: its partitions, its children.
List* WithDescendants(const RangeVar* name) {
  Oid table = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(table)) return NIL;
  bool all = name->inh || get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE;
  return all ? find_all_inheritors(table, NoLock, nullptr) : list_make1_oid(table);
}

void CheckPublication(const char* name, List* objects, bool all_tables) {
  Oid publication = get_publication_oid(name, true);
  if (!OidIsValid(publication)) return;
  bool schemas = false;
  List* named = NIL;
  ListCell* cell;
  foreach (cell, objects) {
    auto* object = lfirst_node(PublicationObjSpec, cell);
    if (object->pubtable == nullptr) {
      schemas = true;
      continue;
    }
    named = list_concat_unique_oid(named, OnlySent(WithDescendants(object->pubtable->relation)));
  }
  WarnOf(publication, named);
  if (all_tables) {
    WarnOf(publication, OnlySent(GetAllTablesPublicationRelations(false)));
  } else if (schemas) {
    WarnOf(publication,
           OnlySent(GetAllSchemaPublicationRelations(publication, PUBLICATION_PART_LEAF)));
  }
}

// A table that is new, or newly ours, or newly at this place.
void CheckTable(Oid table) {
  if (!WouldBeSent(table)) return;
  List* publications = list_copy(GetRelationPublications(table));
  publications = list_concat_unique_oid(publications, GetAllTablesPublications());
  publications =
      list_concat_unique_oid(publications, GetSchemaPublications(get_rel_namespace(table)));
  if (get_rel_relispartition(table)) {
    ListCell* cell;
    foreach (cell, get_partition_ancestors(table)) {
      Oid ancestor = lfirst_oid(cell);
      publications = list_concat_unique_oid(publications, GetRelationPublications(ancestor));
      publications =
          list_concat_unique_oid(publications, GetSchemaPublications(get_rel_namespace(ancestor)));
    }
  }
  ListCell* cell;
  foreach (cell, publications) WarnOf(lfirst_oid(cell), list_make1_oid(table));
}

void CheckTables(List* tables) {
  ListCell* cell;
  foreach (cell, tables) CheckTable(lfirst_oid(cell));
}

void CheckAlteredTable(const AlterTableStmt* statement) {
  ListCell* cell;
  foreach (cell, statement->cmds) {
    auto* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_AttachPartition) {
      CheckTables(WithDescendants(reinterpret_cast<PartitionCmd*>(command->def)->name));
    } else if (command->subtype == AT_SetAccessMethod || command->subtype == AT_SetLogged) {
      CheckTables(WithDescendants(statement->relation));
    }
  }
}

bool AltersPlace(const AlterObjectSchemaStmt* statement) {
  return statement->objectType == OBJECT_TABLE && statement->relation != nullptr;
}

}  // namespace

PublicationCheck StartPublicationCheck(Node* statement) {
  PublicationCheck check{statement, InvalidOid};
  switch (nodeTag(statement)) {
    case T_CreatePublicationStmt:
    case T_AlterPublicationStmt:
    case T_CreateStmt:
    case T_CreateTableAsStmt:
    case T_AlterTableStmt:
      return check;
    case T_AlterObjectSchemaStmt: {
      auto* alter = reinterpret_cast<AlterObjectSchemaStmt*>(statement);
      if (AltersPlace(alter)) check.moved = RangeVarGetRelid(alter->relation, NoLock, true);
      if (OidIsValid(check.moved)) return check;
      break;
    }
    default:
      break;
  }
  check.statement = nullptr;
  return check;
}

void FinishPublicationCheck(const PublicationCheck& check) {
  if (check.statement == nullptr) return;
  CommandCounterIncrement();  // so that the catalogs show what the statement did
  switch (nodeTag(check.statement)) {
    case T_CreatePublicationStmt: {
      auto* create = reinterpret_cast<CreatePublicationStmt*>(check.statement);
      CheckPublication(create->pubname, create->pubobjects, create->for_all_tables);
      break;
    }
    case T_AlterPublicationStmt: {
      auto* alter = reinterpret_cast<AlterPublicationStmt*>(check.statement);
      if (alter->action != AP_DropObjects) {
        CheckPublication(alter->pubname, alter->pubobjects, false);
      }
      break;
    }
    case T_CreateStmt:
      CheckTables(WithDescendants(reinterpret_cast<CreateStmt*>(check.statement)->relation));
      break;
    case T_CreateTableAsStmt:
      CheckTables(
          WithDescendants(reinterpret_cast<CreateTableAsStmt*>(check.statement)->into->rel));
      break;
    case T_AlterTableStmt:
      CheckAlteredTable(reinterpret_cast<AlterTableStmt*>(check.statement));
      break;
    default:
      CheckTable(check.moved);
  }
}

}  // namespace omendb
