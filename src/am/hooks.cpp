#include "am/hooks.h"

#include "am/callbacks.h"
#include "am/publications.h"
#include "pg/shared_state.h"
#include "pg/storage_table.h"
#include "pg/write_gate.h"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

ProcessUtility_hook_type g_next_utility = nullptr;

// A database is copied file by file, without what the store has of it: better none than one with
// empty tables.
void RefuseTemplate(const CreatedbStmt* statement) {
  const char* source = "template1";
  ListCell* cell;
  foreach (cell, statement->options) {
    auto* option = static_cast<DefElem*>(lfirst(cell));
    if (strcmp(option->defname, "template") == 0 && option->arg != nullptr) {
      source = defGetString(option);
    }
  }
  Oid database = get_database_oid(source, true);
  if (!OidIsValid(database) || !StorageInDatabase(database)) return;
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("database \"%s\" has omendb tables and cannot be a template", source),
                  errhint("Use pg_dump and pg_restore to copy it.")));
}

// The rows lie under the old tablespace's name.
void RefuseMove(const AlterDatabaseStmt* statement) {
  bool moves = false;
  ListCell* cell;
  foreach (cell, statement->options) {
    if (strcmp(static_cast<DefElem*>(lfirst(cell))->defname, "tablespace") == 0) moves = true;
  }
  if (!moves) return;
  Oid database = get_database_oid(statement->dbname, true);
  if (!OidIsValid(database) || !StorageInDatabase(database)) return;
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("database \"%s\" has omendb tables and cannot be moved to another "
                         "tablespace",
                         statement->dbname)));
}

// The database that DROP DATABASE will drop, or InvalidOid. Locked as dropdb() locks it, so that it
// is the same one even if databases are renamed meanwhile.
Oid LockForDrop(const DropdbStmt* statement) {
  // Refused soon, and such locks with it.
  if (RecoveryInProgress()) return InvalidOid;
  for (;;) {
    Oid database = get_database_oid(statement->dbname, true);
    if (!OidIsValid(database)) return InvalidOid;
    LockSharedObject(DatabaseRelationId, database, 0, AccessExclusiveLock);
    if (get_database_oid(statement->dbname, true) == database) return database;
    UnlockSharedObject(DatabaseRelationId, database, 0, AccessExclusiveLock);
  }
}

// Fails now, while all is there, if the store takes no changes. With a store that cannot be opened
// databases can be dropped all the same.
bool CanForgetDatabase() {
  if (!IsUnderPostmaster || g_shared->store_state == StoreState::kFailed) return false;
  WriteTicket ticket = WriteGateEnter(0);
  WriteGateLeave(&ticket);
  return true;
}

// There is no way back from here, the directory is gone: an ERROR would leave a database in the
// catalog that nobody can use.
void ForgetDroppedDatabase(Oid database, bool can_forget) {
  if (SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database))) return;
  MemoryContext context = CurrentMemoryContext;
  uint32 held = InterruptHoldoffCount;
  const char* volatile reason = "The store cannot be changed.";
  HOLD_INTERRUPTS();
  PG_TRY();
  {
    if (can_forget) {
      StorageForgetDatabase(database);
      reason = nullptr;
    }
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
  if (reason == nullptr) return;
  ereport(WARNING, (errmsg("rows of omendb tables of the dropped database may stay in the store"),
                    errdetail("%s", reason)));
}

void OmendbUtility(PlannedStmt* planned, const char* query, bool read_only_tree,
                   ProcessUtilityContext context, ParamListInfo params,
                   QueryEnvironment* environment, DestReceiver* destination,
                   QueryCompletion* completion) {
  if (IsA(planned->utilityStmt, CreatedbStmt)) {
    RefuseTemplate(reinterpret_cast<CreatedbStmt*>(planned->utilityStmt));
  }
  if (IsA(planned->utilityStmt, AlterDatabaseStmt)) {
    RefuseMove(reinterpret_cast<AlterDatabaseStmt*>(planned->utilityStmt));
  }
  Oid dropped = InvalidOid;
  bool can_forget = false;
  if (IsA(planned->utilityStmt, DropdbStmt)) {
    dropped = LockForDrop(reinterpret_cast<DropdbStmt*>(planned->utilityStmt));
    if (OidIsValid(dropped)) can_forget = CanForgetDatabase();
  }
  PublicationCheck publication = StartPublicationCheck(planned->utilityStmt);
  ProcessUtility_hook_type next =
      g_next_utility != nullptr ? g_next_utility : standard_ProcessUtility;
  next(planned, query, read_only_tree, context, params, environment, destination, completion);
  FinishPublicationCheck(publication);
  if (OidIsValid(dropped)) ForgetDroppedDatabase(dropped, can_forget);
}

ExecutorStart_hook_type g_next_executor_start = nullptr;

// The server's prefetching asks the main fork for block numbers that are only ours. It is useless,
// and behind the fork's first gigabyte of numbers an ERROR.
bool StopPrefetch(PlanState* state, void*) {
  if (state == nullptr) return false;
  if (IsA(state, BitmapHeapScanState)) {
    auto* scan = reinterpret_cast<BitmapHeapScanState*>(state);
    Relation relation = scan->ss.ss_currentRelation;
    if (relation != nullptr && IsOmendbRelation(relation)) scan->prefetch_maximum = 0;
  }
  // The walker's parameter is declared without arguments, as C allows.
  auto* untyped = reinterpret_cast<void*>(StopPrefetch);
  return planstate_tree_walker(state, reinterpret_cast<bool (*)()>(untyped), nullptr);
}

void OmendbExecutorStart(QueryDesc* query, int flags) {
  ExecutorStart_hook_type next =
      g_next_executor_start != nullptr ? g_next_executor_start : standard_ExecutorStart;
  next(query, flags);
  StopPrefetch(query->planstate, nullptr);
}

}  // namespace

void InstallAmHooks() {
  g_next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = OmendbExecutorStart;
  g_next_utility = ProcessUtility_hook;
  ProcessUtility_hook = OmendbUtility;
}

}  // namespace omendb
