// The WAL records of the resource manager: what they say, and how they are written as bytes.
//
// Every record starts with its format version; redo refuses a version it does not know. Decoding
// checks every bound before anything is applied. Byte layouts are drawn in records.cpp.
#pragma once

#include <cstddef>

#include "base/index_entry.h"
#include "base/types.h"

namespace omendb {

inline constexpr uint8_t kResourceManagerId = 142;
inline constexpr char kResourceManagerName[] = "omendb";

inline constexpr uint8_t kRecordFormat = 1;

// In the upper four bits of the record's info byte. Persisted: numbers are never reused.
enum class RecordType : uint8_t {
  kVersion = 0x00,
  kImages = 0x10,
  kMove = 0x20,
  kStorageRegister = 0x30,
  kStorageBlocks = 0x40,
  kStorageDrop = 0x50,
  kIndexCleanup = 0x60,
  kFreeze = 0x70,
  kBlocksVisible = 0x90,
  kIndexEntries = 0xA0,
};

inline constexpr uint32_t kMaxImagesPerRecord = 16;
// Room for the largest head of a record: what comes before row bytes, sections or columns.
inline constexpr size_t kMaxRecordHead = 64 + kMaxImagesPerRecord * 24;

// One version of one row. meta.lsn is not in the record: it is the record's own.
struct VersionRecord {
  StorageId storage;
  BlockNo block;
  SlotNo slot;
  bool new_block;
  bool clears_marks;    // of the block in the visibility map ...
  uint32_t tablespace;  // ... which is in this tablespace: a storage may be known without its own
  bool own_xid;         // meta.xid differs from the record's transaction id
  VersionMeta meta;
  Slice payload;  // behind the head
};

// Row images of blocks, all of one transaction and command.
struct ImagesRecord {
  struct Image {
    BlockNo block;
    bool new_block;
    bool clears_marks;
    Slice section;
  };
  StorageId storage;
  uint32_t tablespace;  // if any image clears marks
  bool own_xid;
  FullXid xid;
  CommandNo cid;
  uint32_t count;
  Image images[kMaxImagesPerRecord];  // sections behind the head, in order
};

// A row that moved to another TID. Both versions are of one transaction.
struct MoveRecord {
  StorageId storage;
  BlockNo old_block, new_block;
  SlotNo old_slot, new_slot;
  bool is_new_block;
  bool clears_old_marks, clears_new_marks;
  uint32_t tablespace;  // if marks are cleared
  bool own_xid;
  VersionMeta old_meta, new_meta;
  Slice row;  // behind the head
};

struct StorageRegisterRecord {
  StorageId storage;
  uint32_t tablespace, database, relation;
  uint8_t persistence;
  uint32_t column_count;
  const char* columns;  // 4 bytes each, behind the head
};

struct StorageBlocksRecord {
  StorageId storage;
  uint32_t blocks;
};

struct StorageDropRecord {
  StorageId storage;
};

// What no transaction at or after oldest_xid can see. A standby cancels its older queries.
// kIndexCleanup: index entries of such rows are about to go, or a new index or copy has none.
// kBlocksVisible: the page of the visibility map that is block 0 of the record, always there as a
// full-page image, has new marks: of blocks in which all rows are visible since then.
struct HorizonRecord {
  uint32_t tablespace, database, relation;
  FullXid oldest_xid;
};

// VACUUM is about to let clog before `limit` go, as far as the storage is concerned. All transactions
// before it have ended. Redo goes on when this node's store needs clog no more for them either.
struct FreezeRecord {
  StorageId storage;
  FullXid limit;
};

// Entries that come to an index or leave it, in any order; sorted ones take less space.
struct IndexEntriesRecord {
  StorageId storage;
  uint32_t count;
  Slice entries;  // behind the head: read by IndexEntryReader
};

// Writes one entry behind others into `to`, which has room for IndexEntryBound; previous_key: of the
// entry before it, empty for the first. Returns the byte behind it.
size_t IndexEntryBound(const IndexEntry& entry);
char* EncodeIndexEntry(const IndexEntry& entry, Slice previous_key, char* to);

// Reads what EncodeIndexEntry wrote. An entry's bytes are valid until the next one is read.
class IndexEntryReader {
 public:
  explicit IndexEntryReader(Slice entries) : rest_(entries) {}
  bool AtEnd() const { return rest_.empty(); }
  [[nodiscard]] bool Next(IndexEntry* entry);  // false: at the end, or damaged

 private:
  Slice rest_;
  size_t key_size_ = 0;
  char key_[kMaxEntryPart];
};

// Write the head of a record into `to` (kMaxRecordHead bytes), return its size.
size_t EncodeHead(const VersionRecord& record, char* to);
size_t EncodeHead(const ImagesRecord& record, char* to);
size_t EncodeHead(const MoveRecord& record, char* to);
size_t EncodeHead(const StorageRegisterRecord& record, char* to);
size_t EncodeHead(const StorageBlocksRecord& record, char* to);
size_t EncodeHead(const StorageDropRecord& record, char* to);
size_t EncodeHead(const HorizonRecord& record, char* to);
size_t EncodeHead(const FreezeRecord& record, char* to);
size_t EncodeHead(const IndexEntriesRecord& record, char* to);

// False: damaged, or of an unknown format. `xid`: what stands for an xid that is not in the record.
[[nodiscard]] bool Decode(Slice bytes, FullXid xid, VersionRecord* record);
[[nodiscard]] bool Decode(Slice bytes, FullXid xid, ImagesRecord* record);
[[nodiscard]] bool Decode(Slice bytes, FullXid xid, MoveRecord* record);
[[nodiscard]] bool Decode(Slice bytes, StorageRegisterRecord* record);
[[nodiscard]] bool Decode(Slice bytes, StorageBlocksRecord* record);
[[nodiscard]] bool Decode(Slice bytes, StorageDropRecord* record);
[[nodiscard]] bool Decode(Slice bytes, HorizonRecord* record);
[[nodiscard]] bool Decode(Slice bytes, FreezeRecord* record);
[[nodiscard]] bool Decode(Slice bytes, IndexEntriesRecord* record);  // checks every entry

// Whether a kVersion, kImages or kMove record may clear marks: spares redo the decoding of others.
bool MayClearMarks(Slice bytes);

// Payload of a kMove version: fixed32 block, uint8 slot.
inline constexpr size_t kMovePayloadSize = 5;
void EncodeMovePayload(BlockNo block, SlotNo slot, char* to);

}  // namespace omendb
