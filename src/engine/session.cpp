#include "engine/session.h"

#include "engine/insert_target.h"

extern "C" {
#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

constexpr int kMaxTransientPins = 8;

Lsn g_first_own_lsn[2] = {~Lsn{0}, ~Lsn{0}};  // logged, unlogged
CachedBlock* g_transient[kMaxTransientPins];
int g_transient_count = 0;

bool IsLogged(Relation relation) {
  return relation->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
}

int g_suppressed_concurrency = 0;  // what maintenance_io_concurrency was, 0 = left alone

void RestoreMaintenancePrefetch() {
  if (g_suppressed_concurrency == 0) return;
  if (maintenance_io_concurrency == 0) maintenance_io_concurrency = g_suppressed_concurrency;
  g_suppressed_concurrency = 0;
}

void DropAllTransientPins() {
  while (g_transient_count > 0) UnpinBlock(g_transient[--g_transient_count]);
}

void AtTransactionEnd(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PARALLEL_ABORT:
    case XACT_EVENT_PREPARE:
      DropAllTransientPins();
      RestoreMaintenancePrefetch();
      g_first_own_lsn[0] = g_first_own_lsn[1] = ~Lsn{0};
      ReleaseStaleReader();
      break;
    default:
      break;
  }
}

void AtSubTransactionEnd(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_ABORT_SUB) DropAllTransientPins();
}

void AtInvalidation(Datum, Oid relation) {
  if (relation == kOldFilesInvalidation) ReleaseStaleReaderNow();
}

}  // namespace

void EnsureEngineSession() {
  static bool registered = false;
  if (registered) return;
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubTransactionEnd, nullptr);
  CacheRegisterRelcacheCallback(AtInvalidation, 0);
  registered = true;
}

void SuppressMaintenancePrefetch() {
  EnsureEngineSession();
  if (maintenance_io_concurrency == 0) return;
  g_suppressed_concurrency = maintenance_io_concurrency;
  maintenance_io_concurrency = 0;
}

Lsn FirstOwnLsn(Relation relation) {
  if (IsParallelWorker()) return 0;
  return g_first_own_lsn[IsLogged(relation) ? 0 : 1];
}

void NoteOwnLsn(Relation relation, Lsn lsn) {
  Lsn* first = &g_first_own_lsn[IsLogged(relation) ? 0 : 1];
  if (lsn < *first) *first = lsn;
}

void AddTransientPin(CachedBlock* block) {
  if (g_transient_count == kMaxTransientPins) {
    UnpinBlock(block);
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("too many row blocks pinned at once")));
  }
  g_transient[g_transient_count++] = block;
}

void DropTransientPin(CachedBlock* block) {
  for (int i = g_transient_count - 1; i >= 0; i--) {
    if (g_transient[i] != block) continue;
    g_transient[i] = g_transient[--g_transient_count];
    UnpinBlock(block);
    return;
  }
}

}  // namespace omendb
