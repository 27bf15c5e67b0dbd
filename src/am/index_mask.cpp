// For ON CONFLICT and for row comparisons the executor demands that an index is btree's, as REFRESH
// MATERIALIZED VIEW CONCURRENTLY does and ADD PRIMARY KEY or UNIQUE USING INDEX: they look at
// rd_rel->relam in the relation cache. During such a statement the entries of its alex indexes say
// so. What the index is called by, rd_indam, stays alex's.
//
// The planner, which such a statement may call again (functions, foreign keys), must not see that:
// it would read a metapage that is none. So while it plans, the masks of the statements around it
// are off.
//
// The entries are held open meanwhile, so they stay where they are; when one is read again, a
// relation cache callback sets it again. They are held by a resource owner of their own: a
// statement may outlive the one that is current at its start, and lasts until ExecutorEnd or, after
// an error, until its subtransaction ends.

#include "am/index_hooks.h"

extern "C" {
#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
}

namespace omendb {
namespace {

struct Mask {
  Relation index;
  Oid method;             // what relam is without it
  const void* statement;  // a QueryDesc or PlannedStmt
  int nest_level;         // of transactions, when it started
  int planning;           // g_planning, when it started
};

Mask* g_masks = nullptr;
int g_mask_count = 0;
int g_mask_capacity = 0;
int g_planning = 0;               // calls of the planner in progress
ResourceOwner g_owner = nullptr;  // child of the top transaction's
ExecutorStart_hook_type g_next_start = nullptr;
ExecutorEnd_hook_type g_next_end = nullptr;
planner_hook_type g_next_planner = nullptr;

// Sets relam of every index that has a mask.
void ApplyMasks() {
  for (int i = 0; i < g_mask_count; i++) g_masks[i].index->rd_rel->relam = g_masks[i].method;
  for (int i = 0; i < g_mask_count; i++) {
    if (g_masks[i].planning >= g_planning) g_masks[i].index->rd_rel->relam = BTREE_AM_OID;
  }
}

void AddMask(Relation index, const void* statement) {
  Oid method = index->rd_rel->relam;
  for (int i = 0; i < g_mask_count; i++) {
    if (g_masks[i].index == index) method = g_masks[i].method;
  }
  if (g_mask_count == g_mask_capacity) {
    int capacity = g_mask_capacity == 0 ? 8 : 2 * g_mask_capacity;
    g_masks = static_cast<Mask*>(g_masks == nullptr
                                     ? MemoryContextAlloc(TopMemoryContext, capacity * sizeof(Mask))
                                     : repalloc(g_masks, capacity * sizeof(Mask)));
    g_mask_capacity = capacity;
  }
  g_masks[g_mask_count++] = {index, method, statement, GetCurrentTransactionNestLevel(),
                             g_planning};
  ApplyMasks();
}

// The table of the index is locked.
void MaskIndex(Oid oid, bool only_unique, const void* statement) {
  if (g_owner == nullptr) g_owner = ResourceOwnerCreate(TopTransactionResourceOwner, "alex masks");
  ResourceOwner caller = CurrentResourceOwner;
  Relation index = index_open(oid, AccessShareLock);
  bool wanted = IsAlexIndex(index) && (!only_unique || index->rd_index->indisunique);
  if (wanted) {
    // Held by our owner instead of the caller's.
    CurrentResourceOwner = g_owner;
    RelationIncrementReferenceCount(index);
    CurrentResourceOwner = caller;
    AddMask(index, statement);
  }
  index_close(index, NoLock);
}

// Removes the masks that `which` accepts. `release`: what holds them is not going away by itself.
template <typename Predicate>
void RemoveMasks(bool release, Predicate which) {
  for (int i = g_mask_count - 1; i >= 0; i--) {
    Mask mask = g_masks[i];
    if (!which(mask)) continue;
    g_masks[i] = g_masks[--g_mask_count];
    mask.index->rd_rel->relam = mask.method;
    ApplyMasks();  // another statement may have it too
    if (!release) continue;
    ResourceOwner caller = CurrentResourceOwner;
    CurrentResourceOwner = g_owner;
    RelationClose(mask.index);
    CurrentResourceOwner = caller;
  }
}

void MaskAgain(Datum, Oid relation) {
  for (int i = 0; i < g_mask_count; i++) {
    Relation index = g_masks[i].index;
    if (!OidIsValid(relation) || RelationGetRelid(index) == relation) {
      ApplyMasks();
      return;
    }
  }
}

void MaskUniqueIndexes(Relation table, const void* statement) {
  List* indexes = RelationGetIndexList(table);
  ListCell* cell;
  foreach (cell, indexes) MaskIndex(lfirst_oid(cell), true, statement);
  list_free(indexes);
}

// Rows may go to any partition; the server opens those when it gets there.
void MaskPartitions(Oid parent, const void* statement) {
  List* tables = find_all_inheritors(parent, NoLock, nullptr);
  ListCell* cell;
  foreach (cell, tables) {
    // One that is being changed or dropped is not waited for. Its keys are btree's, unless it has
    // others of its own.
    Oid oid = lfirst_oid(cell);
    if (oid == parent || !ConditionalLockRelationOid(oid, AccessShareLock)) continue;
    Relation table = try_relation_open(oid, NoLock);
    if (table != nullptr) {
      MaskUniqueIndexes(table, statement);
      relation_close(table, NoLock);
    }
  }
  list_free(tables);
}

void MaskTargets(const ModifyTable* plan, QueryDesc* query) {
  if (plan->onConflictAction == ONCONFLICT_NONE) return;
  ListCell* cell;
  foreach (cell, plan->resultRelations) {
    RangeTblEntry* entry = rt_fetch(lfirst_int(cell), query->plannedstmt->rtable);
    Relation table = table_open(entry->relid, NoLock);
    if (table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
      MaskPartitions(entry->relid, query);
    } else {
      MaskUniqueIndexes(table, query);
    }
    table_close(table, NoLock);
  }
}

void MaskRowComparison(Oid index, const List* quals, QueryDesc* query) {
  ListCell* cell;
  foreach (cell, quals) {
    if (IsA(lfirst(cell), RowCompareExpr)) {
      MaskIndex(index, false, query);
      return;
    }
  }
}

void VisitPlan(const Plan* plan, QueryDesc* query);

void VisitPlans(const List* plans, QueryDesc* query) {
  ListCell* cell;
  foreach (cell, plans) VisitPlan(static_cast<Plan*>(lfirst(cell)), query);
}

void VisitPlan(const Plan* plan, QueryDesc* query) {
  if (plan == nullptr) return;
  check_stack_depth();
  switch (nodeTag(plan)) {
    case T_ModifyTable:
      MaskTargets(reinterpret_cast<const ModifyTable*>(plan), query);
      break;
    case T_IndexScan: {
      auto* scan = reinterpret_cast<const IndexScan*>(plan);
      MaskRowComparison(scan->indexid, scan->indexqual, query);
      break;
    }
    case T_IndexOnlyScan: {
      auto* scan = reinterpret_cast<const IndexOnlyScan*>(plan);
      MaskRowComparison(scan->indexid, scan->indexqual, query);
      break;
    }
    case T_BitmapIndexScan: {
      auto* scan = reinterpret_cast<const BitmapIndexScan*>(plan);
      MaskRowComparison(scan->indexid, scan->indexqual, query);
      break;
    }
    case T_Append:
      VisitPlans(reinterpret_cast<const Append*>(plan)->appendplans, query);
      break;
    case T_MergeAppend:
      VisitPlans(reinterpret_cast<const MergeAppend*>(plan)->mergeplans, query);
      break;
    case T_BitmapAnd:
      VisitPlans(reinterpret_cast<const BitmapAnd*>(plan)->bitmapplans, query);
      break;
    case T_BitmapOr:
      VisitPlans(reinterpret_cast<const BitmapOr*>(plan)->bitmapplans, query);
      break;
    case T_SubqueryScan:
      VisitPlan(reinterpret_cast<const SubqueryScan*>(plan)->subplan, query);
      break;
    case T_CustomScan:
      VisitPlans(reinterpret_cast<const CustomScan*>(plan)->custom_plans, query);
      break;
    default:
      break;
  }
  VisitPlan(plan->lefttree, query);
  VisitPlan(plan->righttree, query);
}

void MaskForRefresh(const RefreshMatViewStmt* refresh, const void* statement) {
  if (!refresh->concurrent) return;
  // The lock that the statement takes lets this one in.
  Oid oid = RangeVarGetRelid(refresh->relation, AccessShareLock, true);
  if (!OidIsValid(oid)) return;
  Relation view = relation_open(oid, NoLock);
  if (view->rd_rel->relkind == RELKIND_MATVIEW) MaskUniqueIndexes(view, statement);
  relation_close(view, NoLock);
}

// Whether the command may make indexes of the table again, which a mask would keep it from: an
// index that is held open is neither built nor dropped.
bool MayRebuildIndexes(const AlterTableCmd* command) {
  switch (command->subtype) {
    case AT_AddColumn:
    case AT_AlterColumnType:
    case AT_SetAccessMethod:
    case AT_SetLogged:
    case AT_SetUnLogged:
      return true;
    default:
      return false;
  }
}

// Of the commands that have one, the index that a constraint is to get.
void MaskForAlter(const AlterTableStmt* alter, const void* statement) {
  if (alter->objtype != OBJECT_TABLE) return;
  List* names = NIL;
  ListCell* cell;
  foreach (cell, alter->cmds) {
    AlterTableCmd* command = lfirst_node(AlterTableCmd, cell);
    if (MayRebuildIndexes(command)) return;
    if (command->subtype != AT_AddConstraint) continue;
    Constraint* constraint = castNode(Constraint, command->def);
    if (constraint->indexname != nullptr) names = lappend(names, constraint->indexname);
  }
  if (names == NIL || RecoveryInProgress()) return;
  // The server raises what is wrong.
  Oid table = RangeVarGetRelid(alter->relation, NoLock, true);
  if (!OidIsValid(table) || !pg_class_ownercheck(table, GetUserId())) return;
  LockRelationOid(table, AccessExclusiveLock);
  Oid schema = get_rel_namespace(table);
  foreach (cell, names) {
    Oid index = get_relname_relid(static_cast<char*>(lfirst(cell)), schema);
    if (OidIsValid(index) && IndexGetRelation(index, true) == table) {
      MaskIndex(index, true, statement);
    }
  }
}

void IndexMaskStart(QueryDesc* query, int flags) {
  if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0) {
    VisitPlan(query->plannedstmt->planTree, query);
    VisitPlans(query->plannedstmt->subplans, query);
  }
  (g_next_start != nullptr ? g_next_start : standard_ExecutorStart)(query, flags);
}

void IndexMaskEnd(QueryDesc* query) {
  (g_next_end != nullptr ? g_next_end : standard_ExecutorEnd)(query);
  RemoveMasks(true, [query](const Mask& mask) { return mask.statement == query; });
}

PlannedStmt* PlanUnmasked(Query* query, const char* text, int cursor_options,
                          ParamListInfo params) {
  planner_hook_type next = g_next_planner != nullptr ? g_next_planner : standard_planner;
  if (g_mask_count == 0) return next(query, text, cursor_options, params);
  PlannedStmt* volatile result = nullptr;
  g_planning++;
  PG_TRY();
  {
    ApplyMasks();
    result = next(query, text, cursor_options, params);
  }
  PG_FINALLY();
  {
    g_planning--;
    ApplyMasks();
  }
  PG_END_TRY();
  return result;
}

void AtTransactionEnd(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      RemoveMasks(true, [](const Mask&) { return true; });
      break;
    default:
      RemoveMasks(false, [](const Mask&) { return true; });
      g_owner = nullptr;
  }
}

void AtSubtransactionEnd(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event != SUBXACT_EVENT_ABORT_SUB) return;
  int level = GetCurrentTransactionNestLevel();
  RemoveMasks(true, [level](const Mask& mask) { return mask.nest_level >= level; });
}

}  // namespace

void MaskForUtility(const PlannedStmt* statement) {
  const Node* node = statement->utilityStmt;
  if (IsA(node, RefreshMatViewStmt)) {
    MaskForRefresh(reinterpret_cast<const RefreshMatViewStmt*>(node), statement);
  } else if (IsA(node, AlterTableStmt)) {
    MaskForAlter(reinterpret_cast<const AlterTableStmt*>(node), statement);
  }
}

void UnmaskUtility(const PlannedStmt* statement) {
  RemoveMasks(true, [statement](const Mask& mask) { return mask.statement == statement; });
}

void InstallIndexMask() {
  g_next_start = ExecutorStart_hook;
  ExecutorStart_hook = IndexMaskStart;
  g_next_end = ExecutorEnd_hook;
  ExecutorEnd_hook = IndexMaskEnd;
  g_next_planner = planner_hook;
  planner_hook = PlanUnmasked;
  CacheRegisterRelcacheCallback(MaskAgain, 0);
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
}

}  // namespace omendb
