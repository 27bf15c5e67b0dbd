// VACUUM's part in keeping transaction ids from running out.
//
// Rows have no frozen state of their own: a version whose verdict is in the store needs clog no more,
// however old its transaction. What keeps relfrozenxid back are versions without one, of
// transactions that ran while they were flushed (and on a standby all that was ever replayed). So
// freezing up to X means: every file of the table that has such a version of a transaction before X
// is rewritten, here and, by a WAL record, on every standby.
#pragma once

#include "pg/server.h"

struct VacuumParams;

namespace omendb {

struct FreezeCutoffs {
  TransactionId frozen_xid;  // for pg_class; invalid = stays as it is
  MultiXactId min_multi;
};

// Freezes as much as heap's VACUUM would have to: nothing unless the table is old enough, or FREEZE
// was asked for. A table without rows is always as young as can be.
FreezeCutoffs FreezeForVacuum(Relation relation, const struct VacuumParams* params);

}  // namespace omendb
