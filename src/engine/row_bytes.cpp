#include "engine/row_bytes.h"

#include "pg/guard.h"
#include "pg/storage_table.h"
#include "pg/write_gate.h"
#include "wal/log.h"

extern "C" {
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/tupdesc.h"
#include "catalog/pg_class.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

bool IsExternal(TupleDesc descriptor, int attribute, const Value* values, const bool* nulls) {
  return !nulls[attribute] && TupleDescAttr(descriptor, attribute)->attlen == -1 &&
         VARATT_IS_EXTERNAL(DatumGetPointer(values[attribute]));
}

// Values of the slot with expanded objects flattened; everything else as it is.
StorableRow FlatValues(TupleDesc descriptor, TupleTableSlot* slot) {
  slot_getallattrs(slot);
  int natts = descriptor->natts;
  auto* values = static_cast<Value*>(palloc(sizeof(Value) * Max(natts, 1)));
  for (int i = 0; i < natts; i++) {
    values[i] = slot->tts_values[i];
    if (slot->tts_isnull[i] || TupleDescAttr(descriptor, i)->attlen != -1) continue;
    if (!VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(values[i]))) continue;
    ExpandedObjectHeader* object = DatumGetEOHP(values[i]);
    Size size = EOH_get_flat_size(object);
    void* flat = palloc(size);
    EOH_flatten_into(object, flat, size);
    values[i] = PointerGetDatum(flat);
  }
  return StorableRow{values, slot->tts_isnull, static_cast<uint32_t>(natts)};
}

// As it would be on a heap page; what decides about TOAST.
Size HeapSize(TupleDesc descriptor, const StorableRow& row) {
  return MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(row.natts)) +
         heap_compute_data_size(descriptor, row.values, row.nulls);
}

bool HasToaster(Relation relation) {
  return relation->rd_rel->relkind == RELKIND_RELATION ||
         relation->rd_rel->relkind == RELKIND_MATVIEW;
}

// Both rows point to the same TOAST values: none has to be written or deleted.
bool KeepsToast(TupleDesc descriptor, const StorableRow& old_row, const StorableRow& row) {
  for (uint32_t i = 0; i < row.natts; i++) {
    bool external = IsExternal(descriptor, i, row.values, row.nulls);
    if (external != IsExternal(descriptor, i, old_row.values, old_row.nulls)) return false;
    if (external && !datumIsEqual(old_row.values[i], row.values[i], false, -1)) return false;
  }
  return true;
}

bool ToasterWouldRun(Relation relation, const StorableRow& row, const StorableRow* old_row) {
  TupleDesc descriptor = RelationGetDescr(relation);
  if (!HasToaster(relation)) return false;
  if (HeapSize(descriptor, row) > TOAST_TUPLE_THRESHOLD) return true;
  if (old_row == nullptr) return HasExternal(descriptor, row);
  return !KeepsToast(descriptor, *old_row, row);
}

HeapTuple FormTuple(Relation relation, const StorableRow& row) {
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), row.values, row.nulls);
  tuple->t_tableOid = RelationGetRelid(relation);
  return tuple;
}

StorableRow Toast(Relation relation, const StorableRow& row, const StorableRow* old_row,
                  int options) {
  if (!ToasterWouldRun(relation, row, old_row)) return row;
  TupleDesc descriptor = RelationGetDescr(relation);
  HeapTuple tuple = FormTuple(relation, row);
  HeapTuple old_tuple = old_row != nullptr ? FormTuple(relation, *old_row) : nullptr;
  HeapTuple toasted = heap_toast_insert_or_update(relation, tuple, old_tuple, options);
  auto* values = static_cast<Value*>(palloc(sizeof(Value) * Max(descriptor->natts, 1)));
  auto* nulls = static_cast<bool*>(palloc(Max(descriptor->natts, 1)));
  heap_deform_tuple(toasted, descriptor, values, nulls);
  return StorableRow{values, nulls, static_cast<uint32_t>(descriptor->natts)};
}

// Returns how many attributes, of those wanted, the row has.
uint32_t Decode(RowHolder* holder, Columns columns, Value* values, bool* nulls) {
  auto wanted = static_cast<uint32_t>(columns.size());
  uint32_t have = 0;
  if (holder->in_image) {
    have = Min(holder->image.natts(), wanted);
    holder->image.Decode(holder->row, 0, have, values, nulls);
  } else {
    Slice packed(holder->bytes, holder->size);
    char* scratch = static_cast<char*>(palloc(PackedRowReader::ScratchSize(packed, wanted)));
    Guarded([&] {
      PackedRowReader reader;
      OMENDB_RETURN_IF_ERROR(PackedRowReader::Open(packed, columns, &reader));
      have = Min(reader.natts(), wanted);
      return reader.DecodeUpTo(have, values, nulls, scratch);
    });
  }
  return have;
}

StorableRow AllocateRow(uint32_t natts) {
  auto* values = static_cast<Value*>(palloc(sizeof(Value) * Max(natts, 1)));
  auto* nulls = static_cast<bool*>(palloc(Max(natts, 1)));
  return StorableRow{values, nulls, natts};
}

}  // namespace

