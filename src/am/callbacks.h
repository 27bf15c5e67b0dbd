// The callbacks of TableAmRoutine, by file; table_am.cpp puts them together. Each carries the name
// of the field that it fills and only unpacks, calls the engine, and packs.
#pragma once

#include "engine/block_scan.h"
#include "engine/change.h"

extern "C" {
#include "access/tableam.h"
#include "commands/vacuum.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
}

namespace omendb {

const TableAmRoutine* OmendbTableAm();
bool IsOmendbRelation(Relation relation);

// scan.cpp
TableScanDesc omendb_scan_begin(Relation relation, Snapshot snapshot, int nkeys,
                                struct ScanKeyData* key, ParallelTableScanDesc parallel,
                                uint32 flags);
void omendb_scan_end(TableScanDesc scan);
void omendb_scan_rescan(TableScanDesc scan, struct ScanKeyData* key, bool set_params,
                        bool allow_strat, bool allow_sync, bool allow_pagemode);
bool omendb_scan_getnextslot(TableScanDesc scan, ScanDirection direction, TupleTableSlot* slot);
void omendb_scan_set_tidrange(TableScanDesc scan, ItemPointer low, ItemPointer high);
bool omendb_scan_getnextslot_tidrange(TableScanDesc scan, ScanDirection direction,
                                      TupleTableSlot* slot);
bool omendb_scan_bitmap_next_block(TableScanDesc scan, struct TBMIterateResult* result);
bool omendb_scan_bitmap_next_tuple(TableScanDesc scan, struct TBMIterateResult* result,
                                   TupleTableSlot* slot);
bool omendb_scan_sample_next_block(TableScanDesc scan, struct SampleScanState* state);
bool omendb_scan_sample_next_tuple(TableScanDesc scan, struct SampleScanState* state,
                                   TupleTableSlot* slot);
// ANALYZE looks at one block after the other, at every row that anyone might see.
void StartAnalyzeBlock(TableScanDesc scan, BlockNumber block);
bool NextAnalyzeRow(TableScanDesc scan, RowId* id, TupleTableSlot* slot);
// The version last given, if it is the only one of its row; else nullptr.
const VersionMeta* CurrentSoleVersion(TableScanDesc scan);
// A serial scan from one block up to another, for index builds.
void SetScanLimits(TableScanDesc scan, BlockNumber start, BlockNumber count);

// fetch.cpp
struct IndexFetchTableData* omendb_index_fetch_begin(Relation relation);
void omendb_index_fetch_reset(struct IndexFetchTableData* fetch);
void omendb_index_fetch_end(struct IndexFetchTableData* fetch);
bool omendb_index_fetch_tuple(struct IndexFetchTableData* fetch, ItemPointer tid, Snapshot snapshot,
                              TupleTableSlot* slot, bool* call_again, bool* all_dead);
bool omendb_tuple_fetch_row_version(Relation relation, ItemPointer tid, Snapshot snapshot,
                                    TupleTableSlot* slot);
bool omendb_tuple_tid_valid(TableScanDesc scan, ItemPointer tid);
void omendb_tuple_get_latest_tid(TableScanDesc scan, ItemPointer tid);
bool omendb_tuple_satisfies_snapshot(Relation relation, TupleTableSlot* slot, Snapshot snapshot);
TransactionId omendb_index_delete_tuples(Relation relation, TM_IndexDeleteOp* operation);

// modify.cpp
void omendb_tuple_insert(Relation relation, TupleTableSlot* slot, CommandId cid, int options,
                         struct BulkInsertStateData* state);
void omendb_tuple_insert_speculative(Relation relation, TupleTableSlot* slot, CommandId cid,
                                     int options, struct BulkInsertStateData* state, uint32 token);
void omendb_tuple_complete_speculative(Relation relation, TupleTableSlot* slot, uint32 token,
                                       bool succeeded);
void omendb_multi_insert(Relation relation, TupleTableSlot** slots, int count, CommandId cid,
                         int options, struct BulkInsertStateData* state);
TM_Result omendb_tuple_delete(Relation relation, ItemPointer tid, CommandId cid, Snapshot snapshot,
                              Snapshot crosscheck, bool wait, TM_FailureData* failure,
                              bool changing_partition);
TM_Result omendb_tuple_update(Relation relation, ItemPointer tid, TupleTableSlot* slot,
                              CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                              TM_FailureData* failure, LockTupleMode* mode, bool* update_indexes);
TM_Result omendb_tuple_lock(Relation relation, ItemPointer tid, Snapshot snapshot,
                            TupleTableSlot* slot, CommandId cid, LockTupleMode mode,
                            LockWaitPolicy policy, uint8 flags, TM_FailureData* failure);
void omendb_finish_bulk_insert(Relation relation, int options);

// relation.cpp
void omendb_relation_set_new_filenode(Relation relation, const RelFileNode* node, char persistence,
                                      TransactionId* freeze_xid, MultiXactId* min_multi);
void omendb_relation_nontransactional_truncate(Relation relation);
void omendb_relation_copy_data(Relation relation, const RelFileNode* node);
uint64 omendb_relation_size(Relation relation, ForkNumber fork);
bool omendb_relation_needs_toast_table(Relation relation);
Oid omendb_relation_toast_am(Relation relation);
void omendb_relation_estimate_size(Relation relation, int32* attr_widths, BlockNumber* pages,
                                   double* tuples, double* allvisfrac);

// cluster.cpp
void omendb_relation_copy_for_cluster(Relation old_table, Relation new_table, Relation old_index,
                                      bool use_sort, TransactionId oldest_xmin,
                                      TransactionId* xid_cutoff, MultiXactId* multi_cutoff,
                                      double* tuples, double* vacuumed, double* recently_dead);

// index_build.cpp
double omendb_index_build_range_scan(Relation table, Relation index, struct IndexInfo* info,
                                     bool allow_sync, bool any_visible, bool progress,
                                     BlockNumber start, BlockNumber count,
                                     IndexBuildCallback callback, void* callback_state,
                                     TableScanDesc scan);
void omendb_index_validate_scan(Relation table, Relation index, struct IndexInfo* info,
                                Snapshot snapshot, struct ValidateIndexState* state);

// vacuum.cpp, analyze.cpp
void omendb_relation_vacuum(Relation relation, struct VacuumParams* params,
                            BufferAccessStrategy strategy);
bool omendb_scan_analyze_next_block(TableScanDesc scan, BlockNumber block,
                                    BufferAccessStrategy strategy);
bool omendb_scan_analyze_next_tuple(TableScanDesc scan, TransactionId oldest_xmin,
                                    double* live_rows, double* dead_rows, TupleTableSlot* slot);

// What the engine needs to know of a relation for a change; memory from the work context.
class ChangeScope {
 public:
  // Switches to the work context; Leave switches back and frees what the change allocated. An ERROR
  // in between leaves it to the next change.
  void Enter(Relation relation, bool for_write);
  void Leave();
  ChangeContext context;

 private:
  MemoryContext caller_;
};

}  // namespace omendb
