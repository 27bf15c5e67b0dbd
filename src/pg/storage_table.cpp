#include "pg/storage_table.h"

#include <algorithm>

#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "pg/storage_log.h"
#include "pg/write_buffer.h"
#include "pg/write_gate.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "postmaster/bgwriter.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// A session's memory of lookups, by relfilenode. Valid as long as the directory's version stands.
struct Remembered {
  RelFileNode node;
  BackendId backend;
  uint32 column_count;
  uint64 version;  // 0 = unused
  StorageId id;
  StorageEntry* entry;  // stays where it is as long as the version stands
  Column* columns;      // the registered layout
};
constexpr uint32 kRemembered = 64;
Remembered g_remembered[kRemembered];

// Block numbers are logged ahead in steps that grow with the storage.
constexpr uint32 kSmallestStep = 8;
constexpr uint32 kLargestStep = 64;

Remembered* Remember(Relation relation) {
  Remembered* slot = &g_remembered[relation->rd_node.relNode % kRemembered];
  uint64 version = StorageDirectoryVersion();
  if (slot->version == version && slot->backend == relation->rd_backend &&
      RelFileNodeEquals(slot->node, relation->rd_node)) {
    return slot;
  }
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  slot->version = StorageDirectoryVersion();
  StorageEntry* entry = FindStorage(StorageNode(relation->rd_node), relation->rd_backend);
  slot->entry = entry;
  slot->id = entry ? entry->identity.id : 0;
  static Column columns[kMaxColumns];
  slot->column_count = entry ? CopyColumns(entry, columns) : 0;
  LWLockRelease(StorageTableLock());
  Size size = sizeof(Column) * Max(slot->column_count, 1);
  if (slot->columns == nullptr) {
    slot->columns = static_cast<Column*>(MemoryContextAlloc(TopMemoryContext, size));
  } else {
    slot->columns = static_cast<Column*>(repalloc(slot->columns, size));
  }
  memcpy(static_cast<void*>(slot->columns), columns, sizeof(Column) * slot->column_count);
  slot->node = relation->rd_node;
  slot->backend = relation->rd_backend;
  return slot;
}

bool IsLogged(const StorageEntry* entry) {
  return entry->identity.persistence == RELPERSISTENCE_PERMANENT;
}

Column ColumnOf(Form_pg_attribute attribute) {
  Column column;
  column.length = attribute->attlen;
  switch (attribute->attalign) {
    case TYPALIGN_CHAR:
      column.align = 1;
      break;
    case TYPALIGN_SHORT:
      column.align = 2;
      break;
    case TYPALIGN_INT:
      column.align = 4;
      break;
    default:
      column.align = 8;
      break;
  }
  column.flags = 0;
  if (attribute->attbyval) column.flags |= kColumnByValue;
  if (attribute->attlen == -1 && attribute->attstorage != TYPSTORAGE_PLAIN) {
    column.flags |= kColumnPackable;
  }
  return column;
}

[[noreturn]] void RaiseTableFull() {
  ereport(ERROR,
          (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many omendb relations or columns"),
           errdetail("There is room for %d relation storages, and for %d columns of all of them.",
                     g_max_storages, StorageColumnLimit()),
           errhint("Raise \"omendb.max_storages\" and restart the server.")));
  pg_unreachable();
}

void ReclaimAndWait(bool sweep) {
  uint64_t number = RequestReclaim(sweep);
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (g_shared->reclaim_done < number) {
    ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kFlush));
  }
  ConditionVariableCancelSleep();
}

// The table is full, but perhaps of storages that are dropped already. with_checkpoint: the file of
// a dropped permanent relation, by which the sweep knows it, stays until the next one.
void MakeRoom(bool with_checkpoint) {
  if (with_checkpoint) RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE | CHECKPOINT_WAIT);
  ReclaimAndWait(true);
  FlushWriteBuffer();
  ReclaimAndWait(false);
}

[[noreturn]] void RaiseLost(StorageId storage) {
  ereport(ERROR,
          (errcode(ERRCODE_INTERNAL_ERROR), errmsg("omendb storage %llu is not registered",
                                                   static_cast<unsigned long long>(storage))));
  pg_unreachable();
}

void Drop(const RelFileNode& node, BackendId backend) {
  EnsureStoreOpen();
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  bool known = FindStorage(node, backend) != nullptr;
  LWLockRelease(StorageTableLock());
  if (!known) return;

  WriteTicket ticket = WriteGateEnter(0);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  if (StorageEntry* entry = FindStorage(node, backend)) {
    START_CRIT_SECTION();
    Lsn lsn = 0;
    if (IsLogged(entry)) {
      lsn = LogStorageDrop(entry->identity.id);
      ticket.segment.NoteLsn(lsn);
    }
    ApplyStorageDrop(entry, lsn, CurrentDropSequence());
    END_CRIT_SECTION();
  }
  LWLockRelease(StorageTableLock());
  WriteGateLeave(&ticket);
}

}  // namespace

