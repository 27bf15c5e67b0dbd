// Scans: which rows of a block a snapshot sees, a block at a time, and which blocks there are.
#pragma once

#include "engine/row_read.h"

namespace omendb {

// One row that the snapshot sees. Readable as long as the BlockRows is not used for another block.
struct VisibleRow {
  VersionMeta meta;
  CachedBlock* holder;    // for image rows
  const RowImage* image;  // nullptr: packed
  uint32_t row;
  Slice packed;
  SlotNo slot;
  uint8_t alias;
  bool sole;  // the row has this one version and nothing else
  TransactionId superseded_by;  // as in RowHolder
};

// The rows of one block. Allocated once per scan; owns pins and copies.
struct BlockRows {
  MemoryContext context;  // copies of packed rows, reset for every block
  MemoryContextCallback callback;
  int pins;  // blocks pinned
  int pin_capacity;
  CachedBlock** pinned;
  BlockNo block;
  uint32_t count;
  VisibleRow rows[kSlotsPerBlock];
};

BlockRows* MakeBlockRows(MemoryContext owner);
void ClearBlockRows(BlockRows* rows);

// Which slots are wanted; all if bits == nullptr.
struct SlotFilter {
  const uint64_t* bits;
};

// Resolves a block for a snapshot of any kind. `stored` is what the store has of it (pinned; taken
// over), nullptr = nothing. REQUIRES: the view is pinned.
void ResolveBlock(const ReadView& view, Relation relation, StorageId storage, BlockNo block,
                  CachedBlock* stored, Snapshot snapshot, SlotFilter filter, BlockRows* rows);

// Fills the holder with a row of the block.
void HoldVisibleRow(RowHolder* holder, const BlockRows& rows, const VisibleRow& row);

// Walks the blocks of a storage that exist, in the buffer or in the store.
struct BlockWalk {
  Relation relation;
  StorageId storage;
  BlockNo next, end;
  StoreCursor* cursor;
  BlockNo* buffered;  // sorted; what the buffer had when the walk began
  uint32_t buffered_count, buffered_next;
};

// Blocks in [first, end). Memory from `owner`, the same for every start of one walk. The walk must
// be zeroed before its first start.
void StartBlockWalk(BlockWalk* walk, Relation relation, StorageId storage, BlockNo first,
                    BlockNo end, MemoryContext owner);
// Resolves the next block that has rows for the snapshot. False at the end.
bool NextBlockRows(BlockWalk* walk, Snapshot snapshot, BlockRows* rows);
// Resolves one given block; for scans whose order is given from outside. The count may be 0.
void OneBlockRows(BlockWalk* walk, BlockNo block, Snapshot snapshot, SlotFilter filter,
                  BlockRows* rows);
void EndBlockWalk(BlockWalk* walk);

}  // namespace omendb
