// omendb.index_stat(): what an index consists of, counted from the structures themselves.
#include "am/alex.h"
#include "am/index_hooks.h"
#include "block/leaf_fold.h"
#include "buffer/segment_index.h"
#include "pg/guard.h"
#include "pg/leaf_memory.h"
#include "pg/read_view.h"
#include "pg/storage_directory.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(omendb_index_stat);
}

namespace omendb {
namespace {

struct Figures {
  AlexStats buffer;  // of all live segments; levels and error: of the largest
  LeafDirectory::Stats store;
  bool has_store;
};

void AddSegment(const AlexStats& stats, AlexStats* sum) {
  if (stats.keys > sum->keys) {
    sum->levels = stats.levels;
    sum->mean_search_error = stats.mean_search_error;
  }
  sum->keys += stats.keys;
  sum->model_nodes += stats.model_nodes;
  sum->leaves += stats.leaves;
  sum->plain_leaves += stats.plain_leaves;
  sum->bytes += stats.bytes;
}

void CountBuffer(StorageId storage, Figures* figures) {
  ReadView view;
  ReadPin(&view);
  Guarded([&] {
    for (int i = 0; i < view.count; i++) {
      SegmentIndex index;
      if (view.segments[i].FindIndex(storage, &index)) AddSegment(index.Stats(), &figures->buffer);
    }
    return Status::Ok();
  });
  ReadUnpin();
}

void CountStore(StorageId storage, Figures* figures) {
  const StorageEntry* entry = SharedEntryOf(storage);
  uint32_t slot = LeafDirectorySlot();
  if (entry == nullptr || slot == AlexArena::kNoSlot) return;
  Guarded([&] {
    const LeafDirectory& directory = SharedLeafDirectory();
    AlexEpoch epoch(directory.arena(), slot);
    uint32_t map = entry->leaves.map.load(std::memory_order_acquire);
    figures->has_store = map != 0;
    if (map != 0) figures->store = directory.StatsOf(map);
    return Status::Ok();
  });
}

struct Row {
  static constexpr int kMost = 20;
  Datum values[kMost];
  bool nulls[kMost];
  int count;
  void Add(Datum value, bool null) {
    values[count] = value;
    nulls[count++] = null;
  }
  void Number(uint64_t number, bool null = false) {
    Add(Int64GetDatum(static_cast<int64>(number)), null);
  }
  void Ratio(double of, double by, bool null = false) {
    Add(Float8GetDatum(by > 0 ? of / by : 0), null || by <= 0);
  }
};

HeapTuple MakeTuple(StorageId storage, const Figures& figures, TupleDesc descriptor) {
  const AlexStats& buffer = figures.buffer;
  const LeafDirectory::Stats& store = figures.store;
  bool unknown = !figures.has_store;
  auto entries = static_cast<double>(store.entries);
  double store_bytes = static_cast<double>(StorageBytes(storage));
  Row row = {};
  row.Number(buffer.keys);
  row.Number(buffer.bytes);
  row.Number(buffer.levels);
  row.Number(buffer.model_nodes);
  row.Number(buffer.leaves);
  row.Number(buffer.plain_leaves);
  row.Add(Float8GetDatum(buffer.mean_search_error), buffer.keys == 0);
  row.Number(store.entries, unknown);
  row.Number(store.leaves, unknown);
  row.Number(store.known, unknown);
  row.Ratio(entries / kMaxLeafCount, static_cast<double>(store.leaves), unknown);
  row.Number(store.models.levels, unknown);
  row.Number(store.models.model_nodes, unknown);
  row.Add(Float8GetDatum(store.models.mean_search_error), unknown);
  row.Number(store.models.bytes, unknown);
  row.Number(store.filter_bytes, unknown);
  row.Ratio(static_cast<double>(store.models.bytes + store.filter_bytes), entries, unknown);
  row.Ratio(static_cast<double>(store.deltas), static_cast<double>(store.leaves), unknown);
  row.Number(store.most_deltas, unknown);
  row.Ratio(store_bytes, entries, unknown);
  return heap_form_tuple(descriptor, row.values, row.nulls);
}

}  // namespace
}  // namespace omendb

using namespace omendb;

Datum omendb_index_stat(PG_FUNCTION_ARGS) {
  TupleDesc descriptor;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("return type must be a row type")));
  }
  Relation index = relation_open(PG_GETARG_OID(0), AccessShareLock);
  if (index->rd_rel->relkind != RELKIND_INDEX || !IsAlexIndex(index)) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not an index of the access method alex",
                           RelationGetRelationName(index))));
  }
  Figures figures = {};
  StorageId storage = AlexStorage(index);
  if (storage != 0) {
    CountBuffer(storage, &figures);
    CountStore(storage, &figures);
  }
  HeapTuple tuple = MakeTuple(storage, figures, BlessTupleDesc(descriptor));
  relation_close(index, AccessShareLock);
  PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}
