// What a scan costs. The server's estimate for btree holds: the entries are visited in the same
// order and as often. Only the pages are ours.
#include <cmath>

#include "am/alex.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/genam.h"
#include "catalog/index.h"
#include "optimizer/cost.h"
#include "utils/index_selfuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace omendb {

namespace {

// As a flush will write it: six bytes of TID, two of what leaves keep free, and half of the columns'
// bytes, as neighbours share the beginnings of their keys. 100 million random bigints that came one
// by one take 11.7 bytes each.
double BytesPerEntry(Relation index) {
  double width = 0;
  TupleDesc columns = RelationGetDescr(index);
  for (int i = 0; i < columns->natts; i++) {
    const FormData_pg_attribute* column = TupleDescAttr(columns, i);
    width += get_typavgwidth(column->atttypid, column->atttypmod);
  }
  return 8 + width / 2;
}

}  // namespace

double AlexPages(Relation index, double entries) {
  StorageId storage = StorageOf(index);
  double bytes = storage == 0 ? 0 : static_cast<double>(StorageBytes(storage));
  // Some may be in the buffer only.
  bytes = Max(bytes, entries * BytesPerEntry(index));
  return Min(std::ceil(bytes / BLCKSZ) + 1, 4e9);
}

void alex_costestimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                       Cost* total_cost, Selectivity* selectivity, double* correlation,
                       double* pages) {
  // The planner took the one page of the main fork for all of it.
  Relation index = index_open(path->indexinfo->indexoid, NoLock);
  path->indexinfo->pages = static_cast<BlockNumber>(AlexPages(index, path->indexinfo->tuples));
  index_close(index, NoLock);
  btcostestimate(root, path, loop_count, startup_cost, total_cost, selectivity, correlation, pages);
}

}  // namespace omendb
