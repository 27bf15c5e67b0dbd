// CREATE INDEX and REINDEX: the table's rows as entries, sorted, then written in order; many of
// them into files for the store, past the write buffer.
#include "am/alex.h"
#include "am/index_hooks.h"
#include "engine/index_loader.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/nbtree.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "pgstat.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
}

namespace omendb {
namespace {

// One entry as the sort sees it, so that the order of the bytes is that of (key, tid):
//   key, tid (6 bytes, big-endian), flags (uint8, kSorted*), payload, size of the key (uint16)
constexpr uint8_t kSortedAlive = 0x01;     // else it is there for old snapshots only
constexpr uint8_t kSortedDistinct = 0x02;  // it has a null that equals nothing

struct Build {
  Relation table, index;
  const IndexCodec* codec;
  bool is_unique;
  bool nulls_distinct;
  Tuplesortstate* sort;
  StringInfoData key, payload, bytes;
  MemoryContext scratch;
  double tuples;
  double total_bytes;  // of all entries
};

// From so many bytes on it pays to write files of their own.
constexpr double kBytesForFiles = 4 << 20;

// Where the sorted entries go: into the write buffer, or into files.
struct Destination {
  IndexWriter writer;
  IndexLoader* loader;  // or nullptr
};

void AddTuple(Relation, ItemPointer tid, Datum* values, bool* isnull, bool alive, void* argument) {
  auto* build = static_cast<Build*>(argument);
  MemoryContext caller = MemoryContextSwitchTo(build->scratch);
  bool has_null = EncodeIndexTuple(build->codec, values, isnull, &build->key, &build->payload);
  CheckEntrySize(build->index, SliceOf(build->key), SliceOf(build->payload));
  StringInfo bytes = &build->bytes;
  bytes->len = VARHDRSZ;
  appendBinaryStringInfo(bytes, build->key.data, build->key.len);
  char tid_bytes[kTidSize];
  StoreTid(tid_bytes, TidToNumber(*tid));
  appendBinaryStringInfo(bytes, tid_bytes, kTidSize);
  appendStringInfoCharMacro(
      bytes, static_cast<char>((alive ? kSortedAlive : 0) |
                               (has_null && build->nulls_distinct ? kSortedDistinct : 0)));
  appendBinaryStringInfo(bytes, build->payload.data, build->payload.len);
  auto key_size = static_cast<uint16>(build->key.len);
  appendBinaryStringInfo(bytes, reinterpret_cast<char*>(&key_size), sizeof(key_size));
  SET_VARSIZE(bytes->data, bytes->len);
  tuplesort_putdatum(build->sort, PointerGetDatum(bytes->data), false);
  build->tuples++;
  build->total_bytes += build->key.len + static_cast<double>(kTidSize) + build->payload.len;
  MemoryContextSwitchTo(caller);
  MemoryContextReset(build->scratch);
}

struct SortedEntry {
  IndexEntry entry;
  uint8_t flags;
};

SortedEntry ParseSorted(Slice bytes) {
  uint16 key_size;
  memcpy(&key_size, bytes.data() + bytes.size() - sizeof(key_size), sizeof(key_size));
  bytes.remove_suffix(sizeof(key_size));
  SortedEntry sorted;
  sorted.entry.key = bytes.substr(0, key_size);
  sorted.entry.tid = LoadTid(bytes.data() + key_size);
  sorted.flags = static_cast<uint8_t>(bytes[key_size + kTidSize]);
  sorted.entry.payload = bytes.substr(key_size + kTidSize + 1);
  return sorted;
}

[[noreturn]] void RaiseDuplicated(const Build& build, const IndexEntry& entry) {
  Datum values[INDEX_MAX_KEYS];
  bool isnull[INDEX_MAX_KEYS];
  DecodeIndexEntry(build.codec, entry.key, entry.payload, values, isnull);
  char* key = BuildIndexValueDescription(build.index, values, isnull);
  ereport(ERROR,
          (errcode(ERRCODE_UNIQUE_VIOLATION),
           errmsg("could not create unique index \"%s\"", RelationGetRelationName(build.index)),
           key != nullptr ? errdetail("Key %s is duplicated.", key)
                          : errdetail("Duplicate keys exist."),
           errtableconstraint(build.table, RelationGetRelationName(build.index))));
  pg_unreachable();
}

// Writes the sorted entries; raises if a unique index would have a key twice.
void WriteSorted(Build* build, StorageId storage) {
  Destination to;
  to.loader = nullptr;
  if (build->total_bytes >= kBytesForFiles) {
    to.loader = StartIndexLoader(build->index, storage, build->scratch);
  } else {
    StartIndexWriter(&to.writer, build->index, storage);
  }
  StringInfoData live_key;  // of the last live entry
  initStringInfo(&live_key);
  bool has_live = false;
  Datum datum;
  bool null;
  double written = 0;
  while (tuplesort_getdatum(build->sort, true, &datum, &null, nullptr)) {
    auto* bytes = DatumGetByteaPP(datum);
    SortedEntry sorted =
        ParseSorted(Slice(VARDATA_ANY(bytes), static_cast<size_t>(VARSIZE_ANY_EXHDR(bytes))));
    if (build->is_unique && (sorted.flags & kSortedAlive) != 0) {
      if ((sorted.flags & kSortedDistinct) == 0) {
        if (has_live && SliceOf(live_key) == sorted.entry.key) {
          RaiseDuplicated(*build, sorted.entry);
        }
        resetStringInfo(&live_key);
        appendBinaryStringInfo(&live_key, sorted.entry.key.data(),
                               static_cast<int>(sorted.entry.key.size()));
        has_live = true;
      }
    }
    if (to.loader != nullptr) {
      LoadIndexEntry(to.loader, sorted.entry);
    } else {
      WriteIndexEntry(&to.writer, sorted.entry);
    }
    pfree(DatumGetPointer(datum));
    if (static_cast<int64>(++written) % 1024 == 0) {
      CHECK_FOR_INTERRUPTS();
      pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(written));
    }
  }
  if (to.loader != nullptr) {
    FinishIndexLoader(to.loader);
  } else {
    FinishIndexWriter(&to.writer);
  }
  pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(written));
}

