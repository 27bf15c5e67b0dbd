#include "engine/row_holder.h"

extern "C" {
#include "access/transam.h"
#include "utils/memutils.h"
}

namespace omendb {

void InitRowHolder(RowHolder* holder, MemoryContext context) {
  *holder = RowHolder{};
  holder->context = context;
}

namespace {

void PinFor(RowHolder* holder, CachedBlock* pinned) {
  if (holder->pin == nullptr) {
    if (pinned == nullptr) return;
    holder->pin = MakeBlockPin(holder->context);
  }
  SetBlockPin(holder->pin, pinned);
}

}  // namespace

void HoldImageRow(RowHolder* holder, CachedBlock* block, const RowImage& image, uint32_t row,
                  const VersionMeta& meta, const RowId& id) {
  holder->meta = meta;
  holder->id = id;
  holder->superseded_by = InvalidTransactionId;
  holder->in_image = true;
  holder->image = image;
  holder->row = row;
  if (holder->pin != nullptr && holder->pin->block == block) return;
  if (holder->pin == nullptr) holder->pin = MakeBlockPin(holder->context);
  Repin(block);
  SetBlockPin(holder->pin, block);
}

void HoldPackedRow(RowHolder* holder, Slice packed, const VersionMeta& meta, const RowId& id) {
  size_t needed = MAXALIGN(packed.size());
  if (needed > holder->capacity) {
    if (holder->bytes != nullptr) pfree(holder->bytes);
    holder->bytes = nullptr;
    holder->capacity = 0;
    size_t capacity = Max(needed, 256);
    holder->bytes =
        static_cast<char*>(MemoryContextAllocExtended(holder->context, capacity, MCXT_ALLOC_HUGE));
    holder->capacity = capacity;
  }
  memcpy(holder->bytes, packed.data(), packed.size());
  holder->size = packed.size();
  holder->meta = meta;
  holder->id = id;
  holder->superseded_by = InvalidTransactionId;
  holder->in_image = false;
  PinFor(holder, nullptr);
}

void HoldRow(RowHolder* holder, const RowVersion& version, const RowId& id, Relation relation,
             StorageId storage) {
  if (version.buffered_image != nullptr) {
    CachedBlock* block = PinBufferedImage(version.buffered_image, relation, storage, id.block);
    const RowImage& image = *ImageOf(block);
    HoldImageRow(holder, block, image, image.RowOf(id.slot), version.meta, id);
    UnpinBlock(block);
  } else if (version.image != nullptr) {
    HoldImageRow(holder, version.holder, *version.image, version.row, version.meta, id);
  } else {
    HoldPackedRow(holder, version.payload, version.meta, id);
  }
  holder->superseded_by = version.superseded_by;
}

TransactionId XminOf(const RowHolder& holder) {
  static_assert(kUnknownMaker == FrozenTransactionId);
  if (holder.meta.xid != 0) return ShortXid(holder.meta);
  return holder.in_image ? holder.image.maker(holder.row) : FrozenTransactionId;
}

void LetRowGo(RowHolder* holder) {
  if (holder->pin != nullptr && holder->pin->block != nullptr) SetBlockPin(holder->pin, nullptr);
}

}  // namespace omendb
