// The callbacks of the index access method `alex`, by file; alex_handler.cpp puts them together.
// Each carries the name of the field that it fills.
#pragma once

#include "engine/index_reader.h"
#include "engine/index_writer.h"
#include "pg/index_codec.h"
#include "pg/server.h"
#include "pg/string_info.h"

extern "C" {
#include "access/amapi.h"
#include "access/genam.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
}

namespace omendb {

// The storage that a built index has; an unlogged one has none after a crash and is empty. ERROR
// index_corrupted if another one has none: its file was copied without its entries.
StorageId AlexStorage(Relation index);

TidNumber TidToNumber(const ItemPointerData& tid);
ItemPointerData NumberToTid(TidNumber number);

// ERROR program_limit_exceeded for an entry whose tuple an index-only scan could not show.
void CheckEntrySize(Relation index, Slice key, Slice payload);

// alex_build.cpp
IndexBuildResult* alex_build(Relation table, Relation index, IndexInfo* info);
void alex_buildempty(Relation index);

// alex_insert.cpp
bool alex_insert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation table,
                 IndexUniqueCheck check, bool unchanged, IndexInfo* info);

// alex_scan.cpp
IndexScanDesc alex_beginscan(Relation index, int nkeys, int norderbys);
void alex_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
bool alex_gettuple(IndexScanDesc scan, ScanDirection direction);
int64 alex_getbitmap(IndexScanDesc scan, TIDBitmap* bitmap);
void alex_endscan(IndexScanDesc scan);
void alex_markpos(IndexScanDesc scan);
void alex_restrpos(IndexScanDesc scan);
bool alex_canreturn(Relation index, int attribute);
bool IsHeapIndex(Relation index);  // of a heap table

// alex_vacuum.cpp
IndexBulkDeleteResult* alex_bulkdelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                       IndexBulkDeleteCallback callback, void* callback_state);
IndexBulkDeleteResult* alex_vacuumcleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);

// Pages of the server's size that the entries of an index take, about: in the store and the buffer.
double AlexPages(Relation index, double entries);

// alex_cost.cpp
void alex_costestimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                       Cost* total_cost, Selectivity* selectivity, double* correlation,
                       double* pages);

}  // namespace omendb
