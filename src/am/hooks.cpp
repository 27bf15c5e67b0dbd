#include "am/hooks.h"

#include "am/callbacks.h"
#include "am/database_copy.h"
#include "am/index_hooks.h"
#include "am/publications.h"
#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/storage_table.h"
#include "pg/write_gate.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

ProcessUtility_hook_type g_next_utility = nullptr;

const char* TemplateOf(const CreatedbStmt* statement) {
  const char* source = "template1";
  ListCell* cell;
  foreach (cell, statement->options) {
    auto* option = static_cast<DefElem*>(lfirst(cell));
    if (strcmp(option->defname, "template") == 0 && option->arg != nullptr) {
      source = defGetString(option);
    }
  }
  return source;
}

// The server has created the database; its locks keep both names what they are.
void CopyToCreated(const CreatedbStmt* statement) {
  CommandCounterIncrement();
  CopyDatabaseRows(get_database_oid(TemplateOf(statement), false),
                   get_database_oid(statement->dbname, false));
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
  const char* reason = can_forget ? TryForgetDatabase(database) : "The store cannot be changed.";
  if (reason == nullptr) return;
  ereport(WARNING, (errmsg("rows of omendb tables of the dropped database may stay in the store"),
                    errdetail("%s", reason)));
}

void OmendbUtility(PlannedStmt* planned, const char* query, bool read_only_tree,
                   ProcessUtilityContext context, ParamListInfo params,
                   QueryEnvironment* environment, DestReceiver* destination,
                   QueryCompletion* completion) {
  bool creates_database = IsA(planned->utilityStmt, CreatedbStmt);
  // Fails now, before anything is copied, if nobody knows what the template has.
  if (creates_database) EnsureStoreOpen();
  Oid dropped = InvalidOid;
  bool can_forget = false;
  if (IsA(planned->utilityStmt, DropdbStmt)) {
    dropped = LockForDrop(reinterpret_cast<DropdbStmt*>(planned->utilityStmt));
    if (OidIsValid(dropped)) can_forget = CanForgetDatabase();
  }
  if (IsA(planned->utilityStmt, CreateStmt) || IsA(planned->utilityStmt, AlterTableStmt)) {
    planned = ChooseConstraintMethods(planned, &read_only_tree);
    CheckAttachedKeys(planned->utilityStmt);
    PrepareColumnTypeChanges(planned->utilityStmt);
  }
  PublicationCheck publication = StartPublicationCheck(planned->utilityStmt);
  ProcessUtility_hook_type next =
      g_next_utility != nullptr ? g_next_utility : standard_ProcessUtility;
  MaskForUtility(planned);
  next(planned, query, read_only_tree, context, params, environment, destination, completion);
  UnmaskUtility(planned);
  FinishPublicationCheck(publication);
  if (creates_database) CopyToCreated(reinterpret_cast<CreatedbStmt*>(planned->utilityStmt));
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
  InstallIndexHooks();
}

}  // namespace omendb
