// After a call of the executor no index-only scan is between an entry and the visibility map.

#include "am/index_hooks.h"
#include "pg/shown_entries.h"

extern "C" {
#include "executor/executor.h"
}

namespace omendb {
namespace {

ExecutorRun_hook_type g_next_run = nullptr;

void IndexOnlyRun(QueryDesc* query, ScanDirection direction, uint64 count, bool execute_once) {
  (g_next_run != nullptr ? g_next_run : standard_ExecutorRun)(query, direction, count,
                                                              execute_once);
  NothingShown();
}

}  // namespace

void InstallIndexOnlyScans() {
  g_next_run = ExecutorRun_hook;
  ExecutorRun_hook = IndexOnlyRun;
}

}  // namespace omendb
