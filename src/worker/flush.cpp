#include "worker/flush.h"

#include <algorithm>

#include "block/fold.h"
#include "pg/failure_point.h"
#include "pg/leaf_memory.h"
#include "pg/shared_state.h"
#include "pg/write_buffer.h"
#include "store/index_flush.h"
#include "worker/segment_changes.h"

extern "C" {
#include "catalog/pg_class.h"
}

namespace omendb {
namespace {

// A reader's hints stand for commit records that need not be on disk.
VersionMeta WithoutHints(VersionMeta meta) {
  meta.flags &= static_cast<uint8_t>(~(kVersionHintCommitted | kVersionHintAborted));
  return meta;
}

void AddVersions(const Segment& segment, const Segment::BlockEntry* entry, FlushFold* fold) {
  for (BufferedImage* image = segment.NewestImage(entry); image; image = segment.Older(image)) {
    fold->AddImage(WithoutHints(image->meta()), image->section());
  }
  uint64_t slots[4];
  segment.VersionSlots(entry, slots);
  for (uint32_t word = 0; word < 4; word++) {
    for (uint64_t rest = slots[word]; rest != 0; rest &= rest - 1) {
      auto slot = static_cast<SlotNo>(word * 64 + static_cast<uint32_t>(__builtin_ctzll(rest)));
      for (BufferedVersion* version = segment.Newest(entry, slot); version;
           version = segment.Older(version)) {
        fold->AddVersion(slot, WithoutHints(version->meta()), version->payload());
      }
    }
  }
}

// What all keys begin with, but so that the model is left the eight bytes behind it.
std::string CommonPrefix(const SegmentIndex& index) {
  SegmentIndex::Iterator at;
  at.Attach(index);
  at.SeekToFirst();
  if (!at.Valid()) return {};
  std::string first(at.entry().key);
  at.SeekToLast();
  Slice last = at.entry().key;
  return std::string(CommonKeyPrefix(first, last, kIndexPrefixRoom));
}

}  // namespace

SegmentFlush::SegmentFlush(const Segment* segment, uint64_t sequence)
    : segment_(segment), sequence_(sequence) {}

void SegmentFlush::Visit(void* context, StorageId storage, BlockNo block,
                         const Segment::BlockEntry* entry) {
  static_cast<SegmentFlush*>(context)->blocks_.push_back(Block{storage, block, entry});
}

Status SegmentFlush::Collect() {
  if (segment_ != nullptr) {
    blocks_.reserve(segment_->blocks());
    segment_->VisitAllBlocks(Visit, this);
    std::sort(blocks_.begin(), blocks_.end(), [](const Block& a, const Block& b) {
      return a.storage != b.storage ? a.storage < b.storage : a.block < b.block;
    });
  }
  OMENDB_RETURN_IF_ERROR(CollectIndexes());
  if (leaf_files_.storage != 0) {
    StorageEntry* entry = FindStorage(leaf_files_.storage);
    if (entry == nullptr || entry->state != StorageEntry::kLive) {
      return Status::NotFound("the index that was being built is gone");
    }
    LeafMap(SharedLeafDirectory(), &entry->leaves).NoteFlush();
    touched_.push_back(leaf_files_.storage);
  }
  Column columns[kMaxColumns];
  for (const Block& block : blocks_) {
    if (!layouts_.empty() && layouts_.back().storage == block.storage) continue;
    const StorageEntry* entry = FindStorage(block.storage);
    if (entry == nullptr) {
      return Status::Internal("the write buffer holds rows of an unknown storage",
                              "storage " + std::to_string(block.storage));
    }
    Layout layout{block.storage, entry->state == StorageEntry::kDropped, {}};
    layout.columns.assign(columns, columns + CopyColumns(entry, columns));
    if (!layout.dropped) touched_.push_back(block.storage);
    layouts_.push_back(std::move(layout));
  }
  for (uint32 i = 0; i < StorageEntryLimit(); i++) {
    const StorageEntry* entry = StorageEntryAt(i);
    bool dropped = entry->state == StorageEntry::kDropped;
    if (entry->state == StorageEntry::kFree || entry->persisted == entry->changes) continue;
    // Segments behind this one may hold rows of it. Redo skips the record that registered it once
    // this flush is durable, so it must find the storage in meta: there it stays as if it were
    // live, and what happened to it counts as not persisted. What is not logged redo never asks
    // for.
    bool dropped_later = dropped && entry->drop_sequence > sequence_;
    if (dropped_later && entry->identity.persistence != RELPERSISTENCE_PERMANENT) continue;
    wal_needed_ = std::max(wal_needed_, entry->lsn);
    if (dropped && !dropped_later) {
      dropped_.push_back(entry->identity.id);
      continue;
    }
    ChangedStorage changed{{entry->identity, entry->logged_blocks, {}},
                           dropped_later ? entry->persisted : entry->changes};
    changed.meta.columns.assign(columns, columns + CopyColumns(entry, columns));
    storages_.push_back(std::move(changed));
  }
  std::sort(dropped_.begin(), dropped_.end());
  std::sort(storages_.begin(), storages_.end(),
            [](const auto& a, const auto& b) { return a.meta.identity.id < b.meta.identity.id; });
  next_id_ = NextStorageId();
  return Status::Ok();
}

void SegmentFlush::VisitIndex(void* context, StorageId storage, const SegmentIndex& index) {
  static_cast<SegmentFlush*>(context)->indexes_.push_back(Index{storage, index, nullptr, {}});
}

Status SegmentFlush::CollectIndexes() {
  if (segment_ == nullptr) return Status::Ok();
  segment_->VisitIndexes(VisitIndex, this);
  std::sort(indexes_.begin(), indexes_.end(),
            [](const Index& a, const Index& b) { return a.storage < b.storage; });
  for (Index& index : indexes_) {
    index.entry = FindStorage(index.storage);
    if (index.entry == nullptr) {
      return Status::Internal("the write buffer holds entries of an unknown index",
                              "storage " + std::to_string(index.storage));
    }
    if (index.entry->state != StorageEntry::kDropped) touched_.push_back(index.storage);
  }
  std::erase_if(indexes_,
                [](const Index& index) { return index.entry->state == StorageEntry::kDropped; });
  return Status::Ok();
}

// An entry is removed from the storage table by this process alone, so it may be used without the
// table's lock.
Status SegmentFlush::WriteIndexes(PrimaryStore* store, PrimaryStore::Flush* flush) {
  IndexFlush writer(store, flush, store->generation() + 1);
  for (Index& index : indexes_) {
    index.prefix = CommonPrefix(index.entries);
    LeafMap leaves(SharedLeafDirectory(), &index.entry->leaves);
    leaves.NoteFlush();
    SegmentChanges entries(index.entries);
    OMENDB_RETURN_IF_ERROR(writer.Write(index.storage, &entries, &leaves));
  }
  leaves_ = writer.leaves();
  return Status::Ok();
}

Status SegmentFlush::WriteBlocks(PrimaryStore::Flush* flush, const TransactionOracle& oracle) {
  FlushFold fold;
  std::string value;
  auto layout = layouts_.begin();
  for (const Block& block : blocks_) {
    while (layout->storage != block.storage) ++layout;
    if (layout->dropped) continue;
    bool new_block = segment_->IsNewBlock(block.entry);
    fold.Start(Columns(layout->columns), new_block ? FoldScope::kWhole : FoldScope::kPartial);
    AddVersions(*segment_, block.entry, &fold);
    value.clear();
    OMENDB_RETURN_IF_ERROR(fold.Finish(oracle, &value));
    if (value.empty()) continue;
    OMENDB_RETURN_IF_ERROR(flush->AddBlock(block.storage, block.block, new_block, value));
  }
  return Status::Ok();
}

Status SegmentFlush::Write(PrimaryStore* store, const TransactionOracle& oracle) {
  // If it fails, what is known of their leaves is what would have been.
  const auto forget = [this] {
    for (const Index& index : indexes_) {
      LeafMap(SharedLeafDirectory(), &index.entry->leaves).Forget();
    }
  };
  try {
    Status status = WriteAll(store, oracle);
    if (!status.ok()) forget();
    return status;
  } catch (...) {  // out of memory
    forget();
    throw;
  }
}

Status SegmentFlush::WriteAll(PrimaryStore* store, const TransactionOracle& oracle) {
  std::unique_ptr<PrimaryStore::Flush> flush;
  OMENDB_RETURN_IF_ERROR(store->NewFlush(&flush));
  OMENDB_RETURN_IF_ERROR(WriteBlocks(flush.get(), oracle));
  OMENDB_RETURN_IF_ERROR(WriteIndexes(store, flush.get()));
  if (leaf_files_.storage != 0) flush->AddLeafFiles(leaf_files_.storage, leaf_files_.files);
  for (const ChangedStorage& storage : storages_) {
    flush->PutMeta(StorageMetaKey(storage.meta.identity.id), EncodeStorageMeta(storage.meta));
  }
  for (StorageId storage : dropped_) {
    flush->DropStorage(storage);
    flush->DeleteMeta(StorageMetaKey(storage));
  }
  flush->PutMeta(kNextStorageIdKey, EncodeNextStorageId(next_id_));
  Lsn lsn = std::max(store->durable_lsn(), DurableOnceFlushed(sequence_));
  if (segment_ != nullptr) lsn = std::max(lsn, segment_->last_lsn());
  FailurePoint("before_commit");
  OMENDB_RETURN_IF_ERROR(flush->Commit(lsn));
  FailurePoint("after_commit");
  bytes_ = flush->bytes_written();
  return Status::Ok();
}

void SegmentFlush::Publish() {
  for (const ChangedStorage& storage : storages_) {
    if (StorageEntry* entry = FindStorage(storage.meta.identity.id)) {
      entry->persisted = storage.changes;
    }
  }
  for (const Index& index : indexes_) {
    StorageEntry* entry = FindStorage(index.storage);
    if (entry == nullptr || index.prefix.empty()) continue;
    // What all segments so far had in common: keys that do not fit cost more than a short prefix.
    size_t common = index.prefix.size();
    if (entry->leaves.prefix_size > 0) {
      common = SharedBytes(index.prefix, Slice(entry->leaves.prefix, entry->leaves.prefix_size));
    }
    if (common == 0) continue;
    memcpy(entry->leaves.prefix, index.prefix.data(), common);
    entry->leaves.prefix_size = static_cast<uint8>(common);
  }
  if (StorageEntry* entry = FindStorage(leaf_files_.storage)) {
    entry->leaves.prefix_size = static_cast<uint8>(leaf_files_.prefix.size());
    memcpy(entry->leaves.prefix, leaf_files_.prefix.data(), leaf_files_.prefix.size());
    entry->leaves.state = LeafMapState::kWanted;
    g_shared->leaf_maps_wanted = true;
  }
  for (StorageId storage : dropped_) {
    StorageEntry* entry = FindStorage(storage);
    if (entry == nullptr) continue;
    LeafMap(SharedLeafDirectory(), &entry->leaves).Forget();
    RemoveStorageEntry(entry);
  }
}

}  // namespace omendb
