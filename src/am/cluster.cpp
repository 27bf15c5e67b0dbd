// CLUSTER and VACUUM FULL: the rows of a table, in a new order or just closer together, in a new
// storage. As heap does, with every version that some snapshot may still see.
#include "am/callbacks.h"
#include "engine/copy_rows.h"
#include "engine/insert_target.h"
#include "pg/settings.h"
#include "pg/storage_table.h"
#include "wal/log.h"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
}

namespace omendb {
namespace {

struct Rewrite {
  Relation old_table, new_table;
  StorageId old_storage, new_storage;  // new_storage 0 = no row yet
  const Column* old_columns;
  const Column* new_columns;
  TransactionId oldest_xmin;
  MemoryContext row_context;  // of one row
  BlockCopy block;
  uint32_t next_slot;
  double tuples, vacuumed, recently_dead;
};

void StartRewrite(Rewrite* rewrite, Relation old_table, Relation new_table,
                  TransactionId oldest_xmin) {
  *rewrite = Rewrite{};
  rewrite->old_table = old_table;
  rewrite->new_table = new_table;
  rewrite->oldest_xmin = oldest_xmin;
  rewrite->old_storage = StorageOf(old_table);
  rewrite->old_columns = MakeColumns(RelationGetDescr(old_table), CurrentMemoryContext);
  rewrite->new_columns = MakeColumns(RelationGetDescr(new_table), CurrentMemoryContext);
  rewrite->row_context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb rewritten row", ALLOCSET_DEFAULT_SIZES);
  InitBlockCopy(&rewrite->block, new_table, rewrite->new_columns);
}

// Makes room for one more row.
void EnsurePlace(Rewrite* rewrite) {
  if (rewrite->new_storage == 0) {
    (void)GetCurrentTransactionId();
    rewrite->new_storage = StorageForWrite(rewrite->new_table);
    rewrite->block.storage = rewrite->new_storage;
  } else if (rewrite->next_slot < kSlotsPerBlock && rewrite->block.raw_bytes < kMaxRawBlockSize) {
    return;
  } else {
    FinishBlockCopy(&rewrite->block);
  }
  StartBlockCopy(&rewrite->block, StorageTakeBlock(rewrite->new_table, rewrite->new_storage));
  rewrite->next_slot = 0;
}

void FinishRewrite(Rewrite* rewrite) {
  if (rewrite->new_storage == 0) return;
  FinishBlockCopy(&rewrite->block);
  if (rewrite->next_slot < kSlotsPerBlock && rewrite->block.raw_bytes < kMaxRawBlockSize / 2) {
    StorageGiveSparePlace(rewrite->new_storage, rewrite->block.block, rewrite->next_slot);
  }
}

// As the new table stores it: without the values of dropped columns, with its own TOAST values.
StorableRow Reform(const Rewrite& rewrite, const StorableRow& row) {
  TupleDesc descriptor = RelationGetDescr(rewrite.new_table);
  for (uint32_t i = 0; i < row.natts; i++) {
    if (TupleDescAttr(descriptor, i)->attisdropped) row.nulls[i] = true;
  }
  return MakeStorableCopy(rewrite.new_table, row, HEAP_INSERT_SKIP_FSM | HEAP_INSERT_NO_LOGICAL);
}

void WriteFrozen(Rewrite* rewrite, const StorableRow& row, TransactionId maker) {
  EnsurePlace(rewrite);
  auto slot = static_cast<SlotNo>(rewrite->next_slot++);
  VersionMeta meta{kFrozenXid, 0, FirstCommandId, VersionKind::kInsert, 0};
  CopyRowVersion(&rewrite->block, slot, meta, maker, Reform(*rewrite, row));
}

void WriteHistory(Rewrite* rewrite, const RowHistory& history) {
  EnsurePlace(rewrite);
  auto slot = static_cast<SlotNo>(rewrite->next_slot++);
  for (int i = history.count - 1; i >= 0; i--) {
    VersionMeta meta = history.versions[i].meta;
    RowHolder* holder = history.versions[i].holder;
    if (holder != nullptr) {
      StorableRow row = DecodeHeld(rewrite->old_table, holder, rewrite->old_columns);
      CopyRowVersion(&rewrite->block, slot, meta, history.versions[i].maker,
                     Reform(*rewrite, row));
      continue;
    }
    // Where a moved row went is not known yet. Only snapshots older than the move see this one, and
    // whoever has such a snapshot and wants to change the row fails either way.
    meta.kind = VersionKind::kDelete;
    meta.flags &= kVersionMovedPartition;
    CopyRowEnd(&rewrite->block, slot, meta, Slice());
  }
}

void Count(Rewrite* rewrite, const RowHistory& history) {
  rewrite->tuples += history.rows;
  rewrite->recently_dead += history.dead_rows;
  rewrite->vacuumed += history.left_out;
}

void ReportScannedAndWritten(const Rewrite& rewrite) {
  constexpr int kParams[] = {PROGRESS_CLUSTER_HEAP_TUPLES_SCANNED,
                             PROGRESS_CLUSTER_HEAP_TUPLES_WRITTEN};
  int64 values[] = {static_cast<int64>(rewrite.tuples), static_cast<int64>(rewrite.tuples)};
  pgstat_progress_update_multi_param(2, kParams, values);
}

// Calls take(rewrite, history, id) for every row that the new table needs, in the order of TIDs.
template <typename Take>
void ForEachRow(Rewrite* rewrite, Take take) {
  pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_SEQ_SCAN_HEAP);
  BlockNo blocks = StorageBlockCount(rewrite->old_storage);
  pgstat_progress_update_param(PROGRESS_CLUSTER_TOTAL_HEAP_BLKS, blocks);
  BlockRows* rows = MakeBlockRows(CurrentMemoryContext);
  BlockWalk walk{};
  StartBlockWalk(&walk, rewrite->old_table, rewrite->old_storage, 0, blocks, CurrentMemoryContext);
  while (NextBlockRows(&walk, SnapshotAny, rows)) {
    for (uint32_t i = 0; i < rows->count; i++) {
      MemoryContext caller = MemoryContextSwitchTo(rewrite->row_context);
      RowHistory history;
      ReadHistoryOf(rewrite->old_table, rewrite->old_storage, *rows, rows->rows[i],
                    rewrite->oldest_xmin, &history);
      Count(rewrite, history);
      if (history.count > 0) take(rewrite, history, RowId{rows->block, rows->rows[i].slot, 0});
      MemoryContextSwitchTo(caller);
      MemoryContextReset(rewrite->row_context);
    }
    pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED, rows->block + 1);
  }
  EndBlockWalk(&walk);
  pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_BLKS_SCANNED, blocks);
}

