// The last step of every change to an existing row: gate, lock, look again, write.
#pragma once

#include "engine/change.h"
#include "pg/write_gate.h"

namespace omendb {

struct ChangeStep {
  WriteTicket ticket;
  LWLock* first;
  LWLock* second;  // nullptr unless two stripes are held
};

// Enters the gate and locks the row's stripe (and the other block's). False, with everything given
// back, if the row got a new version since it was examined.
bool BeginChange(const ChangeContext& context, const RowId& id, const RowState& state, size_t bound,
                 const BlockNo* other_block, ChangeStep* step);
// Writes the locks of others that the change must not lose, on top of it.
void CarryLocks(const ChangeContext& context, const RowId& id, const RowState& state,
                ChangeStep* step);
size_t CarryBound(const RowState& state);
void EndChange(ChangeStep* step);

FullXid OwnFullXid();

}  // namespace omendb
