#include "am/database_copy.h"

#include <sys/stat.h>

#include "engine/copy_rows.h"
#include "engine/index_writer.h"
#include "pg/read_view.h"
#include "pg/storage_directory.h"
#include "pg/storage_table.h"
#include "pg/tablespaces.h"

extern "C" {
#include "access/xact.h"
#include "access/xloginsert.h"
#include "access/xlogutils.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands_xlog.h"
#include "common/relpath.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/md.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// A relation that was dropped and whose rows are still to be swept, or that the server did not
// copy.
bool FileExists(const RelFileNode& node, Oid default_tablespace) {
  RelFileNode at = node;
  if (!OidIsValid(at.spcNode)) at.spcNode = default_tablespace;
  char* path = relpathperm(at, MAIN_FORKNUM);
  struct stat unused;
  bool exists = stat(path, &unused) == 0;
  pfree(path);
  return exists;
}

// A relation of a database whose catalogs cannot be read from here.
Relation StandIn(const RelFileNode& node, char persistence) {
  Relation relation = CreateFakeRelcacheEntry(node);
  relation->rd_rel->relpersistence = persistence;
  return relation;
}

void CopyRelation(const StorageIdentity& source, Oid created) {
  RelFileNode node = source.node;
  node.dbNode = created;
  StorageId target = StorageRegisterCopy(node, InvalidBackendId, source.persistence, source.id);
  Relation from = StandIn(source.node, source.persistence);
  Relation to = StandIn(node, source.persistence);
  // What the storage is of is not known from here: it has rows or entries.
  CopyStorage(from, source.id, to, target, InvalidTransactionId);
  CopyIndexEntries(from, source.id, to, target);
  FreeFakeRelcacheEntry(from);
  FreeFakeRelcacheEntry(to);
}

void RemoveDirectories(Oid database) {
  ListCell* cell;
  List* removed = NIL;
  foreach (cell, TablespaceOids()) {
    char* path = GetDatabasePath(database, lfirst_oid(cell));
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    if (!rmtree(path, true)) {
      ereport(WARNING, (errmsg("some useless files may be left behind in old database directory "
                               "\"%s\"",
                               path)));
    }
    removed = lappend_oid(removed, lfirst_oid(cell));
  }
  if (removed == NIL) return;
  xl_dbase_drop_rec record;
  record.db_id = database;
  record.ntablespaces = list_length(removed);
  XLogBeginInsert();
  XLogRegisterData(reinterpret_cast<char*>(&record), MinSizeOfDbaseDropRec);
  foreach (cell, removed) {
    XLogRegisterData(reinterpret_cast<char*>(&lfirst_oid(cell)), sizeof(Oid));
  }
  XLogInsert(RM_DBASE_ID, XLOG_DBASE_DROP | XLR_SPECIAL_REL_UPDATE);
}

Oid g_creating = InvalidOid;  // the database that is to vanish if the session ends now

// As the server does when copying the files fails.
void TakeBack(Oid created) {
  g_creating = InvalidOid;
  const char* reason = TryForgetDatabase(created);
  DropDatabaseBuffers(created);
  ForgetDatabaseSyncRequests(created);
  RemoveDirectories(created);
  if (reason == nullptr) return;
  ereport(WARNING, (errmsg("rows of omendb tables of a database that was not created may stay in "
                           "the store"),
                    errdetail("%s", reason)));
}

// PG_ENSURE_ERROR_CLEANUP would not do: its callback must be the latest when it is taken away, and
// a session that reads its first row registers others.
void TakeBackAtExit(int, Datum) {
  if (OidIsValid(g_creating)) TakeBack(g_creating);
}

void RegisterOnce() {
  static bool registered = false;
  if (registered) return;
  before_shmem_exit(TakeBackAtExit, 0);
  registered = true;
}

// The directory that has a PG_VERSION is the one in the default tablespace.
Oid DefaultTablespaceOf(Oid database) {
  ListCell* cell;
  foreach (cell, TablespaceOids()) {
    char* path = psprintf("%s/PG_VERSION", GetDatabasePath(database, lfirst_oid(cell)));
    struct stat unused;
    if (stat(path, &unused) == 0) return lfirst_oid(cell);
  }
  ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                  errmsg("could not find the directory of database %u", database)));
}

void CopyRows(Oid source, Oid created) {
  // What a database of this number left, whose directory was removed by hand.
  StorageForgetDatabase(created);
  Oid default_tablespace = DefaultTablespaceOf(created);
  (void)GetCurrentTransactionId();
  uint32_t at = 0;
  StorageIdentity storage;
  while (NextStorageOfDatabase(source, &at, &storage)) {
    CHECK_FOR_INTERRUPTS();
    RelFileNode node = storage.node;
    node.dbNode = created;
    if (FileExists(node, default_tablespace)) CopyRelation(storage, created);
  }
}

}  // namespace

void CopyDatabaseRows(Oid source, Oid created) {
  RegisterOnce();
  g_creating = created;
  PG_TRY();
  { CopyRows(source, created); }
  PG_CATCH();
  {
    if (OidIsValid(g_creating)) TakeBack(created);
    PG_RE_THROW();
  }
  PG_END_TRY();
  g_creating = InvalidOid;
}

const char* TryForgetDatabase(Oid database) {
  MemoryContext context = CurrentMemoryContext;
  uint32 held = InterruptHoldoffCount;
  const char* volatile reason = nullptr;
  HOLD_INTERRUPTS();
  PG_TRY();
  {
    LWLockReleaseAll();
    ReadUnpin();
    StorageForgetDatabase(database);
  }
  PG_CATCH();
  {
    InterruptHoldoffCount = held + 1;
    LWLockReleaseAll();
    ConditionVariableCancelSleep();
    pgstat_report_wait_end();
    MemoryContextSwitchTo(context);
    reason = CopyErrorData()->message;
    FlushErrorState();
  }
  PG_END_TRY();
  RESUME_INTERRUPTS();
  return reason;
}

}  // namespace omendb
