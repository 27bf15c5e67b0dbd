// The planner takes alex indexes for btree's.
//
// It does more for btree than for a method that is only ordered: row comparisons, LIKE with a fixed
// beginning (which asks for btree's operator family), the ends of the index as statistics. All
// of that holds for alex, whose families have the operators of btree's of the same name.
//
// What PostgreSQL 15 does with IndexOptInfo.relam == BTREE_AM_OID after this hook:
// match_rowcompare_to_indexcol() needs it (the executor, too: index_mask.cpp);
// ec_member_matches_indexcol() then demands that opfamily is one of the equivalence class, so
// opfamily has to be btree's; get_actual_variable_range() reads the first entry with an index
// scan that has to give xs_itup. The executor finds an operator's strategy in the index's own
// family: one that was added to a btree family alone raises an ERROR there.

#include "am/index_hooks.h"

extern "C" {
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/lsyscache.h"
}

namespace omendb {
namespace {

get_relation_info_hook_type g_next_relation_info = nullptr;

// As the server looks for it; InvalidOid if there is none.
Oid BtreeFamilyOf(Oid family, Oid type) {
  Oid less = get_opfamily_member(family, type, type, BTLessStrategyNumber);
  Oid btree_family, btree_type;
  int16 strategy;
  if (!OidIsValid(less) ||
      !get_ordering_op_properties(less, &btree_family, &btree_type, &strategy) ||
      btree_type != type || strategy != BTLessStrategyNumber) {
    return InvalidOid;
  }
  return btree_family;
}

void PresentAsBtree(IndexOptInfo* info) {
  auto* families = static_cast<Oid*>(palloc(info->nkeycolumns * sizeof(Oid)));
  for (int i = 0; i < info->nkeycolumns; i++) {
    families[i] = BtreeFamilyOf(info->opfamily[i], info->opcintype[i]);
    if (!OidIsValid(families[i])) return;
  }
  info->opfamily = families;
  info->sortopfamily = families;
  info->relam = BTREE_AM_OID;
  // The directory of leaves and the leaf, however large the index is.
  info->tree_height = 1;
}

void IndexRelationInfo(PlannerInfo* root, Oid relation, bool inhparent, RelOptInfo* rel) {
  if (g_next_relation_info != nullptr) g_next_relation_info(root, relation, inhparent, rel);
  if (rel->indexlist == NIL) return;
  Oid alex = AlexMethod();
  if (!OidIsValid(alex)) return;
  ListCell* cell;
  foreach (cell, rel->indexlist) {
    IndexOptInfo* info = lfirst_node(IndexOptInfo, cell);
    if (info->relam == alex && info->sortopfamily != nullptr) PresentAsBtree(info);
  }
}

}  // namespace

void InstallPlannerIndexes() {
  g_next_relation_info = get_relation_info_hook;
  get_relation_info_hook = IndexRelationInfo;
}

}  // namespace omendb
