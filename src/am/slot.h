// The slot type of omendb tables: shows a held row, decodes only up to the attribute asked for.
// The row's block stays pinned, or its copy stays allocated, until the slot is cleared.
#pragma once

#include "engine/row_holder.h"

extern "C" {
#include "executor/tuptable.h"
}

namespace omendb {

struct OmendbSlot {
  TupleTableSlot base;
  RowHolder holder;
  const Column* columns;   // of the slot's descriptor, made at first need
  PackedRowReader reader;  // while a packed row is shown
  char* scratch;
  size_t scratch_size;
  uint32_t available;  // attributes that the stored row has
  bool has_row;        // the holder is what is shown (else: virtual values)
  TransactionId xmin;  // system column, once the row's bytes are gone; until then the holder knows
  TransactionId xmax;  // system column: who locked, changed or deleted the row since
  char* materialized;  // private copy of reference values
};

extern const TupleTableSlotOps kOmendbSlotOps;

inline bool IsOmendbSlot(const TupleTableSlot* slot) { return slot->tts_ops == &kOmendbSlotOps; }
inline OmendbSlot* AsOmendbSlot(TupleTableSlot* slot) {
  return reinterpret_cast<OmendbSlot*>(slot);
}

// The holder to fill before ShowHeldRow. Clears the slot.
RowHolder* HolderOf(TupleTableSlot* slot);
// Shows what the holder holds: sets tts_tid (with the alias) and tts_tableOid.
void ShowHeldRow(TupleTableSlot* slot, Relation relation);
// The slot's values have been stored by the current transaction: gives them their system columns.
// As with heap, xmax tells RETURNING whether the row had been locked before (ON CONFLICT).
void ShowAsWritten(TupleTableSlot* slot, CommandId cid, bool was_locked);

}  // namespace omendb
