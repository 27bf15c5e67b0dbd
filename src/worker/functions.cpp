// SQL functions of the write buffer and the store: what an operator looks at and asks for.
#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "pg/storage_table.h"
#include "pg/store_job.h"
#include "pg/write_buffer.h"

extern "C" {
#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(omendb_flush);
PG_FUNCTION_INFO_V1(omendb_compact);
PG_FUNCTION_INFO_V1(omendb_buffer_stat);
PG_FUNCTION_INFO_V1(omendb_store_stat);
PG_FUNCTION_INFO_V1(omendb_relation_size);
}

namespace omendb {
namespace {

void RefuseInRecovery() {
  if (!RecoveryInProgress() && IsUnderPostmaster) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("the omendb store cannot be flushed or compacted by hand now"),
                  errdetail("Recovery or single-user mode is in progress.")));
}

// Storage of a relation that may well be neither an omendb table nor an index in the store.
StorageId StorageOfOid(Oid oid) {
  Relation relation = relation_open(oid, AccessShareLock);
  char kind = relation->rd_rel->relkind;
  bool may = RELKIND_HAS_TABLE_AM(kind) || kind == RELKIND_INDEX;
  StorageId storage = may ? StorageOf(relation) : 0;
  relation_close(relation, AccessShareLock);
  return storage;
}

const char* NameOf(SegmentState state) {
  switch (state) {
    case SegmentState::kFree:
      return "free";
    case SegmentState::kActive:
      return "active";
    case SegmentState::kFrozen:
      return "frozen";
    case SegmentState::kJudged:
      return "flushing";
  }
  return "unknown";
}

const char* NameOf(StoreState state) {
  switch (state) {
    case StoreState::kStarting:
      return "starting";
    case StoreState::kOpen:
      return "open";
    case StoreState::kFailed:
      return "failed";
  }
  return "unknown";
}

Datum Number(uint64_t value) { return Int64GetDatum(static_cast<int64>(value)); }

struct Row {
  static constexpr int kMost = 24;
  Datum values[kMost];
  bool nulls[kMost];
  int count;

  void Add(Datum value, bool null = false) {
    values[count] = value;
    nulls[count++] = null;
  }
  void AddLsn(Lsn lsn) { Add(LSNGetDatum(lsn), lsn == 0); }
  void AddText(const char* text) {
    bool null = text[0] == '\0';
    Add(null ? 0 : CStringGetTextDatum(text), null);
  }
};

void AddSegment(int index, Row* row) {
  const SegmentSlot& slot = g_shared->segments[index];
  Segment segment = SegmentAt(index);
  row->Add(Int32GetDatum(index));
  row->AddText(NameOf(slot.state));
  row->Add(Number(slot.sequence));
  row->Add(Number(segment.capacity()));
  row->Add(Number(segment.used()));
  row->Add(Number(segment.reserved()));
  row->Add(Number(segment.versions()));
  row->Add(Number(segment.images()));
  row->Add(Number(segment.blocks()));
  row->AddLsn(segment.first_lsn());
  row->AddLsn(segment.last_lsn());
}

void AddStore(Row* row) {
  const Counters& counters = g_shared->counters;
  char text[sizeof(FailureText)] = "";
  char levels[sizeof(g_shared->store_description)];
  LWLockAcquire(StoreTextLock(), LW_SHARED);
  if (g_shared->store_state == StoreState::kFailed || g_shared->write_failure != 0) {
    snprintf(text, sizeof(text), "%s: %s", g_shared->failure_text.message,
             g_shared->failure_text.detail);
  }
  strlcpy(levels, g_shared->store_description, sizeof(levels));
  LWLockRelease(StoreTextLock());

  row->AddText(NameOf(g_shared->store_state));
  row->AddText(text);
  row->Add(Number(g_shared->generation));
  row->AddLsn(g_shared->durable_lsn);
  row->Add(Number(g_shared->level0_files));
  row->Add(Number(g_shared->pending_bytes));
  row->Add(BoolGetDatum(g_shared->compacting));
  row->Add(Number(g_shared->obsolete_files));
  row->Add(Number(g_shared->obsolete_bytes));
  row->Add(Number(counters.flushes));
  row->Add(Number(counters.flushed_blocks));
  row->Add(Number(counters.flushed_bytes));
  row->Add(Number(counters.stalls));
  row->Add(Number(counters.stalled_us / 1000));
  row->Add(Number(counters.delayed_us / 1000));
  row->Add(Number(counters.checkpoints));
  row->Add(Number(counters.swept_storages));
  row->Add(Number(counters.judged_xids));
  row->Add(Number(g_shared->wanted_xids));
  row->Add(Number(g_shared->horizon));
  row->AddText(levels);
}

}  // namespace
}  // namespace omendb

using namespace omendb;

Datum omendb_flush(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  RefuseInRecovery();
  EnsureStoreOpen();
  FlushWriteBuffer();
  PG_RETURN_VOID();
}

Datum omendb_compact(PG_FUNCTION_ARGS) {
  RefuseInRecovery();
  EnsureStoreOpen();
  StorageId storage = 0;
  if (!PG_ARGISNULL(0)) {
    storage = StorageOfOid(PG_GETARG_OID(0));
    if (storage == 0) PG_RETURN_VOID();
  }
  FlushWriteBuffer();
  RunStoreJob(StoreJobRequest{storage, 0});
  PG_RETURN_VOID();
}

Datum omendb_buffer_stat(PG_FUNCTION_ARGS) {
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  for (int i = 0; i < kSegmentCount; i++) {
    Row row = {};
    AddSegment(i, &row);
    tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
  }
  return 0;
}

Datum omendb_store_stat(PG_FUNCTION_ARGS) {
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  Row row = {};
  AddStore(&row);
  tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
  return 0;
}

Datum omendb_relation_size(PG_FUNCTION_ARGS) {
  EnsureStoreOpen();
  PG_RETURN_INT64(static_cast<int64>(StorageBytes(StorageOfOid(PG_GETARG_OID(0)))));
}
