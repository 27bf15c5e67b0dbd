#include "am/callbacks.h"
#include "am/slot.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/relscan.h"
#include "access/tsmapi.h"
#include "access/valid.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

struct OmendbScan {
  TableScanDescData base;
  MemoryContext context;  // everything of the scan
  StorageId storage;
  BlockNumber blocks;      // given out when the scan began
  BlockNumber start, end;  // limits of a partial scan
  BlockWalk walk;
  BlockRows* rows;
  int64 at;  // index in rows, -1 = before the first
  bool started;
  BlockNumber backward_next;  // blocks still to visit going backward: [start, backward_next)
  ItemPointerData low, high;  // of a TID range scan
  bool has_range;
  ParallelBlockTableScanWorkerData* worker;
};

OmendbScan* AsScan(TableScanDesc scan) { return reinterpret_cast<OmendbScan*>(scan); }

void Restart(OmendbScan* scan) {
  ClearBlockRows(scan->rows);
  scan->storage = StorageOf(scan->base.rs_rd);
  scan->blocks = scan->storage == 0 ? 0 : StorageBlockCount(scan->storage);
  scan->start = 0;
  scan->end = scan->blocks;
  scan->at = -1;
  scan->started = false;
  scan->has_range = false;
  if ((scan->base.rs_flags & SO_TYPE_SEQSCAN) != 0) pgstat_count_heap_scan(scan->base.rs_rd);
}

// A dirty snapshot says of each row who is changing it. So its rows are judged one by one, as they
// are given out, and the block only tells which there are.
bool IsDirty(const OmendbScan* scan) {
  return scan->base.rs_snapshot != nullptr &&
         scan->base.rs_snapshot->snapshot_type == SNAPSHOT_DIRTY;
}

Snapshot BlockSnapshot(const OmendbScan* scan) {
  return IsDirty(scan) ? SnapshotAny : scan->base.rs_snapshot;
}

void LockForSerializable(OmendbScan* scan) {
  uint32 kinds = SO_TYPE_SEQSCAN | SO_TYPE_SAMPLESCAN;
  if ((scan->base.rs_flags & kinds) == 0 || scan->base.rs_snapshot == nullptr) return;
  if (!IsMVCCSnapshot(scan->base.rs_snapshot)) return;
  PredicateLockRelation(scan->base.rs_rd, scan->base.rs_snapshot);
}

void StartWalk(OmendbScan* scan) {
  BlockNumber end = Min(scan->end, scan->blocks);
  BlockNumber start = Min(scan->start, end);
  StartBlockWalk(&scan->walk, scan->base.rs_rd, scan->storage, start, end, scan->context);
  scan->backward_next = end;
  scan->started = true;
}

// The next block of a parallel scan that has rows.
bool NextParallelBlock(OmendbScan* scan) {
  auto* shared = reinterpret_cast<ParallelBlockTableScanDesc>(scan->base.rs_parallel);
  if (scan->worker == nullptr) {
    scan->worker = static_cast<ParallelBlockTableScanWorkerData*>(
        MemoryContextAllocZero(scan->context, sizeof(ParallelBlockTableScanWorkerData)));
    table_block_parallelscan_startblock_init(scan->base.rs_rd, scan->worker, shared);
  }
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    BlockNumber block = table_block_parallelscan_nextpage(scan->base.rs_rd, scan->worker, shared);
    if (!BlockNumberIsValid(block)) return false;
    OneBlockRows(&scan->walk, block, scan->base.rs_snapshot, SlotFilter{nullptr}, scan->rows);
    if (scan->rows->count > 0) return true;
  }
}

bool NextBlock(OmendbScan* scan) {
  if (!scan->started) {
    LockForSerializable(scan);
    StartWalk(scan);
  }
  scan->at = -1;
  if (scan->base.rs_parallel != nullptr) return NextParallelBlock(scan);
  if (!NextBlockRows(&scan->walk, BlockSnapshot(scan), scan->rows)) return false;
  scan->backward_next = scan->rows->block;
  return true;
}

bool PreviousBlock(OmendbScan* scan) {
  if (!scan->started) {
    LockForSerializable(scan);
    StartWalk(scan);
  }
  while (scan->backward_next > scan->start) {
    CHECK_FOR_INTERRUPTS();
    BlockNumber block = --scan->backward_next;
    OneBlockRows(&scan->walk, block, BlockSnapshot(scan), SlotFilter{nullptr}, scan->rows);
    if (scan->rows->count == 0) continue;
    scan->at = scan->rows->count;
    // Forward from here begins behind this block.
    scan->walk.next = block + 1;
    scan->walk.buffered_next = 0;
    return true;
  }
  return false;
}

bool InRange(const OmendbScan* scan, const VisibleRow& row) {
  if (!scan->has_range) return true;
  ItemPointerData tid;
  EncodeTid(RowId{scan->rows->block, row.slot, 0}, &tid);
  return ItemPointerCompare(&tid, const_cast<ItemPointerData*>(&scan->low)) >= 0 &&
         ItemPointerCompare(&tid, const_cast<ItemPointerData*>(&scan->high)) <= 0;
}

