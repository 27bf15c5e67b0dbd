#include "am/slot.h"

#include "engine/row_bytes.h"
#include "pg/guard.h"

extern "C" {
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "utils/expandeddatum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

void Init(TupleTableSlot* slot) {
  OmendbSlot* self = AsOmendbSlot(slot);
  InitRowHolder(&self->holder, slot->tts_mcxt);
  self->columns = nullptr;
  self->scratch = nullptr;
  self->scratch_size = 0;
  self->available = 0;
  self->has_row = false;
  self->xmin = self->xmax = InvalidTransactionId;
  self->materialized = nullptr;
}

void DropMaterialized(OmendbSlot* self) {
  if (self->materialized == nullptr) return;
  pfree(self->materialized);
  self->materialized = nullptr;
  self->base.tts_flags &= ~TTS_FLAG_SHOULDFREE;
}

void Release(TupleTableSlot* slot) { LetRowGo(&AsOmendbSlot(slot)->holder); }

void Clear(TupleTableSlot* slot) {
  OmendbSlot* self = AsOmendbSlot(slot);
  DropMaterialized(self);
  if (self->has_row) LetRowGo(&self->holder);
  self->has_row = false;
  self->xmin = self->xmax = InvalidTransactionId;
  slot->tts_nvalid = 0;
  slot->tts_flags |= TTS_FLAG_EMPTY;
  ItemPointerSetInvalid(&slot->tts_tid);
}

const Column* ColumnsOf(OmendbSlot* self) {
  if (self->columns == nullptr) {
    self->columns = MakeColumns(self->base.tts_tupleDescriptor, self->base.tts_mcxt);
  }
  return self->columns;
}

void GetSomeAttributes(TupleTableSlot* slot, int wanted) {
  OmendbSlot* self = AsOmendbSlot(slot);
  int valid = slot->tts_nvalid;
  if (!self->has_row) {
    elog(ERROR, "getsomeattrs is not required to be called on a virtual tuple table slot");
  }
  int stored = Min(wanted, static_cast<int>(self->available));
  if (stored > valid) {
    if (self->holder.in_image) {
      self->holder.image.Decode(self->holder.row, valid, stored, slot->tts_values,
                                slot->tts_isnull);
    } else {
      Guarded([&] {
        return self->reader.DecodeUpTo(stored, slot->tts_values, slot->tts_isnull, self->scratch);
      });
    }
    valid = stored;
  }
  if (wanted > valid) slot_getmissingattrs(slot, valid, wanted);
  slot->tts_nvalid = wanted;
}

TransactionId Xmin(const OmendbSlot* self) {
  return TransactionIdIsValid(self->xmin) ? self->xmin : XminOf(self->holder);
}

Datum GetSystemAttribute(TupleTableSlot* slot, int number, bool* is_null) {
  OmendbSlot* self = AsOmendbSlot(slot);
  if (!self->has_row) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot retrieve a system column in this context")));
  }
  *is_null = false;
  switch (number) {
    case MinTransactionIdAttributeNumber:
      return TransactionIdGetDatum(Xmin(self));
    case MaxTransactionIdAttributeNumber:
      return TransactionIdGetDatum(self->xmax);
    case MinCommandIdAttributeNumber:
    case MaxCommandIdAttributeNumber:
      return CommandIdGetDatum(self->holder.meta.cid);
    default:
      elog(ERROR, "unexpected system attribute %d", number);
  }
}

// Copies every reference value into one private chunk and lets the row go.
void Materialize(TupleTableSlot* slot) {
  OmendbSlot* self = AsOmendbSlot(slot);
  if (self->materialized != nullptr) return;
  if (self->has_row && !self->holder.in_image) {
    // A packed row and its scratch are private already.
    return;
  }
  TupleDesc descriptor = slot->tts_tupleDescriptor;
  slot_getallattrs(slot);
  Size size = 0;
  for (int i = 0; i < descriptor->natts; i++) {
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attbyval || slot->tts_isnull[i]) continue;
    Datum value = slot->tts_values[i];
    if (attribute->attlen == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value))) {
      size = att_align_nominal(size, attribute->attalign);
      size += EOH_get_flat_size(DatumGetEOHP(value));
    } else {
      size = att_align_nominal(size, attribute->attalign);
      size = att_addlength_datum(size, attribute->attlen, value);
    }
  }
  if (size > 0) {
    char* data = static_cast<char*>(MemoryContextAllocHuge(slot->tts_mcxt, size));
    self->materialized = data;
    slot->tts_flags |= TTS_FLAG_SHOULDFREE;
    Size at = 0;
    for (int i = 0; i < descriptor->natts; i++) {
      Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
      if (attribute->attbyval || slot->tts_isnull[i]) continue;
      Datum value = slot->tts_values[i];
      at = att_align_nominal(at, attribute->attalign);
      Size length;
      if (attribute->attlen == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value))) {
        ExpandedObjectHeader* object = DatumGetEOHP(value);
        length = EOH_get_flat_size(object);
        EOH_flatten_into(object, data + at, length);
      } else {
        length = att_addlength_datum(0, attribute->attlen, value);
        memcpy(data + at, DatumGetPointer(value), length);
      }
      slot->tts_values[i] = PointerGetDatum(data + at);
      at += length;
    }
  }
  // The identity of the row stays known; its bytes are needed no more.
  if (self->has_row) self->xmin = Xmin(self);
  LetRowGo(&self->holder);
}

