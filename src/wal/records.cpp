#include "wal/records.h"

#include "base/coding.h"

namespace omendb {
namespace {

constexpr uint8_t kFlagNewBlock = 0x01;
constexpr uint8_t kFlagOwnXid = 0x02;
constexpr uint8_t kFlagClearsMarks = 0x04;     // images: of some block
constexpr uint8_t kFlagClearsNewMarks = 0x08;  // of the block that a row moves to
constexpr uint8_t kKnownFlags = kFlagNewBlock | kFlagOwnXid | kFlagClearsMarks;
constexpr uint8_t kLoggedVersionFlags =
    kVersionSpeculative | kVersionKeyUpdated | kVersionMovedPartition;

// Writes fields one behind the other.
struct Writer {
  char* at;
  void Byte(uint8_t value) { *at++ = static_cast<char>(value); }
  void Varint(uint64_t value) { at = StoreVarint(at, value); }
  void Fixed64(uint64_t value) {
    StoreFixed(at, value);
    at += 8;
  }
};

// Reads fields; once one is missing or out of range, everything after it fails too.
struct Reader {
  Slice rest;
  bool ok = true;

  uint8_t Byte() {
    uint8_t value = 0;
    ok = ok && TakeFixed(&rest, &value);
    return value;
  }
  uint64_t Varint(uint64_t limit) {
    uint64_t value = 0;
    ok = ok && TakeVarint(&rest, &value) && value <= limit;
    return ok ? value : 0;
  }
  uint64_t Fixed64() {
    uint64_t value = 0;
    ok = ok && TakeFixed(&rest, &value);
    return value;
  }
  void Format() { ok = ok && Byte() == kRecordFormat; }
  uint8_t Flags(uint8_t known) {
    uint8_t flags = Byte();
    ok = ok && (flags & ~known) == 0;
    return flags;
  }
  StorageId Storage() {
    StorageId storage = Varint(~uint64_t{0});
    ok = ok && storage != 0;
    return storage;
  }
  uint32_t Oid() { return static_cast<uint32_t>(Varint(~uint32_t{0})); }
  BlockNo Block() { return static_cast<BlockNo>(Varint(kMaxBlocks - 1)); }
  CommandNo Cid() { return static_cast<CommandNo>(Varint(~uint32_t{0})); }
};

bool PayloadFits(VersionKind kind, size_t size) {
  switch (kind) {
    case VersionKind::kInsert:
    case VersionKind::kUpdate:
      return size > 0;
    case VersionKind::kMove:
      return size == kMovePayloadSize;
    case VersionKind::kLock:
      return size == 1;
    case VersionKind::kDelete:
    case VersionKind::kSpeculativeConfirm:
    case VersionKind::kSpeculativeAbort:
      return size == 0;
  }
  return false;
}

uint8_t FlagsOf(bool new_block, bool own_xid, bool clears_marks) {
  return static_cast<uint8_t>((new_block ? kFlagNewBlock : 0) | (own_xid ? kFlagOwnXid : 0) |
                              (clears_marks ? kFlagClearsMarks : 0));
}

bool AnyClears(const ImagesRecord& record) {
  for (uint32_t i = 0; i < record.count; i++) {
    if (record.images[i].clears_marks) return true;
  }
  return false;
}

}  // namespace

bool MayClearMarks(Slice bytes) {
  return bytes.size() > 1 &&
         (static_cast<uint8_t>(bytes[1]) & (kFlagClearsMarks | kFlagClearsNewMarks)) != 0;
}

// kVersion, format 1:
//   format:        uint8
//   flags:         uint8    bit 0: first change ever to the block; bit 1: xid follows;
//                           bit 2: clears the block's marks in the visibility map
//   kind:          uint8    VersionKind
//   version flags: uint8    kVersion*
//   slot:          uint8
//   storage:       varint
//   block:         varint
//   cid:           varint
//   xid:           uint64   only if flags bit 1
//   tablespace:    varint   only if flags bit 2
//   payload:       rest
size_t EncodeHead(const VersionRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Byte(FlagsOf(record.new_block, record.own_xid, record.clears_marks));
  writer.Byte(static_cast<uint8_t>(record.meta.kind));
  writer.Byte(record.meta.flags & kLoggedVersionFlags);
  writer.Byte(record.slot);
  writer.Varint(record.storage);
  writer.Varint(record.block);
  writer.Varint(record.meta.cid);
  if (record.own_xid) writer.Fixed64(record.meta.xid);
  if (record.clears_marks) writer.Varint(record.tablespace);
  return writer.at - to;
}

bool Decode(Slice bytes, FullXid xid, VersionRecord* record) {
  Reader reader{bytes};
  reader.Format();
  uint8_t flags = reader.Flags(kKnownFlags);
  record->new_block = flags & kFlagNewBlock;
  record->clears_marks = flags & kFlagClearsMarks;
  record->own_xid = flags & kFlagOwnXid;
  record->meta.lsn = 0;
  record->meta.kind = static_cast<VersionKind>(reader.Byte());
  record->meta.flags = reader.Flags(kLoggedVersionFlags);
  record->slot = reader.Byte();
  record->storage = reader.Storage();
  record->block = reader.Block();
  record->meta.cid = reader.Cid();
  record->meta.xid = record->own_xid ? reader.Fixed64() : xid;
  record->tablespace = record->clears_marks ? reader.Oid() : 0;
  record->payload = reader.rest;
  return reader.ok && PayloadFits(record->meta.kind, record->payload.size());
}

// kImages, format 1:
//   format:  uint8
//   flags:   uint8    bit 1: xid follows; bit 2: some block's marks are cleared
//   count:   uint8    1 .. 16
//   storage: varint
//   cid:     varint
//   xid:     uint64   only if flags bit 1
//   tablespace: varint   only if flags bit 2
//   count times: block: varint; flags: uint8, bit 0: first change ever to the block, bit 2: clears
//                its marks in the visibility map; size: varint, of the section in units of 8 bytes
//   sections, one behind the other
size_t EncodeHead(const ImagesRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Byte(FlagsOf(false, record.own_xid, AnyClears(record)));
  writer.Byte(static_cast<uint8_t>(record.count));
  writer.Varint(record.storage);
  writer.Varint(record.cid);
  if (record.own_xid) writer.Fixed64(record.xid);
  if (AnyClears(record)) writer.Varint(record.tablespace);
  for (uint32_t i = 0; i < record.count; i++) {
    writer.Varint(record.images[i].block);
    writer.Byte(FlagsOf(record.images[i].new_block, false, record.images[i].clears_marks));
    writer.Varint(record.images[i].section.size() / 8);
  }
  return writer.at - to;
}

bool Decode(Slice bytes, FullXid xid, ImagesRecord* record) {
  Reader reader{bytes};
  reader.Format();
  const uint8_t flags = reader.Flags(kFlagOwnXid | kFlagClearsMarks);
  record->own_xid = flags & kFlagOwnXid;
  record->count = reader.Byte();
  record->storage = reader.Storage();
  record->cid = reader.Cid();
  record->xid = record->own_xid ? reader.Fixed64() : xid;
  record->tablespace = flags & kFlagClearsMarks ? reader.Oid() : 0;
  if (!reader.ok || record->count == 0 || record->count > kMaxImagesPerRecord) return false;

  size_t sizes[kMaxImagesPerRecord];
  for (uint32_t i = 0; i < record->count; i++) {
    record->images[i].block = reader.Block();
    const uint8_t of_image = reader.Flags(kFlagNewBlock | kFlagClearsMarks);
    record->images[i].new_block = of_image & kFlagNewBlock;
    record->images[i].clears_marks = of_image & kFlagClearsMarks;
    sizes[i] = reader.Varint(bytes.size() / 8) * 8;
    if (sizes[i] == 0) return false;
  }
  if (!reader.ok || AnyClears(*record) != ((flags & kFlagClearsMarks) != 0)) return false;
  for (uint32_t i = 0; i < record->count; i++) {
    if (sizes[i] > reader.rest.size()) return false;
    record->images[i].section = reader.rest.substr(0, sizes[i]);
    reader.rest.remove_prefix(sizes[i]);
  }
  return reader.rest.empty();
}

// kMove, format 1:
//   format:    uint8
//   flags:     uint8    bit 0: first change ever to the new block; bit 1: xid follows;
//                       bits 2, 3: clears the old, the new block's marks in the visibility map
//   old flags: uint8    kVersion* of the move
//   old slot:  uint8
//   new kind:  uint8    VersionKind
//   new flags: uint8    kVersion*
//   new slot:  uint8
//   storage:   varint
//   old block: varint
//   new block: varint
//   old cid:   varint
//   new cid:   varint
//   xid:       uint64   only if flags bit 1
//   tablespace: varint  only if flags bits 2 or 3
//   row:       rest
size_t EncodeHead(const MoveRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Byte(FlagsOf(record.is_new_block, record.own_xid, record.clears_old_marks) |
              (record.clears_new_marks ? kFlagClearsNewMarks : 0));
  writer.Byte(record.old_meta.flags & kLoggedVersionFlags);
  writer.Byte(record.old_slot);
  writer.Byte(static_cast<uint8_t>(record.new_meta.kind));
  writer.Byte(record.new_meta.flags & kLoggedVersionFlags);
  writer.Byte(record.new_slot);
  writer.Varint(record.storage);
  writer.Varint(record.old_block);
  writer.Varint(record.new_block);
  writer.Varint(record.old_meta.cid);
  writer.Varint(record.new_meta.cid);
  if (record.own_xid) writer.Fixed64(record.new_meta.xid);
  if (record.clears_old_marks || record.clears_new_marks) writer.Varint(record.tablespace);
  return writer.at - to;
}

bool Decode(Slice bytes, FullXid xid, MoveRecord* record) {
  Reader reader{bytes};
  reader.Format();
  uint8_t flags = reader.Flags(kKnownFlags | kFlagClearsNewMarks);
  record->is_new_block = flags & kFlagNewBlock;
  record->clears_old_marks = flags & kFlagClearsMarks;
  record->clears_new_marks = flags & kFlagClearsNewMarks;
  record->own_xid = flags & kFlagOwnXid;
  record->old_meta.kind = VersionKind::kMove;
  record->old_meta.lsn = record->new_meta.lsn = 0;
  record->old_meta.flags = reader.Flags(kLoggedVersionFlags);
  record->old_slot = reader.Byte();
  record->new_meta.kind = static_cast<VersionKind>(reader.Byte());
  record->new_meta.flags = reader.Flags(kLoggedVersionFlags);
  record->new_slot = reader.Byte();
  record->storage = reader.Storage();
  record->old_block = reader.Block();
  record->new_block = reader.Block();
  record->old_meta.cid = reader.Cid();
  record->new_meta.cid = reader.Cid();
  record->old_meta.xid = record->new_meta.xid = record->own_xid ? reader.Fixed64() : xid;
  const bool clears = record->clears_old_marks || record->clears_new_marks;
  record->tablespace = clears ? reader.Oid() : 0;
  record->row = reader.rest;
  return reader.ok && CarriesRow(record->new_meta.kind) && !record->row.empty();
}

// kStorageRegister, format 1: a storage, or more columns for one that is known
//   format:      uint8
//   persistence: uint8    pg_class.relpersistence
//   storage:     varint
//   tablespace:  varint   0 = the database's default
//   database:    varint
//   relfilenode: varint
//   columns:     varint   how many
//   columns:     4 bytes each: int16 length, uint8 align, uint8 kColumn*
size_t EncodeHead(const StorageRegisterRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Byte(record.persistence);
  writer.Varint(record.storage);
  writer.Varint(record.tablespace);
  writer.Varint(record.database);
  writer.Varint(record.relation);
  writer.Varint(record.column_count);
  return writer.at - to;
}

bool Decode(Slice bytes, StorageRegisterRecord* record) {
  Reader reader{bytes};
  reader.Format();
  record->persistence = reader.Byte();
  record->storage = reader.Storage();
  record->tablespace = reader.Oid();
  record->database = reader.Oid();
  record->relation = reader.Oid();
  record->column_count = static_cast<uint32_t>(reader.Varint(kMaxColumns));
  record->columns = reader.rest.data();
  return reader.ok && reader.rest.size() == record->column_count * sizeof(Column);
}

// kStorageBlocks, format 1: block numbers below `blocks` may have been given out
//   format:  uint8
//   storage: varint
//   blocks:  varint
size_t EncodeHead(const StorageBlocksRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Varint(record.storage);
  writer.Varint(record.blocks);
  return writer.at - to;
}

bool Decode(Slice bytes, StorageBlocksRecord* record) {
  Reader reader{bytes};
  reader.Format();
  record->storage = reader.Storage();
  record->blocks = static_cast<uint32_t>(reader.Varint(kMaxBlocks));
  return reader.ok && reader.rest.empty();
}

// kStorageDrop, format 1: the rows of the storage belong to nothing any more
//   format:  uint8
//   storage: varint
size_t EncodeHead(const StorageDropRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Varint(record.storage);
  return writer.at - to;
}

bool Decode(Slice bytes, StorageDropRecord* record) {
  Reader reader{bytes};
  reader.Format();
  record->storage = reader.Storage();
  return reader.ok && reader.rest.empty();
}

// kIndexCleanup and kBlocksVisible, format 1:
//   format:     uint8
//   tablespace: varint
//   database:   varint
//   relation:   varint   the table's relfilenode
//   oldest_xid: uint64
size_t EncodeHead(const HorizonRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Varint(record.tablespace);
  writer.Varint(record.database);
  writer.Varint(record.relation);
  writer.Fixed64(record.oldest_xid);
  return writer.at - to;
}

bool Decode(Slice bytes, HorizonRecord* record) {
  Reader reader{bytes};
  reader.Format();
  record->tablespace = reader.Oid();
  record->database = reader.Oid();
  record->relation = reader.Oid();
  record->oldest_xid = reader.Fixed64();
  return reader.ok && reader.rest.empty();
}

// kFreeze, format 1: no version of the storage needs clog for transactions before `limit`
//
//   format:  uint8
//   storage: varint
//   limit:   uint64
size_t EncodeHead(const FreezeRecord& record, char* to) {
  Writer writer{to};
  writer.Byte(kRecordFormat);
  writer.Varint(record.storage);
  writer.Fixed64(record.limit);
  return writer.at - to;
}

bool Decode(Slice bytes, FreezeRecord* record) {
  Reader reader{bytes};
  reader.Format();
  record->storage = reader.Storage();
  record->limit = reader.Fixed64();
  return reader.ok && reader.rest.empty();
}

void EncodeMovePayload(BlockNo block, SlotNo slot, char* to) {
  StoreFixed(to, block);
  to[4] = static_cast<char>(slot);
}

}  // namespace omendb
