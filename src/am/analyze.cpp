#include "am/callbacks.h"
#include "am/slot.h"
#include "engine/row_life.h"
#include "pg/storage_table.h"

namespace omendb {

bool omendb_scan_analyze_next_block(TableScanDesc scan, BlockNumber block, BufferAccessStrategy) {
  StartAnalyzeBlock(scan, block);
  return true;
}

bool omendb_scan_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin,
                                    double* live_rows, double* dead_rows, TupleTableSlot* slot) {
  Relation relation = scan->rs_rd;
  StorageId storage = StorageOf(relation);
  RowId id;
  while (NextAnalyzeRow(scan, &id, slot)) {
    RowLifeInfo info;
    const VersionMeta* sole = CurrentSoleVersion(scan);
    if (sole != nullptr) {
      info = LifeOfSoleVersion(*sole, oldest_xmin);
    } else {
      ExecClearTuple(slot);
      JudgeRow(relation, storage, id, oldest_xmin, HolderOf(slot), &info);
    }
    if (info.life == RowLife::kRecentlyDead ||
        (info.life == RowLife::kDeleteInProgress && info.own) || info.life == RowLife::kNone) {
      *dead_rows += 1;
    }
    if (!CountsAsLive(info)) continue;
    *live_rows += 1;
    if (sole == nullptr) ShowHeldRow(slot, relation);
    return true;
  }
  ExecClearTuple(slot);
  return false;
}

}  // namespace omendb
