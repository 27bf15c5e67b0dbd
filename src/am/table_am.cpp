// The table access method: which callback does what.
#include "am/callbacks.h"
#include "am/slot.h"

extern "C" {
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(omendb_tableam_handler);
}

namespace omendb {
namespace {

const TupleTableSlotOps* omendb_slot_callbacks(Relation) { return &kOmendbSlotOps; }

void omendb_relation_fetch_toast_slice(Relation relation, Oid, int32, int32, int32,
                                       struct varlena*) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("table \"%s\" cannot be a TOAST table", RelationGetRelationName(relation)),
                  errdetail("TOAST tables of omendb tables are heaps.")));
}

const TableAmRoutine kRoutine = {
    .type = T_TableAmRoutine,
    .slot_callbacks = omendb_slot_callbacks,
    .scan_begin = omendb_scan_begin,
    .scan_end = omendb_scan_end,
    .scan_rescan = omendb_scan_rescan,
    .scan_getnextslot = omendb_scan_getnextslot,
    .scan_set_tidrange = omendb_scan_set_tidrange,
    .scan_getnextslot_tidrange = omendb_scan_getnextslot_tidrange,
    .parallelscan_estimate = table_block_parallelscan_estimate,
    .parallelscan_initialize = table_block_parallelscan_initialize,
    .parallelscan_reinitialize = table_block_parallelscan_reinitialize,
    .index_fetch_begin = omendb_index_fetch_begin,
    .index_fetch_reset = omendb_index_fetch_reset,
    .index_fetch_end = omendb_index_fetch_end,
    .index_fetch_tuple = omendb_index_fetch_tuple,
    .tuple_fetch_row_version = omendb_tuple_fetch_row_version,
    .tuple_tid_valid = omendb_tuple_tid_valid,
    .tuple_get_latest_tid = omendb_tuple_get_latest_tid,
    .tuple_satisfies_snapshot = omendb_tuple_satisfies_snapshot,
    .index_delete_tuples = omendb_index_delete_tuples,
    .tuple_insert = omendb_tuple_insert,
    .tuple_insert_speculative = omendb_tuple_insert_speculative,
    .tuple_complete_speculative = omendb_tuple_complete_speculative,
    .multi_insert = omendb_multi_insert,
    .tuple_delete = omendb_tuple_delete,
    .tuple_update = omendb_tuple_update,
    .tuple_lock = omendb_tuple_lock,
    .finish_bulk_insert = omendb_finish_bulk_insert,
    .relation_set_new_filenode = omendb_relation_set_new_filenode,
    .relation_nontransactional_truncate = omendb_relation_nontransactional_truncate,
    .relation_copy_data = omendb_relation_copy_data,
    .relation_copy_for_cluster = omendb_relation_copy_for_cluster,
    .relation_vacuum = omendb_relation_vacuum,
    .scan_analyze_next_block = omendb_scan_analyze_next_block,
    .scan_analyze_next_tuple = omendb_scan_analyze_next_tuple,
    .index_build_range_scan = omendb_index_build_range_scan,
    .index_validate_scan = omendb_index_validate_scan,
    .relation_size = omendb_relation_size,
    .relation_needs_toast_table = omendb_relation_needs_toast_table,
    .relation_toast_am = omendb_relation_toast_am,
    .relation_fetch_toast_slice = omendb_relation_fetch_toast_slice,
    .relation_estimate_size = omendb_relation_estimate_size,
    .scan_bitmap_next_block = omendb_scan_bitmap_next_block,
    .scan_bitmap_next_tuple = omendb_scan_bitmap_next_tuple,
    .scan_sample_next_block = omendb_scan_sample_next_block,
    .scan_sample_next_tuple = omendb_scan_sample_next_tuple,
};

}  // namespace

const TableAmRoutine* OmendbTableAm() { return &kRoutine; }

bool IsOmendbRelation(Relation relation) { return relation->rd_tableam == &kRoutine; }

}  // namespace omendb

extern "C" PGDLLEXPORT Datum omendb_tableam_handler(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  PG_RETURN_POINTER(&omendb::kRoutine);
}
