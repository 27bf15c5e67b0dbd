// omendb.check_index(): whether an index and its table say the same.
#include "am/alex.h"
#include "am/index_hooks.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(omendb_check_index);
}

namespace omendb {
namespace {

struct Check {
  Relation table, index;
  IndexInfo* info;
  const IndexCodec* codec;
  EState* estate;
  TupleTableSlot* slot;
  IndexFetchTableData* fetch;
  IndexReader* reader;
  Snapshot snapshot;
  MemoryContext row_context;
  StringInfoData last_key;
  TidNumber last_tid;
  int64 entries;
  StringInfoData key, payload;
};

[[noreturn]] void RaiseCorrupted(const Check& check, const char* what, TidNumber tid) {
  ItemPointerData pointer = NumberToTid(tid);
  ereport(ERROR,
          (errcode(ERRCODE_INDEX_CORRUPTED),
           errmsg("index \"%s\" is damaged: %s", RelationGetRelationName(check.index), what),
           errdetail("The row has the TID (%u,%u).", ItemPointerGetBlockNumberNoCheck(&pointer),
                     ItemPointerGetOffsetNumberNoCheck(&pointer)),
           errhint("REINDEX makes the index anew from its table.")));
  pg_unreachable();
}

// The row that an entry leads to, if the snapshot sees one, must have the entry's key.
void CheckEntry(const IndexEntry& entry, void* argument) {
  auto* check = static_cast<Check*>(argument);
  if (check->entries++ > 0 &&
      CompareEntries(SliceOf(check->last_key), check->last_tid, entry.key, entry.tid) >= 0) {
    RaiseCorrupted(*check, "its entries are out of order", entry.tid);
  }
  resetStringInfo(&check->last_key);
  appendBinaryStringInfo(&check->last_key, entry.key.data(), static_cast<int>(entry.key.size()));
  check->last_tid = entry.tid;

  MemoryContext caller = MemoryContextSwitchTo(check->row_context);
  ItemPointerData tid = NumberToTid(entry.tid);
  bool again = false;
  if (table_index_fetch_tuple(check->fetch, &tid, check->snapshot, check->slot, &again, nullptr)) {
    Datum values[INDEX_MAX_KEYS];
    bool isnull[INDEX_MAX_KEYS];
    check->estate->es_per_tuple_exprcontext->ecxt_scantuple = check->slot;
    FormIndexDatum(check->info, check->slot, check->estate, values, isnull);
    EncodeIndexTuple(check->codec, values, isnull, &check->key, &check->payload);
    if (SliceOf(check->key) != entry.key) {
      RaiseCorrupted(*check, "an entry leads to a row with another key", entry.tid);
    }
  }
  ExecClearTuple(check->slot);
  MemoryContextSwitchTo(caller);
  MemoryContextReset(check->row_context);
  ResetPerTupleExprContext(check->estate);
}

// Every row that the snapshot sees must be found by its key.
void CheckRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* argument) {
  auto* check = static_cast<Check*>(argument);
  MemoryContext caller = MemoryContextSwitchTo(check->row_context);
  EncodeIndexTuple(check->codec, values, isnull, &check->key, &check->payload);
  TidNumber number = TidToNumber(*tid);
  IndexSpan span{SliceOf(check->key), Slice(), true, number > 0, SliceOf(check->key), number - 1};
  bool complete;
  int count = ReadIndexBatch(check->reader, span, false, 1, &complete);
  IndexEntry entry;
  if (count == 1) entry = BatchEntry(check->reader, 0);
  if (count == 0 || entry.tid != number || entry.key != SliceOf(check->key)) {
    RaiseCorrupted(*check, "a row has no entry", number);
  }
  if (entry.payload != SliceOf(check->payload)) {
    RaiseCorrupted(*check, "an entry has other included values than its row", number);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(check->row_context);
}

int64 CheckIndex(Relation table, Relation index) {
  StorageId storage = AlexStorage(index);
  if (storage == 0) return 0;
  Check check{};
  check.table = table;
  check.index = index;
  check.info = BuildIndexInfo(index);
  check.codec = NewIndexCodec(index);
  check.row_context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb index check", ALLOCSET_SMALL_SIZES);
  initStringInfo(&check.last_key);
  initStringInfo(&check.key);
  initStringInfo(&check.payload);
  check.reader = OpenIndexReader(index, storage, CurrentMemoryContext);
  check.snapshot = RegisterSnapshot(GetTransactionSnapshot());
  check.estate = CreateExecutorState();
  (void)GetPerTupleExprContext(check.estate);
  check.slot = table_slot_create(table, nullptr);
  check.fetch = table_index_fetch_begin(table);
  VisitIndexEntries(index, storage, CheckEntry, &check);
  table_index_fetch_end(check.fetch);
  ExecDropSingleTupleTableSlot(check.slot);
  FreeExecutorState(check.estate);
  // Made in the memory that is gone.
  check.info->ii_ExpressionsState = NIL;
  check.info->ii_PredicateState = nullptr;

  // As amcheck: under a snapshot of its own the scan gives the rows that it sees, and no others.
  check.info->ii_Concurrent = true;
  check.info->ii_Unique = false;
  check.info->ii_ExclusionOps = nullptr;
  TableScanDesc scan = table_beginscan_strat(table, check.snapshot, 0, nullptr, true, false);
  table_index_build_scan(table, index, check.info, true, false, CheckRow, &check, scan);
  UnregisterSnapshot(check.snapshot);
  return check.entries;
}

}  // namespace
}  // namespace omendb

using namespace omendb;

Datum omendb_check_index(PG_FUNCTION_ARGS) {
  Oid oid = PG_GETARG_OID(0);
  Oid table_oid = IndexGetRelation(oid, true);
  if (!OidIsValid(table_oid)) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not an index", get_rel_name(oid))));
  }
  // Rows do not move from TID to TID meanwhile that the snapshot sees; writers may go on.
  Relation table = table_open(table_oid, AccessShareLock);
  Relation index = index_open(oid, AccessShareLock);
  if (!IsAlexIndex(index) || index->rd_rel->relkind != RELKIND_INDEX) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not an index of the access method alex",
                           RelationGetRelationName(index)),
                    errhint("The extension amcheck checks B-trees.")));
  }
  // Functions of the index are its owner's, and must not run with the rights of whoever checks it.
  Oid user;
  int security;
  GetUserIdAndSecContext(&user, &security);
  SetUserIdAndSecContext(table->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
  int settings = NewGUCNestLevel();
  int64 entries = CheckIndex(table, index);
  AtEOXact_GUC(false, settings);
  SetUserIdAndSecContext(user, security);
  index_close(index, AccessShareLock);
  table_close(table, AccessShareLock);
  PG_RETURN_INT64(entries);
}