void RewriteInTidOrder(Rewrite* rewrite) {
  ForEachRow(rewrite, [](Rewrite* to, const RowHistory& history, const RowId&) {
    WriteHistory(to, history);
    ReportScannedAndWritten(*to);
  });
}

// Reads and writes the row under one TID of the old table.
void RewriteRow(Rewrite* rewrite, const RowId& id, bool count) {
  MemoryContext caller = MemoryContextSwitchTo(rewrite->row_context);
  RowHistory history;
  ReadHistory(rewrite->old_table, rewrite->old_storage, id, rewrite->oldest_xmin, &history);
  if (count) Count(rewrite, history);
  if (history.count > 0) WriteHistory(rewrite, history);
  MemoryContextSwitchTo(caller);
  MemoryContextReset(rewrite->row_context);
}

// All versions under one TID have the same index entry, so every row comes once.
void RewriteInIndexOrder(Rewrite* rewrite, Relation index) {
  constexpr int kParams[] = {PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_INDEX_RELID};
  int64 values[] = {PROGRESS_CLUSTER_PHASE_INDEX_SCAN_HEAP, RelationGetRelid(index)};
  pgstat_progress_update_multi_param(2, kParams, values);
  IndexScanDesc scan = index_beginscan(rewrite->old_table, index, SnapshotAny, 0, 0);
  index_rescan(scan, nullptr, 0, nullptr, 0);
  while (ItemPointer tid = index_getnext_tid(scan, ForwardScanDirection)) {
    CHECK_FOR_INTERRUPTS();
    if (scan->xs_recheck) elog(ERROR, "CLUSTER does not support lossy index conditions");
    RewriteRow(rewrite, DecodeTid(tid), true);
    ReportScannedAndWritten(*rewrite);
  }
  index_endscan(scan);
}

Tuplesortstate* g_sort = nullptr;  // of the rewrite at hand