const Column* MakeColumns(TupleDesc descriptor, MemoryContext context) {
  auto* columns =
      static_cast<Column*>(MemoryContextAlloc(context, sizeof(Column) * Max(descriptor->natts, 1)));
  ColumnsOf(descriptor, columns);
  return columns;
}

bool HasExternal(TupleDesc descriptor, const StorableRow& row) {
  for (uint32_t i = 0; i < row.natts; i++) {
    if (IsExternal(descriptor, i, row.values, row.nulls)) return true;
  }
  return false;
}

StorableRow FlatRow(Relation relation, TupleTableSlot* slot) {
  return FlatValues(RelationGetDescr(relation), slot);
}

bool NeedsToaster(Relation relation, const StorableRow& row, const StorableRow* old_row) {
  return ToasterWouldRun(relation, row, old_row);
}

StorableRow MakeStorable(Relation relation, TupleTableSlot* slot, const StorableRow* old_row,
                         int options) {
  return Toast(relation, FlatValues(RelationGetDescr(relation), slot), old_row, options);
}

StorableRow MakeStorableCopy(Relation relation, const StorableRow& row, int options) {
  return Toast(relation, row, nullptr, options);
}

void DeleteToastOf(Relation relation, const StorableRow& row, bool speculative) {
  if (!HasToaster(relation) || !HasExternal(RelationGetDescr(relation), row)) return;
  heap_toast_delete(relation, FormTuple(relation, row), speculative);
}

StorableRow DecodeHeld(Relation relation, RowHolder* holder, const Column* columns) {
  TupleDesc descriptor = RelationGetDescr(relation);
  StorableRow row = AllocateRow(descriptor->natts);
  uint32_t have = Decode(holder, Columns(columns, row.natts), row.values, row.nulls);
  for (uint32_t i = have; i < row.natts; i++) {
    row.values[i] = getmissingattr(descriptor, i + 1, &row.nulls[i]);
  }
  return row;
}

StorableRow DecodeAsStored(RowHolder* holder, Columns layout) {
  StorableRow row = AllocateRow(static_cast<uint32_t>(layout.size()));
  row.natts = Decode(holder, layout, row.values, row.nulls);
  return row;
}

Slice PackStorable(Relation relation, const Column* columns, const StorableRow& row) {
  Columns layout(columns, row.natts);
  size_t size = PackedRowSize(layout, row.values, row.nulls, row.natts);
  if (size > kMaxRecordRow) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("row is too big: size %zu, maximum size %zu", size, kMaxRecordRow),
                    errdetail("A row of table \"%s\" must fit into a WAL record.",
                              RelationGetRelationName(relation)),
                    errhint("Let the wide columns be stored by TOAST "
                            "(ALTER TABLE ... SET STORAGE EXTENDED).")));
  }
  size_t limit = WriteGateLimit() / 2;  // an update may have to carry locks and a second entry
  if (size > limit) {
    ereport(ERROR,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
             errmsg("row is too big: size %zu, maximum size %zu", size, limit),
             errdetail("A row of table \"%s\" must fit into half a segment of the write buffer.",
                       RelationGetRelationName(relation)),
             errhint("Raise omendb.write_buffer_size or let the wide columns be stored by TOAST "
                     "(ALTER TABLE ... SET STORAGE EXTENDED).")));
  }
  auto* bytes = static_cast<char*>(MemoryContextAllocHuge(CurrentMemoryContext, size + 8));
  PackRow(layout, row.values, row.nulls, row.natts, bytes);
  return Slice(bytes, size);
}

namespace {

// Equal as stored. A short and a long varlena header around the same bytes are the same value.
bool SameValue(Form_pg_attribute attribute, Value before, Value after) {
  if (attribute->attlen == -1) {
    auto* left = reinterpret_cast<varlena*>(DatumGetPointer(before));
    auto* right = reinterpret_cast<varlena*>(DatumGetPointer(after));
    bool plain = !VARATT_IS_EXTERNAL(left) && !VARATT_IS_COMPRESSED(left) &&
                 !VARATT_IS_EXTERNAL(right) && !VARATT_IS_COMPRESSED(right);
    if (plain) {
      return VARSIZE_ANY_EXHDR(left) == VARSIZE_ANY_EXHDR(right) &&
             memcmp(VARDATA_ANY(left), VARDATA_ANY(right), VARSIZE_ANY_EXHDR(left)) == 0;
    }
  }
  return datumIsEqual(before, after, attribute->attbyval, attribute->attlen);
}

}  // namespace

Bitmapset* ChangedColumns(Relation relation, const Bitmapset* interesting,
                          const StorableRow& before, const StorableRow& after) {
  TupleDesc descriptor = RelationGetDescr(relation);
  Bitmapset* changed = nullptr;
  for (int member = -1; (member = bms_next_member(interesting, member)) >= 0;) {
    int number = member + FirstLowInvalidHeapAttributeNumber;
    bool same;
    if (number <= 0) {
      // A whole-row reference counts as changed, and so does a system column.
      same = number == TableOidAttributeNumber;
    } else {
      int i = number - 1;
      same = before.nulls[i] == after.nulls[i] &&
             (before.nulls[i] ||
              SameValue(TupleDescAttr(descriptor, i), before.values[i], after.values[i]));
    }
    if (!same) changed = bms_add_member(changed, member);
  }
  return changed;
}

}  // namespace omendb
