#include "wal/log.h"

#include <algorithm>

#include "pg/shared_state.h"
#include "pg/storage_log.h"
#include "pg/visibility_map.h"
#include "wal/pending_entries.h"
#include "wal/records.h"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_class.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// Not RelationNeedsWAL: that is false for a table made in this transaction under wal_level=minimal,
// whose file the server would sync at commit instead. Our rows are in no file by then.
bool IsLogged(Relation relation) {
  return relation->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
}

bool HasOwnXid(FullXid xid) {
  return static_cast<TransactionId>(xid) != GetCurrentTransactionIdIfAny();
}

void RegisterBytes(const char* data, size_t size) {
  if (size > 0) XLogRegisterData(const_cast<char*>(data), static_cast<uint32>(size));
}

Lsn Insert(RecordType type) {
  XLogSetRecordFlags(XLOG_INCLUDE_ORIGIN);
  return XLogInsert(kResourceManagerId, static_cast<uint8>(type));
}

// Unlogged changes are ordered by the server's counter for them and keep no WAL waiting.
Lsn InsertOrCount(Relation relation, WriteTicket* ticket, RecordType type, const char* head,
                  size_t head_size, const Slice* bodies, uint32 count) {
  if (!IsLogged(relation)) return GetFakeLSNForUnloggedRel();
  XLogBeginInsert();
  RegisterBytes(head, head_size);
  for (uint32 i = 0; i < count; i++) RegisterBytes(bodies[i].data(), bodies[i].size());
  Lsn lsn = Insert(type);
  ticket->segment.NoteLsn(lsn);
  return lsn;
}

Slice EncodeEntries(const IndexEntry* entries, uint32 count, char* body) {
  char* end = body;
  for (uint32 i = 0; i < count; i++) {
    end = EncodeIndexEntry(entries[i], i == 0 ? Slice() : entries[i - 1].key, end);
  }
  return Slice(body, static_cast<size_t>(end - body));
}

// An update in place and a lock leave the block's marks: see visibility_map.h.
bool ChangesWhoIsSeen(VersionKind kind) {
  return kind != VersionKind::kUpdate && kind != VersionKind::kLock;
}

}  // namespace

Lsn LogAndApplyVersion(WriteTicket* ticket, Relation relation, StorageId storage, BlockNo block,
                       SlotNo slot, VersionMeta* meta, Slice payload, bool new_block) {
  char head[kMaxRecordHead];
  BlockMarks marks{};
  if (ChangesWhoIsSeen(meta->kind)) marks = LookUpMarks(relation, block);
  VersionRecord record{storage,
                       block,
                       slot,
                       new_block,
                       AnyMarks(marks),
                       relation->rd_node.spcNode,
                       HasOwnXid(meta->xid),
                       *meta,
                       payload};
  size_t head_size = EncodeHead(record, head);
  size_t bound = Segment::BoundForVersion(payload.size());
  Assert(ticket->reserved >= bound);

  START_CRIT_SECTION();
  ClearMarks(relation, marks);
  meta->lsn = InsertOrCount(relation, ticket, RecordType::kVersion, head, head_size, &payload, 1);
  ticket->segment.ApplyVersion(storage, block, slot, *meta, payload, new_block);
  ticket->reserved -= bound;
  END_CRIT_SECTION();
  ReleaseMarks(&marks);
  return meta->lsn;
}

