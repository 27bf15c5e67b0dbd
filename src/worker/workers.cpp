#include "worker/workers.h"

#include "pg/server.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/bgworker_internals.h"
}

namespace omendb {
namespace {

bool IsRegistered(const char* function) {
  // The macros of slist do not compile as C++.
  for (const slist_node* node = BackgroundWorkerList.head.next; node != nullptr;
       node = node->next) {
    const auto* known = reinterpret_cast<const RegisteredBgWorker*>(
        reinterpret_cast<const char*>(node) - offsetof(RegisteredBgWorker, rw_lnode));
    if (strcmp(known->rw_worker.bgw_function_name, function) == 0) return true;
  }
  return false;
}

void Register(const char* name, const char* function, int flags, BgWorkerStartTime start) {
  BackgroundWorker worker;
  memset(&worker, 0, sizeof(worker));
  worker.bgw_flags = flags;
  worker.bgw_start_time = start;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_library_name, "omendb", sizeof(worker.bgw_library_name));
  strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
  strlcpy(worker.bgw_name, name, sizeof(worker.bgw_name));
  strlcpy(worker.bgw_type, name, sizeof(worker.bgw_type));
  RegisterBackgroundWorker(&worker);
  // If the slots are taken the server only logs it, and starts without: recovery and the first
  // access to a table would wait for ever. They are given out at this point only, so that is final.
  if (!IsPostmasterEnvironment || IsRegistered(function)) return;
  ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("there is no worker process left for the %s", name),
                  errdetail("\"max_worker_processes\" is %d.", max_worker_processes),
                  errhint("Raise \"max_worker_processes\": omendb needs two of them, besides those "
                          "of logical replication and of other libraries.")));
}

}  // namespace

void RegisterWorkers() {
  // Recovery needs the store; the guard needs a place in the ProcArray, where checkpoints look.
  Register("omendb store worker", "omendb_store_worker_main", BGWORKER_SHMEM_ACCESS,
           BgWorkerStart_PostmasterStart);
  Register("omendb checkpoint guard", "omendb_checkpoint_guard_main",
           BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
           BgWorkerStart_ConsistentState);
}

}  // namespace omendb