void ColumnsOf(TupleDesc descriptor, Column* columns) {
  for (int i = 0; i < descriptor->natts; i++) columns[i] = ColumnOf(TupleDescAttr(descriptor, i));
}

RelFileNode StorageNode(const RelFileNode& node) {
  RelFileNode known = node;
  if (node.dbNode == MyDatabaseId && node.spcNode == MyDatabaseTableSpace) {
    known.spcNode = InvalidOid;
  }
  return known;
}

StorageId StorageOf(Relation relation) {
  EnsureStoreOpen();
  return Remember(relation)->id;
}

StorageId StorageForWrite(Relation relation) {
  EnsureStoreOpen();
  auto natts = static_cast<uint32>(RelationGetDescr(relation)->natts);
  static Column columns[kMaxColumns];
  ColumnsOf(RelationGetDescr(relation), columns);
  const Remembered* known = Remember(relation);
  bool conflict =
      LayoutsConflict(Columns(known->columns, known->column_count), Columns(columns, natts));
  if (known->id != 0 && known->column_count >= natts && !conflict) return known->id;

  // Rows of the aborted transaction that made the old layout must not meet the new one.
  if (conflict) FlushWriteBuffer();
  WriteTicket ticket = WriteGateEnter(0);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  const StorageEntry* entry = FindStorage(StorageNode(relation->rd_node), relation->rd_backend);
  for (int attempt = 0; !StorageHasRoom(entry, natts); attempt++) {
    if (attempt == 2) RaiseTableFull();
    LWLockRelease(StorageTableLock());
    WriteGateLeave(&ticket);
    MakeRoom(attempt == 1);
    ticket = WriteGateEnter(0);
    LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
    entry = FindStorage(StorageNode(relation->rd_node), relation->rd_backend);
  }
  if (entry == nullptr || entry->column_count < natts || conflict) {
    StorageIdentity identity;
    if (entry != nullptr) {
      identity = entry->identity;
    } else {
      identity.id = NextStorageId();
      identity.node = StorageNode(relation->rd_node);
      identity.backend = relation->rd_backend;
      identity.persistence = relation->rd_rel->relpersistence;
    }
    START_CRIT_SECTION();
    Lsn lsn = 0;
    if (identity.persistence == RELPERSISTENCE_PERMANENT) {
      lsn = LogStorageRegister(identity, columns, natts);
      ticket.segment.NoteLsn(lsn);
    }
    ApplyStorageRegister(identity, columns, natts, lsn, CurrentDropSequence());
    END_CRIT_SECTION();
  }
  LWLockRelease(StorageTableLock());
  WriteGateLeave(&ticket);
  return Remember(relation)->id;
}

StorageEntry* SharedEntryOf(StorageId storage) {
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  StorageEntry* entry = FindStorage(storage);
  LWLockRelease(StorageTableLock());
  return entry;
}

void StorageForgetNode(const RelFileNode* node, BackendId backend) {
  // A standby gets the record; in recovery nobody creates relations but redo.
  if (RecoveryInProgress()) return;
  Drop(StorageNode(*node), backend);
}

void StorageTruncate(Relation relation) {
  Drop(StorageNode(relation->rd_node), relation->rd_backend);
}

void StorageForgetDatabase(Oid database) {
  EnsureStoreOpen();
  uint32 at = 0;
  for (;;) {
    StorageIdentity identity;
    bool found = false;
    LWLockAcquire(StorageTableLock(), LW_SHARED);
    for (; at < StorageEntryLimit() && !found; at++) {
      const StorageEntry* entry = StorageEntryAt(at);
      identity = entry->identity;
      found = entry->state == StorageEntry::kLive && identity.node.dbNode == database;
    }
    LWLockRelease(StorageTableLock());
    if (!found) return;
    Drop(identity.node, identity.backend);
  }
}

BlockNo StorageTakeBlock(Relation relation, StorageId storage) {
  for (;;) {
    LWLockAcquire(StorageTableLock(), LW_SHARED);
    StorageEntry* entry = FindStorage(storage);
    if (entry == nullptr) RaiseLost(storage);
    uint32 block = entry->next_block.load();
    while (block < entry->logged_blocks &&
           !entry->next_block.compare_exchange_weak(block, block + 1)) {
    }
    bool taken = block < entry->logged_blocks;
    LWLockRelease(StorageTableLock());
    if (taken) return block;
    if (block >= kMaxBlocks) {
      ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                      errmsg("relation \"%s\" cannot have more than %u row blocks",
                             RelationGetRelationName(relation), kMaxBlocks)));
    }

    WriteTicket ticket = WriteGateEnter(0);
    LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
    entry = FindStorage(storage);
    if (entry == nullptr) RaiseLost(storage);
    if (entry->next_block.load() >= entry->logged_blocks) {
      uint32 step = std::clamp(entry->logged_blocks / 4, kSmallestStep, kLargestStep);
      uint32 upto = std::min(entry->logged_blocks + step, kMaxBlocks);
      START_CRIT_SECTION();
      Lsn lsn = 0;
      if (IsLogged(entry)) {
        lsn = LogStorageBlocks(storage, upto);
        ticket.segment.NoteLsn(lsn);
      }
      ApplyStorageBlocks(entry, upto, lsn);
      END_CRIT_SECTION();
    }
    LWLockRelease(StorageTableLock());
    WriteGateLeave(&ticket);
  }
}