Lsn LogAndApplyImages(WriteTicket* ticket, Relation relation, StorageId storage,
                      const ImageToLog* images, int count, FullXid xid, CommandNo cid) {
  Assert(count > 0 && count <= static_cast<int>(kMaxImagesPerRecord));
  char head[kMaxRecordHead];
  ImagesRecord record;
  Slice sections[kMaxImagesPerRecord];
  LWLock* locks[kMaxImagesPerRecord];
  BlockMarks marks[kMaxImagesPerRecord];
  size_t bound = 0;
  record.storage = storage;
  record.tablespace = relation->rd_node.spcNode;
  record.own_xid = HasOwnXid(xid);
  record.xid = xid;
  record.cid = cid;
  record.count = static_cast<uint32>(count);
  for (int i = 0; i < count; i++) {
    record.images[i] = {images[i].block, images[i].new_block, false, images[i].section};
    sections[i] = images[i].section;
    locks[i] = StripeLock(storage, images[i].block);
    bound += Segment::BoundForImage(sections[i].size());
  }
  Assert(ticket->reserved >= bound);

  std::sort(locks, locks + count);
  int lock_count = static_cast<int>(std::unique(locks, locks + count) - locks);
  for (int i = 0; i < lock_count; i++) LWLockAcquire(locks[i], LW_EXCLUSIVE);
  for (int i = 0; i < count; i++) {
    marks[i] = LookUpMarks(relation, images[i].block);
    record.images[i].clears_marks = AnyMarks(marks[i]);
  }
  size_t head_size = EncodeHead(record, head);
  START_CRIT_SECTION();
  for (int i = 0; i < count; i++) ClearMarks(relation, marks[i]);
  Lsn lsn =
      InsertOrCount(relation, ticket, RecordType::kImages, head, head_size, sections, record.count);
  VersionMeta meta{xid, lsn, cid, VersionKind::kInsert, 0};
  for (int i = 0; i < count; i++) {
    ticket->segment.ApplyImage(storage, images[i].block, meta, sections[i], images[i].new_block);
  }
  ticket->reserved -= bound;
  END_CRIT_SECTION();
  for (int i = lock_count - 1; i >= 0; i--) LWLockRelease(locks[i]);
  for (int i = 0; i < count; i++) ReleaseMarks(&marks[i]);
  return lsn;
}

Lsn LogAndApplyMove(WriteTicket* ticket, Relation relation, StorageId storage, BlockNo old_block,
                    SlotNo old_slot, VersionMeta* old_meta, BlockNo new_block_no, SlotNo new_slot,
                    VersionMeta* new_meta, Slice row, bool new_block) {
  Assert(old_meta->kind == VersionKind::kMove && old_meta->xid == new_meta->xid);
  char head[kMaxRecordHead];
  MoveRecord record;
  record.storage = storage;
  record.old_block = old_block;
  record.new_block = new_block_no;
  record.old_slot = old_slot;
  record.new_slot = new_slot;
  record.is_new_block = new_block;
  BlockMarks old_marks = LookUpMarks(relation, old_block);
  BlockMarks new_marks = LookUpMarks(relation, new_block_no);
  record.clears_old_marks = AnyMarks(old_marks);
  record.clears_new_marks = AnyMarks(new_marks);
  record.tablespace = relation->rd_node.spcNode;
  record.own_xid = HasOwnXid(new_meta->xid);
  record.old_meta = *old_meta;
  record.new_meta = *new_meta;
  size_t head_size = EncodeHead(record, head);
  char target[kMovePayloadSize];
  EncodeMovePayload(new_block_no, new_slot, target);
  size_t bound = Segment::BoundForVersion(8) + Segment::BoundForVersion(row.size());
  Assert(ticket->reserved >= bound);

  START_CRIT_SECTION();
  ClearMarks(relation, old_marks);
  ClearMarks(relation, new_marks);
  Lsn lsn = InsertOrCount(relation, ticket, RecordType::kMove, head, head_size, &row, 1);
  old_meta->lsn = new_meta->lsn = lsn;
  // The new version first: a reader that finds the move finds where it went.
  ticket->segment.ApplyVersion(storage, new_block_no, new_slot, *new_meta, row, new_block);
  ticket->segment.ApplyVersion(storage, old_block, old_slot, *old_meta,
                               Slice(target, sizeof(target)), false);
  // Apply gives back what it does not use of the bound for its own payload size.
  size_t spare = Segment::BoundForVersion(8) - Segment::BoundForVersion(sizeof(target));
  if (spare > 0) ticket->segment.Release(spare);
  ticket->reserved -= bound;
  END_CRIT_SECTION();
  ReleaseMarks(&old_marks);
  ReleaseMarks(&new_marks);
  return lsn;
}