// The main fork has one page, a btree's of no entries: the server asks for the height of what it
// takes for a btree (index_hooks.h), and a file without a page has none.
void WriteMetaPage(Relation index, ForkNumber fork) {
  auto page = static_cast<Page>(palloc(BLCKSZ));
  _bt_initmetapage(page, P_NONE, 0, false);
  SMgrRelation files = RelationGetSmgr(index);
  if (fork == INIT_FORKNUM || index->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT) {
    log_newpage(&files->smgr_rnode.node, fork, 0, page, true);
  }
  PageSetChecksumInplace(page, 0);
  smgrextend(files, fork, 0, reinterpret_cast<char*>(page), true);
  if (index->rd_rel->relpersistence != RELPERSISTENCE_TEMP) smgrimmedsync(files, fork);
  pfree(page);
}

}  // namespace

IndexBuildResult* alex_build(Relation table, Relation index, IndexInfo* info) {
  if (RelationGetNumberOfBlocks(index) != 0) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("index \"%s\" already contains data", RelationGetRelationName(index))));
  }
  UseBtreeOpclasses(index);
  Build build{};
  build.table = table;
  build.index = index;
  build.codec = NewIndexCodec(index);
  // Not what pg_index says: VACUUM FULL and CLUSTER build invalid indexes again without a check.
  build.is_unique = info->ii_Unique;
  build.nulls_distinct = !index->rd_index->indnullsnotdistinct;
  initStringInfo(&build.key);
  initStringInfo(&build.payload);
  initStringInfo(&build.bytes);
  build.scratch = AllocSetContextCreate(CurrentMemoryContext, "alex build", ALLOCSET_SMALL_SIZES);
  (void)GetCurrentTransactionId();
  WriteMetaPage(index, MAIN_FORKNUM);
  // A relfilenode that was used before may have left one.
  StorageForgetNode(&index->rd_node, index->rd_backend);
  StorageId storage = StorageForWrite(index);

  pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
                               PROGRESS_BTREE_PHASE_INDEXBUILD_TABLESCAN);
  Oid less = lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR)->lt_opr;
  build.sort = tuplesort_begin_datum(BYTEAOID, less, InvalidOid, false, maintenance_work_mem,
                                     nullptr, TUPLESORT_NONE);
  double rows = table_index_build_scan(table, index, info, true, true, AddTuple, &build, nullptr);
  pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_BTREE_PHASE_PERFORMSORT_1);
  tuplesort_performsort(build.sort);
  pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(build.tuples));
  pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_BTREE_PHASE_LEAF_LOAD);
  WriteSorted(&build, storage);
  tuplesort_end(build.sort);
  MemoryContextDelete(build.scratch);

  auto* result = static_cast<IndexBuildResult*>(palloc0(sizeof(IndexBuildResult)));
  result->heap_tuples = rows;
  result->index_tuples = build.tuples;
  return result;
}

void alex_buildempty(Relation index) { WriteMetaPage(index, INIT_FORKNUM); }

}  // namespace omendb
