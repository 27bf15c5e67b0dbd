#include "am/vacuum_freeze.h"

#include "mvcc/visibility.h"
#include "pg/base_backup.h"
#include "pg/storage_table.h"
#include "pg/store_job.h"
#include "pg/write_buffer.h"
#include "wal/log.h"

extern "C" {
#include "access/multixact.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "storage/procarray.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

bool IsCopiedByBackups(Relation relation) {
  return relation->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
}

void SayNotFrozen(Relation relation, int elevel, const char* reason) {
  ereport(elevel, (errmsg("\"relfrozenxid\" of table \"%s\" stays as it is",
                          RelationGetRelationName(relation)),
                   errdetail("%s", reason)));
}

}  // namespace

FreezeCutoffs FreezeForVacuum(Relation relation, const VacuumParams* params) {
  const FreezeCutoffs kNothing{InvalidTransactionId, InvalidMultiXactId};
  int elevel = (params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2;
  TransactionId oldest_xmin, limit;
  MultiXactId oldest_multi, multi_limit;
  bool aggressive = vacuum_set_xid_limits(
      relation, params->freeze_min_age, params->freeze_table_age, params->multixact_freeze_min_age,
      params->multixact_freeze_table_age, &oldest_xmin, &oldest_multi, &limit, &multi_limit);
  // Autovacuum would come again and again if it were told to prevent wraparound and did not. The
  // age that made it come may be the table's own option, of which the limits above know nothing.
  if (params->is_wraparound || (params->options & VACOPT_DISABLE_PAGE_SKIPPING) != 0)
    aggressive = true;
  // Looked up behind the limits: whoever makes the first row now is not older than they are.
  StorageId storage = StorageOf(relation);
  if (storage == 0) return FreezeCutoffs{oldest_xmin, oldest_multi};
  if (!aggressive) return kNothing;

  // Files are shared with tables of other databases, and a verdict is one for all of them: not
  // beyond the oldest transaction that runs anywhere.
  TransactionId oldest_running = GetOldestTransactionIdConsideredRunning();
  if (TransactionIdPrecedes(oldest_running, limit)) limit = oldest_running;
  TransactionId old_frozen = relation->rd_rel->relfrozenxid;
  // No version has a multixact.
  if (!TransactionIdPrecedes(old_frozen, limit)) return FreezeCutoffs{old_frozen, oldest_multi};
  if (!IsUnderPostmaster) {
    SayNotFrozen(relation, WARNING, "Files of the store cannot be rewritten in single-user mode.");
    return kNothing;
  }
  // Its copy of an older file would need clog that may be truncated before it is copied.
  const char* kBackup = "A base backup is running.";
  if (IsCopiedByBackups(relation) && BaseBackupIsRunning()) {
    SayNotFrozen(relation, elevel, kBackup);
    return kNothing;
  }
  FullXid full_limit = WidenXid(limit);
  // First, so that the standbys' work is behind them when the truncation of clog reaches them.
  LogFreeze(relation, storage, full_limit);
  FlushWriteBuffer();
  RunStoreJob(StoreJobRequest{storage, full_limit});
  if (IsCopiedByBackups(relation) && BaseBackupIsRunning()) {
    SayNotFrozen(relation, elevel, kBackup);
    return kNothing;
  }
  ereport(elevel, (errmsg("table \"%s\": new relfrozenxid: %u, which is %d XIDs ahead of previous "
                          "value",
                          RelationGetRelationName(relation), limit,
                          static_cast<int32>(limit - old_frozen))));
  return FreezeCutoffs{limit, oldest_multi};
}

}  // namespace omendb
