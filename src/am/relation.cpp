#include <cmath>

#include "am/callbacks.h"
#include "engine/copy_rows.h"
#include "engine/session.h"
#include "pg/storage_table.h"
#include "wal/log.h"

extern "C" {
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/storage.h"
#include "catalog/storage_xlog.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {

void omendb_relation_set_new_filenode(Relation relation, const RelFileNode* node, char persistence,
                                      TransactionId* freeze_xid, MultiXactId* min_multi) {
  *freeze_xid = RecentXmin;
  *min_multi = GetOldestMultiXactId();
  // The main fork stays empty, but it must exist: PostgreSQL's own life cycle of files is ours.
  SMgrRelation files = RelationCreateStorage(*node, persistence, true);
  if (persistence == RELPERSISTENCE_UNLOGGED) {
    smgrcreate(files, INIT_FORKNUM, false);
    log_smgrcreate(node, INIT_FORKNUM);
    smgrimmedsync(files, INIT_FORKNUM);
  }
  StorageForgetNode(node, files->smgr_rnode.backend);
  smgrclose(files);
  (void)relation;
}

void omendb_relation_nontransactional_truncate(Relation relation) {
  // The block numbers begin anew: marks of the old blocks must not stand for them.
  if (smgrexists(RelationGetSmgr(relation), VISIBILITYMAP_FORKNUM)) RelationTruncate(relation, 0);
  StorageTruncate(relation);
}

// SET TABLESPACE. Indexes are moved as they are, so every row keeps its TID.
void omendb_relation_copy_data(Relation relation, const RelFileNode* node) {
  char persistence = relation->rd_rel->relpersistence;
  FlushRelationBuffers(relation);
  SMgrRelation files = RelationCreateStorage(*node, persistence, true);
  for (int i = INIT_FORKNUM; i > MAIN_FORKNUM; i--) {
    auto fork = static_cast<ForkNumber>(i);
    if (!smgrexists(RelationGetSmgr(relation), fork)) continue;
    smgrcreate(files, fork, false);
    bool logged = persistence == RELPERSISTENCE_PERMANENT ||
                  (persistence == RELPERSISTENCE_UNLOGGED && fork == INIT_FORKNUM);
    if (logged) log_smgrcreate(node, fork);
    RelationCopyStorage(RelationGetSmgr(relation), files, fork, persistence);
  }
  StorageForgetNode(node, relation->rd_backend);
  if (StorageId source = StorageOf(relation)) {
    (void)GetCurrentTransactionId();
    TransactionId oldest = GetOldestNonRemovableTransactionId(relation);
    StorageId target = StorageRegisterCopy(*node, relation->rd_backend, persistence, source);
    CopyStorage(relation, source, relation, target, oldest);
    // Snapshots of a standby may be older than any here.
    LogIndexCleanup(relation, MissingBefore(oldest));
  }
  RelationDropStorage(relation);
  smgrclose(files);
}

uint64 omendb_relation_size(Relation relation, ForkNumber fork) {
  if (fork != MAIN_FORKNUM && fork != InvalidForkNumber) return 0;
  StorageId storage = StorageOf(relation);
  BlockNumber blocks = storage == 0 ? 0 : StorageBlockCount(storage);
  // ANALYZE asks for the size before it decides about prefetching.
  if (blocks >= RELSEG_SIZE) SuppressMaintenancePrefetch();
  return static_cast<uint64>(blocks) * BLCKSZ;
}

bool omendb_relation_needs_toast_table(Relation relation) {
  TupleDesc descriptor = RelationGetDescr(relation);
  int32 length = 0;
  bool unbounded = false, toastable = false;
  for (int i = 0; i < descriptor->natts; i++) {
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attisdropped) continue;
    length = att_align_nominal(length, attribute->attalign);
    if (attribute->attlen > 0) {
      length += attribute->attlen;
      continue;
    }
    int32 longest = type_maximum_size(attribute->atttypid, attribute->atttypmod);
    if (longest < 0) {
      unbounded = true;
    } else {
      length += longest;
    }
    if (attribute->attstorage != TYPSTORAGE_PLAIN) toastable = true;
  }
  if (!toastable) return false;
  if (unbounded) return true;
  Size row = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(descriptor->natts)) + MAXALIGN(length);
  return row > TOAST_TUPLE_THRESHOLD;
}

// Wide values go to a heap TOAST table: PostgreSQL writes TOAST tables as heaps.
Oid omendb_relation_toast_am(Relation) { return HEAP_TABLE_AM_OID; }

void omendb_relation_estimate_size(Relation relation, int32* attr_widths, BlockNumber* pages,
                                   double* tuples, double* allvisfrac) {
  StorageId storage = StorageOf(relation);
  double blocks = storage == 0 ? 0 : StorageBlockCount(storage);
  double old_blocks = relation->rd_rel->relpages;
  double old_tuples = relation->rd_rel->reltuples;
  int32 width = get_rel_data_width(relation, attr_widths);
  if (old_tuples >= 0 && old_blocks > 0) {
    *tuples = old_tuples / old_blocks * blocks;
  } else {
    *tuples = blocks * kSlotsPerBlock;
  }
  // What a scan really reads, in units that the cost model knows. Freshly written rows are not in
  // the store yet and are counted by their width.
  double bytes = storage == 0 ? 0 : static_cast<double>(StorageBytes(storage));
  bytes = Max(bytes, *tuples * width / 2);
  *pages = static_cast<BlockNumber>(Min(bytes / BLCKSZ + (blocks > 0 ? 1 : 0), 4e9));
  // As for heap: a small table that nobody has analyzed will grow, and plans made now may be kept.
  constexpr BlockNumber kPagesOfYoungTable = 10;
  if (old_tuples < 0 && !relation->rd_rel->relhassubclass && *pages < kPagesOfYoungTable) {
    double rows_per_page =
        (BLCKSZ - SizeOfPageHeaderData) /
        static_cast<double>(MAXALIGN(width) + MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData));
    *pages = kPagesOfYoungTable;
    *tuples = Max(*tuples, kPagesOfYoungTable * std::floor(rows_per_page));
  }
  double seen_by_all = relation->rd_rel->relallvisible;
  *allvisfrac = blocks > 0 ? Min(seen_by_all / blocks, 1) : 0;
}

}  // namespace omendb