bool StorageTakeSparePlace(StorageId storage, BlockNo* block, uint32_t* next_slot) {
  uint64 place = 0;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  if (StorageEntry* entry = FindStorage(storage)) {
    for (std::atomic<uint64>& spare : entry->spare_places) {
      if (spare.load(std::memory_order_relaxed) == 0) continue;
      place = spare.exchange(0);
      if (place != 0) break;
    }
  }
  LWLockRelease(StorageTableLock());
  *block = static_cast<BlockNo>(place >> 16);
  *next_slot = static_cast<uint32_t>(place & 0xffff);
  return place != 0;
}

void StorageGiveSparePlace(StorageId storage, BlockNo block, uint32_t next_slot) {
  uint64 place = static_cast<uint64>(block) << 16 | next_slot;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  if (StorageEntry* entry = FindStorage(storage)) {
    for (std::atomic<uint64>& spare : entry->spare_places) {
      uint64 none = 0;
      if (spare.compare_exchange_strong(none, place)) break;
    }
  }
  LWLockRelease(StorageTableLock());
}

BlockNo StorageBlockCount(StorageId storage) {
  if (storage == 0) return 0;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(storage);
  BlockNo blocks = entry ? entry->next_block.load() : 0;
  LWLockRelease(StorageTableLock());
  return blocks;
}

uint64_t StorageBytes(StorageId storage) {
  if (storage == 0) return 0;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(storage);
  uint64_t bytes = entry ? entry->bytes.load() : 0;
  LWLockRelease(StorageTableLock());
  return bytes;
}

uint32 StorageMarkedEnd(Relation relation) {
  const StorageEntry* entry = Remember(relation)->entry;
  return entry != nullptr ? entry->marked_end.load() : 0;
}

uint32 StorageSettleMarkedEnd(Relation relation, uint32 end) {
  StorageEntry* entry = Remember(relation)->entry;
  uint32 unknown = kMarkedEndUnknown;
  return entry->marked_end.compare_exchange_strong(unknown, end) ? end : unknown;
}

void StorageRaiseMarkedEnd(Relation relation, uint32 end) {
  StorageEntry* entry = Remember(relation)->entry;
  uint32 now = entry->marked_end.load();
  while (now < end && !entry->marked_end.compare_exchange_weak(now, end)) {
  }
}

bool NextStorageOfDatabase(Oid database, uint32_t* at, StorageIdentity* identity) {
  bool found = false;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  for (; *at < StorageEntryLimit() && !found; ++*at) {
    const StorageEntry* entry = StorageEntryAt(*at);
    *identity = entry->identity;
    found = entry->state == StorageEntry::kLive && identity->node.dbNode == database &&
            identity->backend == InvalidBackendId;
  }
  LWLockRelease(StorageTableLock());
  return found;
}

StorageId StorageRegisterCopy(const RelFileNode& node, BackendId backend, char persistence,
                              StorageId source) {
  EnsureStoreOpen();
  static Column columns[kMaxColumns];
  StorageIdentity identity{0, StorageNode(node), backend, persistence};
  WriteTicket ticket = WriteGateEnter(0);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  const StorageEntry* original = FindStorage(source);
  if (original == nullptr) RaiseLost(source);
  uint32 count = CopyColumns(original, columns);
  uint32 blocks = original->next_block.load();
  if (!StorageHasRoom(nullptr, count)) RaiseTableFull();
  identity.id = NextStorageId();
  bool logged = persistence == RELPERSISTENCE_PERMANENT;
  START_CRIT_SECTION();
  Lsn lsn = logged ? LogStorageRegister(identity, columns, count) : 0;
  ApplyStorageRegister(identity, columns, count, lsn, CurrentDropSequence());
  if (blocks > 0) {
    StorageEntry* copy = FindStorage(identity.id);
    if (logged) lsn = LogStorageBlocks(identity.id, blocks);
    ApplyStorageBlocks(copy, blocks, lsn);
    copy->next_block = blocks;
  }
  if (logged) ticket.segment.NoteLsn(lsn);
  END_CRIT_SECTION();
  LWLockRelease(StorageTableLock());
  WriteGateLeave(&ticket);
  return identity.id;
}

uint32_t StorageLayout(StorageId storage, Column* columns) {
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(storage);
  uint32 count = entry != nullptr ? CopyColumns(entry, columns) : 0;
  LWLockRelease(StorageTableLock());
  return count;
}

}  // namespace omendb