bool Matches(OmendbScan* scan, TupleTableSlot* slot) {
  for (int i = 0; i < scan->base.rs_nkeys; i++) {
    ScanKey key = &scan->base.rs_key[i];
    if ((key->sk_flags & SK_ISNULL) != 0) return false;
    bool is_null;
    Datum value = slot_getattr(slot, key->sk_attno, &is_null);
    if (is_null) return false;
    if (!DatumGetBool(
            FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument))) {
      return false;
    }
  }
  return true;
}

void Show(OmendbScan* scan, const VisibleRow& row, TupleTableSlot* slot) {
  HoldVisibleRow(HolderOf(slot), *scan->rows, row);
  ShowHeldRow(slot, scan->base.rs_rd);
}

// False if a dirty snapshot does not see the row.
bool Give(OmendbScan* scan, const VisibleRow& row, TupleTableSlot* slot) {
  if (!IsDirty(scan)) {
    Show(scan, row, slot);
    return true;
  }
  ExecClearTuple(slot);
  RowId id{scan->rows->block, row.slot, 0};
  if (!ReadRow(scan->base.rs_rd, scan->storage, id, scan->base.rs_snapshot, HolderOf(slot))) {
    return false;
  }
  ShowHeldRow(slot, scan->base.rs_rd);
  return true;
}

bool NextRow(OmendbScan* scan, ScanDirection direction, TupleTableSlot* slot) {
  bool forward = !ScanDirectionIsBackward(direction);
  for (;;) {
    bool have_block = scan->started && scan->rows->count > 0;
    int64 next = scan->at + (forward ? 1 : -1);
    if (!have_block || next < 0 || next >= scan->rows->count) {
      bool found = forward ? NextBlock(scan) : PreviousBlock(scan);
      if (!found) {
        // Stand behind the last or before the first row, so that the other direction finds it.
        if (!forward) scan->walk.next = scan->start;
        if (forward) scan->backward_next = Min(scan->end, scan->blocks);
        ClearBlockRows(scan->rows);
        scan->at = -1;
        ExecClearTuple(slot);
        return false;
      }
      continue;
    }
    scan->at = next;
    const VisibleRow& row = scan->rows->rows[next];
    if (!InRange(scan, row)) continue;
    if (!Give(scan, row, slot)) continue;
    if (scan->base.rs_nkeys > 0 && !Matches(scan, slot)) continue;
    pgstat_count_heap_getnext(scan->base.rs_rd);
    return true;
  }
}

}  // namespace

TableScanDesc omendb_scan_begin(Relation relation, Snapshot snapshot, int nkeys,
                                struct ScanKeyData* key, ParallelTableScanDesc parallel,
                                uint32 flags) {
  RelationIncrementReferenceCount(relation);
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb scan", ALLOCSET_DEFAULT_SIZES);
  auto* scan = static_cast<OmendbScan*>(MemoryContextAllocZero(context, sizeof(OmendbScan)));
  scan->context = context;
  scan->base.rs_rd = relation;
  scan->base.rs_snapshot = snapshot;
  scan->base.rs_nkeys = nkeys;
  scan->base.rs_flags = flags;
  scan->base.rs_parallel = parallel;
  if (nkeys > 0) {
    scan->base.rs_key =
        static_cast<ScanKey>(MemoryContextAlloc(context, sizeof(ScanKeyData) * nkeys));
    if (key != nullptr) memcpy(scan->base.rs_key, key, sizeof(ScanKeyData) * nkeys);
  }
  scan->rows = MakeBlockRows(context);
  Restart(scan);
  return &scan->base;
}

void omendb_scan_end(TableScanDesc base) {
  OmendbScan* scan = AsScan(base);
  RelationDecrementReferenceCount(base->rs_rd);
  if ((base->rs_flags & SO_TEMP_SNAPSHOT) != 0) UnregisterSnapshot(base->rs_snapshot);
  if (scan->walk.cursor != nullptr) EndBlockWalk(&scan->walk);
  MemoryContextDelete(scan->context);
}

void omendb_scan_rescan(TableScanDesc base, struct ScanKeyData* key, bool, bool, bool, bool) {
  OmendbScan* scan = AsScan(base);
  if (key != nullptr && base->rs_nkeys > 0) {
    memcpy(base->rs_key, key, sizeof(ScanKeyData) * base->rs_nkeys);
  }
  Restart(scan);
  scan->worker = nullptr;
}

void SetScanLimits(TableScanDesc base, BlockNumber start, BlockNumber count) {
  OmendbScan* scan = AsScan(base);
  scan->start = Min(start, scan->blocks);
  scan->end = count == InvalidBlockNumber ? scan->blocks : Min(scan->blocks, scan->start + count);
}

