// What makes the server treat indexes of the method alex as it treats btree's: constraints, foreign
// keys, ON CONFLICT, row comparisons and the planner.
//
// The server asks for btree by OID in a few places. What it looks at there is given to it:
//
// - PRIMARY KEY and UNIQUE: the raw constraint has a method's name (constraint_method.cpp)
// - foreign keys: the method of the key's operator classes in pg_index (UseBtreeOpclasses)
// - ON CONFLICT, row comparisons in the executor, REFRESH … CONCURRENTLY and ADD … USING INDEX:
//   rd_rel->relam in the relation cache, for the time of the statement (index_mask.cpp)
// - the planner: IndexOptInfo (planner_indexes.cpp)
#pragma once

#include "pg/server.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace omendb {

// Called once, while shared_preload_libraries are loaded.
void InstallIndexHooks();

// pg_am's alex in this database, InvalidOid without the extension.
Oid AlexMethod();
// Whether an index has the access method alex, whatever rd_rel->relam says at the moment.
bool IsAlexIndex(Relation index);

// For ambuild: gives a unique index btree's operator classes in pg_index, and `index` their
// families. Other indexes stay as they are, and classes that are not the extension's.
void UseBtreeOpclasses(Relation index);

// Undoes it. See alter_type.cpp.
void UseAlexOpclasses(Relation index);

// constraint_method.cpp. The statement with the method set, or `planned` itself.
PlannedStmt* ChooseConstraintMethods(PlannedStmt* planned, bool* read_only_tree);

// alter_type.cpp and attach_partition.cpp: before ALTER TABLE.
void PrepareColumnTypeChanges(Node* statement);
void CheckAttachedKeys(Node* statement);

// index_mask.cpp: around a utility statement. After an error Unmask is not called.
void MaskForUtility(const PlannedStmt* statement);
void UnmaskUtility(const PlannedStmt* statement);

// In the files of these names, for InstallIndexHooks.
void InstallIndexMask();
void InstallPlannerIndexes();
void InstallIndexOnlyScans();
void InstallIndexTablespaces();

}  // namespace omendb
