// Where a row stays readable after its view was unpinned: in a pinned block, or as a private copy.
#pragma once

#include "block/packed_row.h"
#include "engine/row_cursor.h"

namespace omendb {

struct RowHolder {
  MemoryContext context;  // of the copies
  BlockPin* pin;          // holds the block of `image`
  VersionMeta meta;
  RowId id;
  bool in_image;
  RowImage image;
  uint32_t row;
  char* bytes;  // packed row, 8-aligned; room behind it for the reader's scratch
  size_t size, capacity;
  TransactionId superseded_by;  // who locked, changed or deleted the row since, ended well or not
};

void InitRowHolder(RowHolder* holder, MemoryContext context);
// Takes the version over. REQUIRES: the view it was found in is still pinned.
void HoldRow(RowHolder* holder, const RowVersion& version, const RowId& id, Relation relation,
             StorageId storage);
// Takes over row `row` of an image in a pinned block.
void HoldImageRow(RowHolder* holder, CachedBlock* block, const RowImage& image, uint32_t row,
                  const VersionMeta& meta, const RowId& id);
// Copies a packed row.
void HoldPackedRow(RowHolder* holder, Slice packed, const VersionMeta& meta, const RowId& id);
// The xid that made the row, for showing it. REQUIRES: the row's bytes are still held, or it is not
// frozen.
TransactionId XminOf(const RowHolder& holder);
// Forgets the row, keeps the memory.
void LetRowGo(RowHolder* holder);

}  // namespace omendb