void CopySlot(TupleTableSlot* destination, TupleTableSlot* source) {
  TupleDesc descriptor = source->tts_tupleDescriptor;
  Clear(destination);
  slot_getallattrs(source);
  for (int i = 0; i < descriptor->natts; i++) {
    destination->tts_values[i] = source->tts_values[i];
    destination->tts_isnull[i] = source->tts_isnull[i];
  }
  destination->tts_nvalid = descriptor->natts;
  destination->tts_flags &= ~TTS_FLAG_EMPTY;
  Materialize(destination);
  destination->tts_tid = source->tts_tid;
  destination->tts_tableOid = source->tts_tableOid;
  if (IsOmendbSlot(source) && AsOmendbSlot(source)->has_row) {
    // System columns and visibility checks must work on the copy too.
    OmendbSlot* self = AsOmendbSlot(destination);
    self->has_row = true;
    self->available = 0;
    self->holder.meta = AsOmendbSlot(source)->holder.meta;
    self->holder.id = AsOmendbSlot(source)->holder.id;
    self->holder.in_image = true;  // no packed bytes: Materialize has nothing left to do
    self->xmin = Xmin(AsOmendbSlot(source));
    self->xmax = AsOmendbSlot(source)->xmax;
  }
}

// As heap_form_tuple made it: where heap keeps xmin, xmax and cmin it has its type, which the server
// asks for (15.20 does when such a tuple is stored in a slot).
HeapTuple CopyHeapTuple(TupleTableSlot* slot) {
  slot_getallattrs(slot);
  HeapTuple tuple = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
  tuple->t_self = slot->tts_tid;
  tuple->t_tableOid = slot->tts_tableOid;
  return tuple;
}

MinimalTuple CopyMinimalTuple(TupleTableSlot* slot) {
  slot_getallattrs(slot);
  return heap_form_minimal_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
}

}  // namespace

const TupleTableSlotOps kOmendbSlotOps = {
    .base_slot_size = sizeof(OmendbSlot),
    .init = Init,
    .release = Release,
    .clear = Clear,
    .getsomeattrs = GetSomeAttributes,
    .getsysattr = GetSystemAttribute,
    .materialize = Materialize,
    .copyslot = CopySlot,
    .get_heap_tuple = nullptr,
    .get_minimal_tuple = nullptr,
    .copy_heap_tuple = CopyHeapTuple,
    .copy_minimal_tuple = CopyMinimalTuple,
};

RowHolder* HolderOf(TupleTableSlot* slot) {
  OmendbSlot* self = AsOmendbSlot(slot);
  DropMaterialized(self);
  slot->tts_nvalid = 0;
  slot->tts_flags |= TTS_FLAG_EMPTY;
  return &self->holder;
}

void ShowHeldRow(TupleTableSlot* slot, Relation relation) {
  OmendbSlot* self = AsOmendbSlot(slot);
  RowHolder* holder = &self->holder;
  if (holder->in_image) {
    self->available = holder->image.natts();
  } else {
    const Column* columns = ColumnsOf(self);
    uint32_t natts = slot->tts_tupleDescriptor->natts;
    Slice packed(holder->bytes, holder->size);
    size_t scratch = PackedRowReader::ScratchSize(packed, natts);
    if (scratch > self->scratch_size) {
      if (self->scratch != nullptr) pfree(self->scratch);
      self->scratch = nullptr;
      self->scratch = static_cast<char*>(MemoryContextAllocHuge(slot->tts_mcxt, scratch));
      self->scratch_size = scratch;
    }
    Guarded([&] { return PackedRowReader::Open(packed, Columns(columns, natts), &self->reader); });
    self->available = self->reader.natts();
  }
  self->has_row = true;
  self->xmin = InvalidTransactionId;
  self->xmax = holder->superseded_by;
  slot->tts_flags &= ~TTS_FLAG_EMPTY;
  slot->tts_nvalid = 0;
  EncodeTid(holder->id, &slot->tts_tid);
  slot->tts_tableOid = RelationGetRelid(relation);
}

void ShowAsWritten(TupleTableSlot* slot, CommandId cid, bool was_locked) {
  if (!IsOmendbSlot(slot)) return;
  OmendbSlot* self = AsOmendbSlot(slot);
  slot_getallattrs(slot);
  if (!self->has_row) {
    self->has_row = true;
    self->available = 0;
    self->holder.in_image = true;
  }
  self->holder.id = DecodeTid(&slot->tts_tid);
  self->holder.meta =
      VersionMeta{U64FromFullTransactionId(GetCurrentFullTransactionId()), 0, cid,
                  self->holder.id.alias == 0 ? VersionKind::kInsert : VersionKind::kUpdate, 0};
  self->xmin = InvalidTransactionId;
  self->xmax = was_locked ? GetCurrentTransactionId() : InvalidTransactionId;
}

}  // namespace omendb
