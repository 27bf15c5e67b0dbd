// The index access method: which callback does what.
#include "am/alex.h"
#include "pg/read_view.h"
#include "pg/storage_table.h"

extern "C" {
#include "access/nbtree.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(omendb_alex_handler);
}

namespace omendb {
namespace {

// Options are btree's fillfactor and deduplicate_items: accepted, so that tables and dumps that
// carry them work, and without effect.
bytea* alex_options(Datum options, bool validate) { return btoptions(options, validate); }

// The operator families are btree's in every respect.
bool alex_validate(Oid opclass) {
  (void)opclass;
  return true;
}

}  // namespace

void CheckEntrySize(Relation index, Slice key, Slice payload) {
  CheckIndexRowSize(RelationGetRelationName(index), key.size() + payload.size());
}

TidNumber TidToNumber(const ItemPointerData& tid) {
  return static_cast<TidNumber>(ItemPointerGetBlockNumberNoCheck(&tid)) << 16 |
         ItemPointerGetOffsetNumberNoCheck(&tid);
}

ItemPointerData NumberToTid(TidNumber number) {
  ItemPointerData tid;
  ItemPointerSet(&tid, static_cast<BlockNumber>(number >> 16), static_cast<OffsetNumber>(number));
  return tid;
}

StorageId AlexStorage(Relation index) {
  EnsureStoreOpen();
  StorageId storage = StorageOf(index);
  if (storage == 0 && index->rd_rel->relpersistence != RELPERSISTENCE_UNLOGGED) {
    ereport(ERROR,
            (errcode(ERRCODE_INDEX_CORRUPTED),
             errmsg("index \"%s\" has no entries in the store", RelationGetRelationName(index)),
             errdetail("Its file was copied or moved without them."), errhint("REINDEX it.")));
  }
  return storage;
}

}  // namespace omendb

using namespace omendb;

Datum omendb_alex_handler(PG_FUNCTION_ARGS) {
  (void)fcinfo;
  IndexAmRoutine* routine = makeNode(IndexAmRoutine);
  // Strategies and support functions have btree's numbers: the server takes operator classes of the
  // one for those of the other where foreign keys and ON CONFLICT ask for btree.
  routine->amstrategies = BTMaxStrategyNumber;
  routine->amsupport = BTNProcs;
  routine->amoptsprocnum = BTOPTIONS_PROC;
  routine->amcanorder = true;
  routine->amcanorderbyop = false;
  routine->amcanbackward = true;
  routine->amcanunique = true;
  routine->amcanmulticol = true;
  routine->amoptionalkey = true;
  routine->amsearcharray = true;
  routine->amsearchnulls = true;
  routine->amstorage = false;
  routine->amclusterable = true;
  // The server locks the whole index for SERIALIZABLE, and checks writers against that.
  routine->ampredlocks = false;
  routine->amcanparallel = false;
  routine->amcaninclude = true;
  routine->amusemaintenanceworkmem = false;
  routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
  routine->amkeytype = InvalidOid;

  routine->ambuild = alex_build;
  routine->ambuildempty = alex_buildempty;
  routine->aminsert = alex_insert;
  routine->ambulkdelete = alex_bulkdelete;
  routine->amvacuumcleanup = alex_vacuumcleanup;
  routine->amcanreturn = alex_canreturn;
  routine->amcostestimate = alex_costestimate;
  routine->amoptions = alex_options;
  routine->amvalidate = alex_validate;
  routine->ambeginscan = alex_beginscan;
  routine->amrescan = alex_rescan;
  routine->amgettuple = alex_gettuple;
  routine->amgetbitmap = alex_getbitmap;
  routine->amendscan = alex_endscan;
  routine->ammarkpos = alex_markpos;
  routine->amrestrpos = alex_restrpos;
  PG_RETURN_POINTER(routine);
}
