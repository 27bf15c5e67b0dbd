#include <algorithm>

#include "base/coding.h"
#include "pg/failure_point.h"
#include "pg/shared_state.h"
#include "pg/shown_entries.h"
#include "pg/storage_directory.h"
#include "pg/store_job.h"
#include "pg/visibility_map.h"
#include "pg/write_buffer.h"
#include "wal/records.h"
#include "wal/resource_manager.h"

extern "C" {
#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlogrecord.h"
#include "access/xlogrecovery.h"
#include "access/xlogutils.h"
#include "storage/bufmgr.h"
#include "storage/standby.h"
}

namespace omendb {
namespace {

// For an index-only scan that is in the way of marks, before standby queries are cancelled.
constexpr int kPatienceMs = 100;

[[noreturn]] void RaiseDamaged(XLogReaderState* record) {
  ereport(FATAL, (errcode(ERRCODE_DATA_CORRUPTED),
                  errmsg("invalid omendb WAL record at %X/%X", LSN_FORMAT_ARGS(record->ReadRecPtr)),
                  errdetail("Record type 0x%02X, %u bytes.",
                            XLogRecGetInfo(record) & ~XLR_INFO_MASK, XLogRecGetDataLen(record))));
  pg_unreachable();
}

void ReportUnknownStorage(XLogReaderState* record, StorageId storage, int elevel,
                          const char* hint) {
  ereport(elevel,
          (errcode(ERRCODE_DATA_CORRUPTED),
           errmsg("WAL record at %X/%X refers to unknown omendb storage %llu",
                  LSN_FORMAT_ARGS(record->ReadRecPtr), static_cast<unsigned long long>(storage)),
           errdetail("The store is durable up to %X/%X.",
                     LSN_FORMAT_ARGS(g_shared->durable_lsn.load())),
           hint != nullptr ? errhint("%s", hint) : 0));
}

// The record's transaction id with its epoch: it is not ahead of the next one to be given out.
FullXid FullXidOf(XLogReaderState* record) {
  TransactionId xid = XLogRecGetXid(record);
  if (!TransactionIdIsNormal(xid)) return 0;
  FullTransactionId next = ShmemVariableCache->nextXid;
  uint32 epoch = EpochFromFullTransactionId(next);
  if (xid > XidFromFullTransactionId(next)) epoch--;
  return (static_cast<FullXid>(epoch) << 32) | xid;
}

// False: the storage is gone and the record is to be skipped. The store knew it once if its number
// was given out, and forgets a storage only after its drop: stopping here would stop the server for
// ever for rows that nobody can read. A number never given out means that WAL is missing.
bool RequireStorage(XLogReaderState* record, StorageId storage) {
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  bool known = FindStorage(storage) != nullptr;
  bool given_out = storage < NextStorageId();
  LWLockRelease(StorageTableLock());
  if (known) return true;
  if (!given_out) ReportUnknownStorage(record, storage, FATAL, nullptr);
  static StorageId reported = 0;
  if (reported != storage) {
    ReportUnknownStorage(record, storage, WARNING,
                         "Its rows are skipped. This is harmless if its table was dropped or "
                         "truncated.");
  }
  reported = storage;
  return false;
}

void RedoVersion(XLogReaderState* record, Slice bytes) {
  VersionRecord change;
  if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
  if (change.meta.xid == 0) RaiseDamaged(record);
  if (!RequireStorage(record, change.storage)) return;
  change.meta.lsn = record->EndRecPtr;
  Segment segment = ReserveInRecovery(Segment::BoundForVersion(change.payload.size()));
  segment.ApplyVersion(change.storage, change.block, change.slot, change.meta, change.payload,
                       change.new_block);
  segment.NoteLsn(record->EndRecPtr);
}

void RedoImages(XLogReaderState* record, Slice bytes) {
  ImagesRecord change;
  if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
  if (change.xid == 0) RaiseDamaged(record);
  if (!RequireStorage(record, change.storage)) return;
  size_t bound = 0;
  for (uint32_t i = 0; i < change.count; i++) {
    bound += Segment::BoundForImage(change.images[i].section.size());
  }
  VersionMeta meta{change.xid, record->EndRecPtr, change.cid, VersionKind::kInsert, 0};
  Segment segment = ReserveInRecovery(bound);
  for (uint32_t i = 0; i < change.count; i++) {
    const ImagesRecord::Image& image = change.images[i];
    segment.ApplyImage(change.storage, image.block, meta, image.section, image.new_block);
  }
  segment.NoteLsn(record->EndRecPtr);
}

void RedoMove(XLogReaderState* record, Slice bytes) {
  MoveRecord change;
  if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
  if (change.new_meta.xid == 0) RaiseDamaged(record);
  if (!RequireStorage(record, change.storage)) return;
  change.old_meta.lsn = change.new_meta.lsn = record->EndRecPtr;
  char target[kMovePayloadSize];
  EncodeMovePayload(change.new_block, change.new_slot, target);
  Segment segment = ReserveInRecovery(Segment::BoundForVersion(sizeof(target)) +
                                      Segment::BoundForVersion(change.row.size()));
  segment.ApplyVersion(change.storage, change.new_block, change.new_slot, change.new_meta,
                       change.row, change.is_new_block);
  segment.ApplyVersion(change.storage, change.old_block, change.old_slot, change.old_meta,
                       Slice(target, sizeof(target)), false);
  segment.NoteLsn(record->EndRecPtr);
}

void RedoStorageRegister(XLogReaderState* record, Slice bytes) {
  StorageRegisterRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  static Column columns[kMaxColumns];
  memcpy(static_cast<void*>(columns), change.columns, change.column_count * sizeof(Column));
  StorageIdentity identity;
  identity.id = change.storage;
  identity.node = RelFileNode{change.tablespace, change.database, change.relation};
  identity.backend = InvalidBackendId;
  identity.persistence = static_cast<char>(change.persistence);

  LWLockAcquire(StorageTableLock(), LW_SHARED);
  static Column registered[kMaxColumns];
  const StorageEntry* known = FindStorage(identity.id);
  uint32_t count = known != nullptr ? CopyColumns(known, registered) : 0;
  LWLockRelease(StorageTableLock());
  // As in the forward path: no segment may hold rows of both layouts.
  if (LayoutsConflict(Columns(registered, count), Columns(columns, change.column_count))) {
    FlushInRecovery("redo_flush");
  }

  LWLockAcquire(StorageTableLock(), LW_SHARED);
  bool full = !StorageHasRoom(FindStorage(identity.id), change.column_count);
  LWLockRelease(StorageTableLock());
  if (full) ReclaimStoragesInRecovery(reachedConsistency);

  Segment segment = ReserveInRecovery(0);
  // First: what the record does must reach the store with its segment, not before.
  segment.NoteLsn(record->EndRecPtr);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  bool fits = StorageHasRoom(FindStorage(identity.id), change.column_count);
  if (fits) {
    ApplyStorageRegister(identity, columns, change.column_count, record->EndRecPtr,
                         CurrentDropSequence());
  }
  LWLockRelease(StorageTableLock());
  if (!fits) {
    ereport(FATAL,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many omendb relations to replay"),
             errhint("Set \"omendb.max_storages\" at least as large as on the server that "
                     "wrote the WAL.")));
  }
}

void RedoStorageBlocks(XLogReaderState* record, Slice bytes) {
  StorageBlocksRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  if (!RequireStorage(record, change.storage)) return;
  Segment segment = ReserveInRecovery(0);
  segment.NoteLsn(record->EndRecPtr);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  // A sweep may have been faster.
  if (StorageEntry* entry = FindStorage(change.storage)) {
    ApplyStorageBlocks(entry, change.blocks, record->EndRecPtr);
    // Which of them were given out is not known here: all may have been.
    entry->next_block = std::max(entry->next_block.load(), entry->logged_blocks);
  }
  LWLockRelease(StorageTableLock());
}

void RedoStorageDrop(XLogReaderState* record, Slice bytes) {
  StorageDropRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  Segment segment = ReserveInRecovery(0);
  segment.NoteLsn(record->EndRecPtr);
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  // A sweep may have been faster.
  if (StorageEntry* entry = FindStorage(change.storage)) {
    ApplyStorageDrop(entry, record->EndRecPtr, CurrentDropSequence());
  }
  LWLockRelease(StorageTableLock());
}

// Room is taken for one entry after the other: the bound for all of a new index's record would be
// most of a segment, or more than there is.
void RedoIndexEntries(XLogReaderState* record, Slice bytes) {
  IndexEntriesRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  if (!RequireStorage(record, change.storage)) return;
  static IndexEntry entry;
  Segment segment;
  int active = -1;
  char prefix[kIndexPrefixRoom];
  size_t prefix_size = 0;
  for (IndexEntryReader reader(change.entries); reader.Next(&entry);) {
    segment = ReserveInRecovery(Segment::BoundForIndexEntry(entry));
    if (g_shared->active != active) {
      active = g_shared->active;
      // Should the rest go to the next segment, this one is older than the record: what flushes it
      // must not keep the record from being replayed.
      segment.NoteLsn(record->ReadRecPtr);
      prefix_size = IndexPrefix(segment, change.storage, entry.key, prefix);
    }
    segment.ApplyIndexEntry(change.storage, entry, Slice(prefix, prefix_size));
  }
  segment.NoteLsn(record->EndRecPtr);
}

void CancelOlderQueries(const HorizonRecord& change) {
  if (!InHotStandby) return;
  FullTransactionId removed = FullTransactionIdFromU64(change.oldest_xid);
  FullTransactionIdRetreat(&removed);
  ResolveRecoveryConflictWithSnapshotFullXid(
      removed, RelFileNode{change.tablespace, change.database, change.relation});
}

void RedoIndexCleanup(XLogReaderState* record, Slice bytes) {
  HorizonRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  CancelOlderQueries(change);
}

void RedoBlocksVisible(XLogReaderState* record, Slice bytes) {
  HorizonRecord change;
  if (!Decode(bytes, &change)) RaiseDamaged(record);
  CancelOlderQueries(change);
  // Those that still show an entry of before, which may be long, are in the way as any other.
  if (!StartMarkRound(kPatienceMs)) {
    do {
      change.oldest_xid = U64FromFullTransactionId(ReadNextFullTransactionId()) + 1;
      CancelOlderQueries(change);
    } while (!OldEntriesGone(kPatienceMs));
  }
  Buffer map;
  if (XLogReadBufferForRedo(record, 0, &map) != BLK_RESTORED) RaiseDamaged(record);
  UnlockReleaseBuffer(map);
}

// False: the storage is gone, and its relation with it.
bool NodeOf(StorageId storage, RelFileNode* node) {
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(storage);
  bool live = entry != nullptr && entry->state == StorageEntry::kLive;
  if (live) *node = entry->identity.node;
  LWLockRelease(StorageTableLock());
  return live;
}

// The map lies in PostgreSQL's own buffers: it needs the record even where the store does not.
void RedoClearedMarks(XLogReaderState* record, Slice bytes) {
  BlockNo blocks[kMaxImagesPerRecord];
  uint32_t count = 0;
  StorageId storage = 0;
  uint32_t tablespace = 0;
  switch (static_cast<RecordType>(XLogRecGetInfo(record) & ~XLR_INFO_MASK)) {
    case RecordType::kVersion: {
      VersionRecord change;
      if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
      storage = change.storage;
      tablespace = change.tablespace;
      if (change.clears_marks) blocks[count++] = change.block;
      break;
    }
    case RecordType::kImages: {
      ImagesRecord change;
      if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
      storage = change.storage;
      tablespace = change.tablespace;
      for (uint32_t i = 0; i < change.count; i++) {
        if (change.images[i].clears_marks) blocks[count++] = change.images[i].block;
      }
      break;
    }
    case RecordType::kMove: {
      MoveRecord change;
      if (!Decode(bytes, FullXidOf(record), &change)) RaiseDamaged(record);
      storage = change.storage;
      tablespace = change.tablespace;
      if (change.clears_old_marks) blocks[count++] = change.old_block;
      if (change.clears_new_marks) blocks[count++] = change.new_block;
      break;
    }
    default:
      return;
  }
  RelFileNode node;
  if (!NodeOf(storage, &node)) return;
  node.spcNode = tablespace;
  for (uint32_t i = 0; i < count; i++) ClearMarksInRecovery(node, blocks[i]);
}

// Repeated after a restart even if the store is newer than the record: it says what the flushes
// held, not what was resolved since.
void RedoFreeze(XLogReaderState* record) {
  FreezeRecord change;
  if (!Decode(Slice(XLogRecGetData(record), XLogRecGetDataLen(record)), &change)) {
    RaiseDamaged(record);
  }
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(change.storage);
  bool live = entry != nullptr && entry->state == StorageEntry::kLive;
  LWLockRelease(StorageTableLock());
  if (!live) return;
  // Recovery must not end before the commit records that the verdicts rely on.
  XLogFlush(record->EndRecPtr);
  FlushInRecovery("redo_flush");
  RunStoreJobInRecovery(StoreJobRequest{change.storage, change.limit});
}

}  // namespace

