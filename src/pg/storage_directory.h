// The shared table behind storage_table.h: entries found by relfilenode and by storage id, layouts
// in an arena of small cells. For the WAL room (redo), the workers, and storage_table.cpp.
//
// Guarded by StorageTableLock: exclusive for changes, shared for lookups. The Apply functions are
// what the forward path and redo have in common; the caller holds the lock exclusively, they cannot
// fail and allocate nothing, so they may run in a critical section.
//
// A change is persisted by the next flush: it counts an entry's changes, the store worker notes up
// to which change it persisted. A dropped entry stays, reachable by id only, until the last segment
// that may hold rows of it is in the store; then the flush that drops the rows removes it.
#pragma once

#include <atomic>

#include "base/types.h"
#include "buffer/segment.h"
#include "pg/server.h"
#include "store/leaf_map_slot.h"

namespace omendb {

struct StorageIdentity {
  StorageId id;
  RelFileNode node;   // spcNode 0: in the database's default tablespace (StorageNode)
  BackendId backend;  // InvalidBackendId unless temporary
  char persistence;   // pg_class.relpersistence
};

inline constexpr uint32 kMarkedEndUnknown = ~uint32{0};
// Instead of a segment's sequence: only the end of recovery tells that no more rows can come.
inline constexpr uint64 kDropAfterRecovery = ~uint64{0};

struct StorageEntry {
  enum State : uint8_t { kFree, kLive, kDropped };

  StorageIdentity identity;
  State state;
  uint32 next_by_node, next_by_id;       // index + 1 of the next entry in the bucket, 0 = none
  std::atomic<uint32> next_block;        // first block number not given out
  uint32 logged_blocks;                  // block numbers below it may be given out without logging
  uint32 first_cell, column_count;       // layout
  uint64 changes, persisted;             // persisted < changes: meta is behind
  Lsn lsn;                               // of the last logged change
  uint64 drop_sequence;                  // kDropped: no segment after this one holds rows of it
  std::atomic<uint64> bytes;             // in the store as of the last flush
  std::atomic<uint32> marked_end;        // no block from it on has marks, see visibility_map.h
  // Blocks that sessions left half full: block << 16 | next slot, 0 = none. Not persisted.
  std::atomic<uint64> spare_places[4];
  LeafMapSlot leaves;                    // of an index
};

size_t StorageDirectorySize();
void StorageDirectoryStart();  // in the shared memory startup hook

// REQUIRES: StorageTableLock.
StorageEntry* FindStorage(const RelFileNode& node, BackendId backend);
StorageEntry* FindStorage(StorageId id);
uint32 CopyColumns(const StorageEntry* entry, Column* columns);  // room for kMaxColumns
// True if a column that both have is laid out otherwise. Whether a varlena may be packed does not
// count: ALTER TABLE ... SET STORAGE changes that for new rows only.
bool LayoutsConflict(Columns left, Columns right);
// True if registering (or growing to) `column_count` columns would find room.
bool StorageHasRoom(const StorageEntry* entry, uint32 column_count);
// Dropped storages take up a good part of the table: they should not wait for the next checkpoint.
bool StorageDropsPileUp();                // without a lock
int StorageColumnLimit();                 // of all storages together, if each takes whole cells
uint32 StorageEntryLimit();               // entries [0, limit) have been used
StorageEntry* StorageEntryAt(uint32 index);
StorageId NextStorageId();

// REQUIRES: StorageTableLock, exclusive. LSN 0: not logged.
// Registers a storage or lets its layout grow. A live storage of the same node is dropped first.
// Columns that conflict with the layout replace it: an ADD COLUMN was rolled back and another one
// came. Only rows of aborted transactions have the old ones, and no live segment may hold any.
void ApplyStorageRegister(const StorageIdentity& identity, const Column* columns,
                          uint32 column_count, Lsn lsn, uint64 sequence);
void ApplyStorageBlocks(StorageEntry* entry, uint32 blocks, Lsn lsn);
void ApplyStorageDrop(StorageEntry* entry, Lsn lsn, uint64 sequence);
void RemoveStorageEntry(StorageEntry* entry);
// The prefix that the index's entries in a segment are to be told apart behind, if the segment has
// none of them yet, else 0 bytes. Returns its size; room for kIndexPrefixRoom.
// REQUIRES: StorageTableLock not held.
size_t IndexPrefix(const Segment& segment, StorageId storage, Slice key, char* prefix);

// Recovery is over and what it replayed is in the store.
void SettleDropsAfterRecovery(uint64 sequence);
void RaiseNextStorageId(StorageId at_least);

// Changes whenever a lookup by node may have a new answer.
uint64 StorageDirectoryVersion();

// Sequence of the last segment that can hold rows written until now.
// REQUIRES: FreezeLock (any mode), or being the startup process.
uint64 CurrentDropSequence();

// Registers, for the store worker, a storage that the store knows. False: no room. Of two with the
// same node, the store has seen the drop of the older one only in part: redo may still meet its rows.
// It is dropped with kDropAfterRecovery.
bool LoadStorage(const StorageIdentity& identity, const Column* columns, uint32 column_count,
                 uint32 blocks);

}  // namespace omendb
