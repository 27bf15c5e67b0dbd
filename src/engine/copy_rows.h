// Copies rows, with all versions that some snapshot may still see, into a storage that nobody else
// knows yet: what CLUSTER, SET TABLESPACE and CREATE DATABASE need.
//
// Versions keep their transaction and command, so old snapshots see in the copy what they would
// have seen in the original. What every snapshot sees is written with kFrozenXid: whole blocks of
// it go as row images. Aborted and dead versions are left out, and so are row locks: the caller's
// lock on the relation says that nobody else holds any.
#pragma once

#include "engine/block_scan.h"
#include "engine/row_bytes.h"

namespace omendb {

struct KeptVersion {
  VersionMeta meta;   // xid kFrozenXid: every snapshot sees it; lsn means nothing
  RowHolder* holder;  // of a row
  uint32_t maker;     // of a row that every snapshot sees: its xmin
  RowId moved_to;     // of a kMove: in the original storage
};

// Allocated in, and its pins belong to, the memory context that was current when it was read.
struct RowHistory {
  KeptVersion* versions;  // newest first; the oldest is a row
  int count, capacity;    // 0 = no snapshot will see anything of the row
  int rows;               // versions that are rows
  int dead_rows;          // of these, superseded or deleted ones
  int left_out;           // row versions that nobody can see any more
};

// oldest_xmin: committed transactions before it are seen by every snapshot; invalid = all are.
void ReadHistory(Relation relation, StorageId storage, const RowId& id, TransactionId oldest_xmin,
                 RowHistory* history);
// The same for a row that a scan under SnapshotAny gave.
void ReadHistoryOf(Relation relation, StorageId storage, const BlockRows& rows,
                   const VisibleRow& row, TransactionId oldest_xmin, RowHistory* history);

// The block being written. One at a time in a session.
struct BlockCopy {
  Relation relation;
  StorageId storage;
  const Column* columns;  // the storage's layout
  MemoryContext context;  // of what waits to be written
  BlockNo block;
  uint32_t image_rows, image_natts;
  size_t raw_bytes;
  struct Waiting {
    VersionMeta meta;
    Slice payload;
    SlotNo slot;
  };
  Waiting* waiting;  // single versions, in the order in which they are written
  int waiting_count, waiting_capacity;
};

// The storage is set by the caller, before the first block is started.
void InitBlockCopy(BlockCopy* copy, Relation relation, const Column* columns);
void StartBlockCopy(BlockCopy* copy, BlockNo block);
// REQUIRES: slots ascend; the versions of a slot come oldest first.
void CopyRowVersion(BlockCopy* copy, SlotNo slot, const VersionMeta& meta, uint32_t maker,
                    const StorableRow& row);
void CopyRowEnd(BlockCopy* copy, SlotNo slot, const VersionMeta& meta, Slice payload);
// Logs and applies what was collected. The block must be new to the storage.
void FinishBlockCopy(BlockCopy* copy);

// Copies a whole storage, every row to the TID that it has. `to` was registered as a copy of
// `from`.
void CopyStorage(Relation from_relation, StorageId from, Relation to_relation, StorageId to,
                 TransactionId oldest_xmin);

}  // namespace omendb
