#include "worker/workers.h"

#include "pg/server.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
}

namespace omendb {
namespace {

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
}

}  // namespace

void RegisterWorkers() {
  // The server would start without them, and the first access to a table would wait for ever.
  constexpr int kWorkers = 2;
  if (IsPostmasterEnvironment && max_worker_processes < kWorkers) {
    ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("omendb needs at least %d worker processes", kWorkers),
                    errhint("Raise \"max_worker_processes\".")));
  }
  // Recovery needs the store; the guard needs a place in the ProcArray, where checkpoints look.
  Register("omendb store worker", "omendb_store_worker_main", BGWORKER_SHMEM_ACCESS,
           BgWorkerStart_PostmasterStart);
  Register("omendb checkpoint guard", "omendb_checkpoint_guard_main",
           BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
           BgWorkerStart_ConsistentState);
}

}  // namespace omendb
