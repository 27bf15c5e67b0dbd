// From a slot's values to stored bytes: TOAST where rows are wide, then the packed row.
#pragma once

#include "block/packed_row.h"
#include "engine/row_holder.h"

extern "C" {
#include "executor/tuptable.h"
}

namespace omendb {

// The layout of a tuple descriptor. Allocated in the context.
const Column* MakeColumns(TupleDesc descriptor, MemoryContext context);

// A row ready to be stored: values that are neither expanded nor in another table's TOAST.
struct StorableRow {
  Value* values;
  bool* nulls;
  uint32_t natts;
};

// The slot's values as they are, with expanded objects flattened.
StorableRow FlatRow(Relation relation, TupleTableSlot* slot);
// True if storing such a row may write to or delete from the TOAST table.
bool NeedsToaster(Relation relation, const StorableRow& row, const StorableRow* old_row);
// Values as they can be packed; runs the toaster where it must. Allocates in CurrentMemoryContext.
StorableRow MakeStorable(Relation relation, TupleTableSlot* slot, const StorableRow* old_row,
                         int options);
// The same for a row of another table, with TOAST values of that table or of none.
StorableRow MakeStorableCopy(Relation relation, const StorableRow& row, int options);
// The row's TOAST values die with it.
void DeleteToastOf(Relation relation, const StorableRow& row, bool speculative);
bool HasExternal(TupleDesc descriptor, const StorableRow& row);

// Decodes a held row completely. Values point into the holder or CurrentMemoryContext.
StorableRow DecodeHeld(Relation relation, RowHolder* holder, const Column* columns);

// As above, but only the attributes that were stored, by the storage's layout.
StorableRow DecodeAsStored(RowHolder* holder, Columns layout);

// Packs into CurrentMemoryContext. ERROR program_limit_exceeded if larger than the buffer takes.
Slice PackStorable(Relation relation, const Column* columns, const StorableRow& row);

// Columns of the relation that differ between the rows, out of `interesting` (as from
// RelationGetIndexAttrBitmap).
Bitmapset* ChangedColumns(Relation relation, const Bitmapset* interesting,
                          const StorableRow& before, const StorableRow& after);

}  // namespace omendb
