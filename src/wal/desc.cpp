#include "wal/records.h"
#include "wal/resource_manager.h"

namespace omendb {
namespace {

const char* KindName(VersionKind kind) {
  switch (kind) {
    case VersionKind::kInsert:
      return "insert";
    case VersionKind::kUpdate:
      return "update";
    case VersionKind::kDelete:
      return "delete";
    case VersionKind::kMove:
      return "move";
    case VersionKind::kLock:
      return "lock";
    case VersionKind::kSpeculativeConfirm:
      return "speculative confirm";
    case VersionKind::kSpeculativeAbort:
      return "speculative abort";
  }
  return "unknown";
}

unsigned long long Wide(uint64_t value) { return value; }

bool Describe(StringInfo out, RecordType type, Slice bytes, FullXid xid) {
  switch (type) {
    case RecordType::kVersion: {
      VersionRecord r;
      if (!Decode(bytes, xid, &r)) return false;
      appendStringInfo(out,
                       "%s; storage %llu, block %u, slot %u, cid %u, flags 0x%02X, %zu bytes%s",
                       KindName(r.meta.kind), Wide(r.storage), r.block, r.slot, r.meta.cid,
                       r.meta.flags, r.payload.size(), r.new_block ? ", new block" : "");
      return true;
    }
    case RecordType::kImages: {
      ImagesRecord r;
      if (!Decode(bytes, xid, &r)) return false;
      appendStringInfo(out, "storage %llu, cid %u, blocks", Wide(r.storage), r.cid);
      for (uint32_t i = 0; i < r.count; i++) {
        appendStringInfo(out, " %u%s (%zu bytes)", r.images[i].block,
                         r.images[i].new_block ? " new" : "", r.images[i].section.size());
      }
      return true;
    }
    case RecordType::kMove: {
      MoveRecord r;
      if (!Decode(bytes, xid, &r)) return false;
      appendStringInfo(out,
                       "storage %llu, block %u, slot %u to block %u, slot %u, cid %u, %zu bytes",
                       Wide(r.storage), r.old_block, r.old_slot, r.new_block, r.new_slot,
                       r.new_meta.cid, r.row.size());
      return true;
    }
    case RecordType::kStorageRegister: {
      StorageRegisterRecord r;
      if (!Decode(bytes, &r)) return false;
      appendStringInfo(out, "storage %llu, relation %u/%u/%u, %u columns", Wide(r.storage),
                       r.tablespace, r.database, r.relation, r.column_count);
      return true;
    }
    case RecordType::kStorageBlocks: {
      StorageBlocksRecord r;
      if (!Decode(bytes, &r)) return false;
      appendStringInfo(out, "storage %llu, blocks below %u", Wide(r.storage), r.blocks);
      return true;
    }
    case RecordType::kStorageDrop: {
      StorageDropRecord r;
      if (!Decode(bytes, &r)) return false;
      appendStringInfo(out, "storage %llu", Wide(r.storage));
      return true;
    }
    case RecordType::kIndexCleanup:
    case RecordType::kBlocksVisible: {
      HorizonRecord r;
      if (!Decode(bytes, &r)) return false;
      appendStringInfo(out, "relation %u/%u/%u, oldest xid %llu", r.tablespace, r.database,
                       r.relation, Wide(r.oldest_xid));
      return true;
    }
    case RecordType::kFreeze: {
      FreezeRecord r;
      if (!Decode(bytes, &r)) return false;
      appendStringInfo(out, "storage %llu, before xid %llu", Wide(r.storage), Wide(r.limit));
      return true;
    }
    case RecordType::kIndexEntries: {
      IndexEntriesRecord r;
      if (!Decode(bytes, &r)) return false;
      IndexEntryReader reader(r.entries);
      uint32_t removed = 0;
      for (IndexEntry entry; reader.Next(&entry);) removed += entry.removed ? 1 : 0;
      appendStringInfo(out, "storage %llu, %u entries, %u of them removed, %zu bytes",
                       Wide(r.storage), r.count, removed, r.entries.size());
      return true;
    }
  }
  return false;
}

}  // namespace

void DescribeRecord(StringInfo out, XLogReaderState* record) {
  auto type = static_cast<RecordType>(XLogRecGetInfo(record) & ~XLR_INFO_MASK);
  Slice bytes(XLogRecGetData(record), XLogRecGetDataLen(record));
  if (!Describe(out, type, bytes, XLogRecGetXid(record))) appendStringInfoString(out, "damaged");
}

const char* IdentifyRecord(uint8 info) {
  switch (static_cast<RecordType>(info & ~XLR_INFO_MASK)) {
    case RecordType::kVersion:
      return "VERSION";
    case RecordType::kImages:
      return "IMAGES";
    case RecordType::kMove:
      return "MOVE";
    case RecordType::kStorageRegister:
      return "STORAGE_REGISTER";
    case RecordType::kStorageBlocks:
      return "STORAGE_BLOCKS";
    case RecordType::kStorageDrop:
      return "STORAGE_DROP";
    case RecordType::kIndexCleanup:
      return "INDEX_CLEANUP";
    case RecordType::kBlocksVisible:
      return "BLOCKS_VISIBLE";
    case RecordType::kFreeze:
      return "FREEZE";
    case RecordType::kIndexEntries:
      return "INDEX_ENTRIES";
  }
  return nullptr;
}

}  // namespace omendb