void StartAnalyzeBlock(TableScanDesc base, BlockNumber block) {
  OmendbScan* scan = AsScan(base);
  if (!scan->started) StartWalk(scan);
  OneBlockRows(&scan->walk, block, SnapshotAny, SlotFilter{nullptr}, scan->rows);
  scan->at = -1;
}

bool NextAnalyzeRow(TableScanDesc base, RowId* id, TupleTableSlot* slot) {
  OmendbScan* scan = AsScan(base);
  if (++scan->at >= scan->rows->count) return false;
  const VisibleRow& row = scan->rows->rows[scan->at];
  *id = RowId{scan->rows->block, row.slot, 0};
  Show(scan, row, slot);
  return true;
}

const VersionMeta* CurrentSoleVersion(TableScanDesc base) {
  OmendbScan* scan = AsScan(base);
  const VisibleRow& row = scan->rows->rows[scan->at];
  return row.sole ? &row.meta : nullptr;
}

bool omendb_scan_getnextslot(TableScanDesc base, ScanDirection direction, TupleTableSlot* slot) {
  return NextRow(AsScan(base), direction, slot);
}

void omendb_scan_set_tidrange(TableScanDesc base, ItemPointer low, ItemPointer high) {
  OmendbScan* scan = AsScan(base);
  Restart(scan);
  scan->has_range = true;
  scan->low = *low;
  scan->high = *high;
  scan->start = Min(ItemPointerGetBlockNumberNoCheck(low), scan->blocks);
  BlockNumber last = ItemPointerGetBlockNumberNoCheck(high);
  scan->end = last >= scan->blocks ? scan->blocks : last + 1;
  if (scan->end < scan->start) scan->end = scan->start;
}

bool omendb_scan_getnextslot_tidrange(TableScanDesc base, ScanDirection direction,
                                      TupleTableSlot* slot) {
  return NextRow(AsScan(base), direction, slot);
}

bool omendb_scan_bitmap_next_block(TableScanDesc base, struct TBMIterateResult* result) {
  OmendbScan* scan = AsScan(base);
  if (!scan->started) StartWalk(scan);
  scan->at = -1;
  uint64_t wanted[kSlotsPerBlock / 64] = {};
  SlotFilter filter{nullptr};
  if (result->ntuples >= 0) {
    for (int i = 0; i < result->ntuples; i++) {
      uint32_t slot = result->offsets[i] - 1;
      if (slot >= kSlotsPerBlock) continue;
      wanted[slot / 64] |= uint64_t{1} << (slot % 64);
      LockRowForSerializable(base->rs_rd, RowId{result->blockno, static_cast<SlotNo>(slot), 0},
                             base->rs_snapshot);
    }
    filter.bits = wanted;
  } else if (IsMVCCSnapshot(base->rs_snapshot)) {
    PredicateLockPage(base->rs_rd, result->blockno, base->rs_snapshot);
  }
  OneBlockRows(&scan->walk, result->blockno, base->rs_snapshot, filter, scan->rows);
  return scan->rows->count > 0;
}

bool omendb_scan_bitmap_next_tuple(TableScanDesc base, struct TBMIterateResult*,
                                   TupleTableSlot* slot) {
  OmendbScan* scan = AsScan(base);
  if (++scan->at >= scan->rows->count) return false;
  const VisibleRow& row = scan->rows->rows[scan->at];
  Show(scan, row, slot);
  pgstat_count_heap_fetch(base->rs_rd);
  return true;
}

bool omendb_scan_sample_next_block(TableScanDesc base, struct SampleScanState* state) {
  OmendbScan* scan = AsScan(base);
  if (!scan->started) {
    LockForSerializable(scan);
    StartWalk(scan);
    scan->backward_next = 0;  // here: the next block without a sampling method's own order
  }
  TsmRoutine* method = state->tsmroutine;
  BlockNumber block;
  if (method->NextSampleBlock != nullptr) {
    block = method->NextSampleBlock(state, scan->blocks);
    if (!BlockNumberIsValid(block)) return false;
  } else {
    if (scan->backward_next >= scan->blocks) return false;
    block = scan->backward_next++;
  }
  OneBlockRows(&scan->walk, block, base->rs_snapshot, SlotFilter{nullptr}, scan->rows);
  scan->at = -1;
  return true;
}

bool omendb_scan_sample_next_tuple(TableScanDesc base, struct SampleScanState* state,
                                   TupleTableSlot* slot) {
  OmendbScan* scan = AsScan(base);
  TsmRoutine* method = state->tsmroutine;
  for (;;) {
    OffsetNumber offset = method->NextSampleTuple(state, scan->rows->block, kSlotsPerBlock);
    if (!OffsetNumberIsValid(offset)) {
      ExecClearTuple(slot);
      return false;
    }
    for (uint32_t i = 0; i < scan->rows->count; i++) {
      const VisibleRow& row = scan->rows->rows[i];
      if (row.slot + 1 != offset) continue;
      Show(scan, row, slot);
      pgstat_count_heap_getnext(base->rs_rd);
      return true;
    }
  }
}

}  // namespace omendb
