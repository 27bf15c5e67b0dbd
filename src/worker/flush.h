// Brings one frozen segment (or only changes of the storage table) into the store.
#pragma once

#include <vector>

#include "buffer/segment.h"
#include "buffer/segment_index.h"
#include "pg/storage_directory.h"
#include "store/primary_store.h"
#include "worker/leaf_ingestion.h"
#include "worker/storage_meta.h"

namespace omendb {

// Store worker, main thread. Collect reads shared memory under StorageTableLock, Write does the
// work without any lock, Publish tells the storage table what is persisted now.
class SegmentFlush {
 public:
  // segment == nullptr: storages only. `sequence`: all segments up to it are in the store once this
  // flush is.
  SegmentFlush(const Segment* segment, uint64_t sequence);

  // The files of a new index go with it. Before Collect.
  void AddLeafFiles(LeafFilesToIngest files) { leaf_files_ = std::move(files); }

  // REQUIRES: StorageTableLock, shared. kNotFound if the storage of leaf files is gone.
  Status Collect();
  // WAL up to here must be on disk before Write.
  Lsn wal_needed() const { return wal_needed_; }
  bool empty() const { return blocks_.empty() && indexes_.empty() && storages_.empty(); }
  Status Write(PrimaryStore* store, const TransactionOracle& oracle);
  // REQUIRES: StorageTableLock, exclusive; Write was ok.
  void Publish();

  const std::vector<StorageId>& touched() const { return touched_; }
  const std::vector<StorageId>& dropped() const { return dropped_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t blocks() const { return blocks_.size() + leaves_; }  // of rows, and leaves of indexes

 private:
  struct Block {
    StorageId storage;
    BlockNo block;
    const Segment::BlockEntry* entry;
  };
  struct ChangedStorage {
    StorageMeta meta;
    uint64 changes;
  };
  struct Layout {
    StorageId storage;
    bool dropped;
    std::vector<Column> columns;
  };
  // Entries of an index in the segment.
  struct Index {
    StorageId storage;
    SegmentIndex entries;
    StorageEntry* entry;
    std::string prefix;  // of all its keys
  };
  static void VisitIndex(void* context, StorageId storage, const SegmentIndex& index);
  Status CollectIndexes();
  Status WriteIndexes(PrimaryStore* store, PrimaryStore::Flush* flush);
  Status WriteAll(PrimaryStore* store, const TransactionOracle& oracle);
  static void Visit(void* context, StorageId storage, BlockNo block,
                    const Segment::BlockEntry* entry);
  Status WriteBlocks(PrimaryStore::Flush* flush, const TransactionOracle& oracle);

  const Segment* segment_;
  uint64_t sequence_;
  Lsn wal_needed_ = 0;
  StorageId next_id_ = 0;
  uint64_t bytes_ = 0;
  std::vector<Block> blocks_;   // by storage, block
  std::vector<Index> indexes_;  // by storage, dropped ones left out
  uint64_t leaves_ = 0;
  LeafFilesToIngest leaf_files_;  // storage 0: none
  std::vector<Layout> layouts_;   // of the storages in blocks_, ascending
  std::vector<ChangedStorage> storages_;
  std::vector<StorageId> dropped_, touched_;
};

}  // namespace omendb