void ApplyIndexEntries(WriteTicket* ticket, StorageId storage, Slice prefix,
                       const IndexEntry* entries, uint32 count) {
  for (uint32 i = 0; i < count; i++) {
    size_t bound = Segment::BoundForIndexEntry(entries[i]);
    Assert(ticket->reserved >= bound);
    ticket->segment.ApplyIndexEntry(storage, entries[i], prefix);
    ticket->reserved -= bound;
  }
}

void LogAndApplyIndexEntries(WriteTicket* ticket, Relation index, StorageId storage,
                             const IndexEntry* entries, uint32 count, char* body) {
  LogPendingIndexEntries();
  char head[kMaxRecordHead];
  Slice bytes = EncodeEntries(entries, count, body);
  size_t head_size = EncodeHead(IndexEntriesRecord{storage, count, bytes}, head);
  char room[kIndexPrefixRoom];
  Slice prefix(room, IndexPrefix(ticket->segment, storage, entries[0].key, room));

  START_CRIT_SECTION();
  InsertOrCount(index, ticket, RecordType::kIndexEntries, head, head_size, &bytes, 1);
  ApplyIndexEntries(ticket, storage, prefix, entries, count);
  END_CRIT_SECTION();
}

void LogEncodedIndexEntries(StorageId storage, uint32 count, Slice bytes) {
  char head[kMaxRecordHead];
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(IndexEntriesRecord{storage, count, bytes}, head));
  RegisterBytes(bytes.data(), bytes.size());
  Insert(RecordType::kIndexEntries);
}

void LogIndexEntries(Relation index, StorageId storage, const IndexEntry* entries, uint32 count,
                     char* body) {
  // At wal_level minimal there is nobody who would need them.
  if (!IsLogged(index) || !XLogIsNeeded()) return;
  LogEncodedIndexEntries(storage, count, EncodeEntries(entries, count, body));
}

void LogIndexCleanup(Relation relation, FullXid oldest) {
  if (!IsLogged(relation)) return;
  char head[kMaxRecordHead];
  HorizonRecord record{relation->rd_node.spcNode, relation->rd_node.dbNode,
                       relation->rd_node.relNode, oldest};
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(record, head));
  Insert(RecordType::kIndexCleanup);
}

Lsn LogBlocksVisible(const RelFileNode& node, FullXid horizon, Buffer map) {
  char head[kMaxRecordHead];
  XLogBeginInsert();
  RegisterBytes(head,
                EncodeHead(HorizonRecord{node.spcNode, node.dbNode, node.relNode, horizon}, head));
  XLogRegisterBuffer(0, map, REGBUF_FORCE_IMAGE);
  return Insert(RecordType::kBlocksVisible);
}

void LogFreeze(Relation relation, StorageId storage, FullXid limit) {
  if (!IsLogged(relation)) return;
  char head[kMaxRecordHead];
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(FreezeRecord{storage, limit}, head));
  // Their commit records are all before this one.
  XLogFlush(Insert(RecordType::kFreeze));
}

Lsn LogStorageRegister(const StorageIdentity& identity, const Column* columns,
                       uint32 column_count) {
  char head[kMaxRecordHead];
  StorageRegisterRecord record;
  record.storage = identity.id;
  record.tablespace = identity.node.spcNode;
  record.database = identity.node.dbNode;
  record.relation = identity.node.relNode;
  record.persistence = static_cast<uint8_t>(identity.persistence);
  record.column_count = column_count;
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(record, head));
  RegisterBytes(reinterpret_cast<const char*>(columns), column_count * sizeof(Column));
  return Insert(RecordType::kStorageRegister);
}

Lsn LogStorageBlocks(StorageId storage, uint32 blocks) {
  char head[kMaxRecordHead];
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(StorageBlocksRecord{storage, blocks}, head));
  return Insert(RecordType::kStorageBlocks);
}

Lsn LogStorageDrop(StorageId storage) {
  LogPendingIndexEntries();
  char head[kMaxRecordHead];
  XLogBeginInsert();
  RegisterBytes(head, EncodeHead(StorageDropRecord{storage}, head));
  return Insert(RecordType::kStorageDrop);
}

}  // namespace omendb