// A row with a single version that everybody sees takes its bytes along; of another one the bytes
// serve to sort it, and it is read again.
void PutRow(Rewrite* rewrite, const RowHistory& history, const RowId& id) {
  const KeptVersion& newest = history.versions[0];
  const KeptVersion* row = &newest;
  while (row->holder == nullptr) row++;
  bool complete = history.count == 1 && newest.meta.xid == kFrozenXid;
  StorableRow values = DecodeHeld(rewrite->old_table, row->holder, rewrite->old_columns);
  HeapTuple tuple =
      heap_form_tuple(RelationGetDescr(rewrite->old_table), values.values, values.nulls);
  HeapTupleHeaderSetXmin(tuple->t_data, complete ? row->maker : InvalidTransactionId);
  EncodeTid(id, &tuple->t_self);
  tuplesort_putheaptuple(g_sort, tuple);
  pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_SCANNED,
                               static_cast<int64>(rewrite->tuples));
}

void WriteSorted(Rewrite* rewrite, HeapTuple tuple) {
  TransactionId maker = HeapTupleHeaderGetRawXmin(tuple->t_data);
  if (!TransactionIdIsValid(maker)) {
    RewriteRow(rewrite, DecodeTid(&tuple->t_self), false);
    return;
  }
  TupleDesc descriptor = RelationGetDescr(rewrite->old_table);
  MemoryContext caller = MemoryContextSwitchTo(rewrite->row_context);
  auto natts = static_cast<uint32_t>(descriptor->natts);
  auto* values = static_cast<Value*>(palloc(sizeof(Value) * Max(natts, 1)));
  auto* nulls = static_cast<bool*>(palloc(Max(natts, 1)));
  heap_deform_tuple(tuple, descriptor, values, nulls);
  WriteFrozen(rewrite, StorableRow{values, nulls, natts}, maker);
  MemoryContextSwitchTo(caller);
  MemoryContextReset(rewrite->row_context);
}

void RewriteSorted(Rewrite* rewrite, Relation index) {
  g_sort = tuplesort_begin_cluster(RelationGetDescr(rewrite->old_table), index,
                                   maintenance_work_mem, nullptr, TUPLESORT_NONE);
  ForEachRow(rewrite, PutRow);
  pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_SORT_TUPLES);
  tuplesort_performsort(g_sort);
  pgstat_progress_update_param(PROGRESS_CLUSTER_PHASE, PROGRESS_CLUSTER_PHASE_WRITE_NEW_HEAP);
  int64 written = 0;
  while (HeapTuple tuple = tuplesort_getheaptuple(g_sort, true)) {
    CHECK_FOR_INTERRUPTS();
    WriteSorted(rewrite, tuple);
    pgstat_progress_update_param(PROGRESS_CLUSTER_HEAP_TUPLES_WRITTEN, ++written);
  }
  tuplesort_end(g_sort);
  g_sort = nullptr;
}

// The planner takes blocks that were read once for cached. A session caches few of them, and
// reading a whole block for every row costs far more than a sort.
bool SortIsCheaper(const Rewrite& rewrite, Relation index) {
  if (index->rd_rel->relam != BTREE_AM_OID || !enable_sort) return false;
  uint64 blocks = StorageBlockCount(rewrite.old_storage);
  return blocks * (BLCKSZ / 1024) > static_cast<uint64>(g_block_cache_size_kb) / 2;
}

}  // namespace

void omendb_relation_copy_for_cluster(Relation old_table, Relation new_table, Relation old_index,
                                      bool use_sort, TransactionId oldest_xmin,
                                      TransactionId* xid_cutoff, MultiXactId*, double* tuples,
                                      double* vacuumed, double* recently_dead) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb rewrite", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  Rewrite rewrite;
  StartRewrite(&rewrite, old_table, new_table, oldest_xmin);
  if (rewrite.old_storage != 0) {
    if (old_index != nullptr && (use_sort || SortIsCheaper(rewrite, old_index))) {
      RewriteSorted(&rewrite, old_index);
    } else if (old_index != nullptr) {
      RewriteInIndexOrder(&rewrite, old_index);
    } else {
      RewriteInTidOrder(&rewrite);
    }
    FinishRewrite(&rewrite);
    // Snapshots of a standby may be older than any here.
    LogIndexCleanup(old_table, MissingBefore(oldest_xmin));
  }
  // All that is older was written as frozen.
  if (TransactionIdFollows(oldest_xmin, *xid_cutoff)) *xid_cutoff = oldest_xmin;
  *tuples = rewrite.tuples;
  *vacuumed = rewrite.vacuumed;
  *recently_dead = rewrite.recently_dead;
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

}  // namespace omendb
