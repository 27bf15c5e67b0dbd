// A partition's primary key has to be of its parent's access method, which is btree. The server
// would call an alex one a second primary key.

#include "am/index_hooks.h"

extern "C" {
#include "access/relation.h"
#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace omendb {
namespace {

// InvalidOid if there is none.
Oid PrimaryKeyOf(const RangeVar* name) {
  Oid oid = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(oid)) return InvalidOid;
  Relation table = try_relation_open(oid, AccessShareLock);
  if (table == nullptr) return InvalidOid;
  RelationGetIndexList(table);
  Oid key = table->rd_pkindex;
  relation_close(table, AccessShareLock);
  return key;
}

}  // namespace

void CheckAttachedKeys(Node* node) {
  if (!IsA(node, AlterTableStmt)) return;
  auto* statement = reinterpret_cast<AlterTableStmt*>(node);
  ListCell* cell;
  foreach (cell, statement->cmds) {
    AlterTableCmd* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype != AT_AttachPartition || statement->objtype != OBJECT_TABLE) continue;
    RangeVar* partition = castNode(PartitionCmd, command->def)->name;
    Oid key = PrimaryKeyOf(partition);
    if (!OidIsValid(key) || !OidIsValid(PrimaryKeyOf(statement->relation))) continue;
    Relation index = try_relation_open(key, AccessShareLock);
    if (index == nullptr) continue;
    bool alex = IsAlexIndex(index);
    relation_close(index, AccessShareLock);
    if (!alex) continue;
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("cannot attach table \"%s\": its primary key uses access method \"alex\"",
                    partition->relname),
             errdetail("The primary key of a partitioned table and of its partitions is btree's."),
             errhint("Drop the primary key; one that matches is made when the table is attached. "
                     "Or make it again with omendb.default_index_method = btree.")));
  }
}

}  // namespace omendb