void RedoRecord(XLogReaderState* record) {
  Slice bytes(XLogRecGetData(record), XLogRecGetDataLen(record));
  auto type = static_cast<RecordType>(XLogRecGetInfo(record) & ~XLR_INFO_MASK);
  // These concern sessions and the server's buffers, not the store: they count even where the store
  // is newer.
  if (type == RecordType::kIndexCleanup) return RedoIndexCleanup(record, bytes);
  if (type == RecordType::kBlocksVisible) return RedoBlocksVisible(record, bytes);
  if (unlikely(g_shared->store_state != StoreState::kOpen)) WaitForStoreInRecovery(true);
  if (type == RecordType::kFreeze) return RedoFreeze(record);
  if (MayClearMarks(bytes)) RedoClearedMarks(record, bytes);
  // It is in the store: the crash came between a flush and the next checkpoint.
  if (record->EndRecPtr <= g_shared->durable_lsn.load(std::memory_order_relaxed)) return;

  switch (type) {
    case RecordType::kVersion:
      return RedoVersion(record, bytes);
    case RecordType::kImages:
      return RedoImages(record, bytes);
    case RecordType::kMove:
      return RedoMove(record, bytes);
    case RecordType::kStorageRegister:
      return RedoStorageRegister(record, bytes);
    case RecordType::kStorageBlocks:
      return RedoStorageBlocks(record, bytes);
    case RecordType::kStorageDrop:
      return RedoStorageDrop(record, bytes);
    case RecordType::kIndexEntries:
      return RedoIndexEntries(record, bytes);
    case RecordType::kIndexCleanup:
    case RecordType::kBlocksVisible:
    case RecordType::kFreeze:
      return;
  }
  RaiseDamaged(record);
}

void RedoStart() {
  LoadFailurePoint();
  WaitForStoreInRecovery(false);
  FailurePoint("redo_start");
}

void RedoEnd() { FlushInRecovery("cleanup_flush"); }

}  // namespace omendb
