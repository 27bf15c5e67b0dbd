// The store worker: owns the store, brings frozen segments into it, compacts, deletes files.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/primary_store.h"
#include "worker/compaction_oracle.h"
#include "worker/storage_meta.h"

namespace omendb {

// What RocksDB's threads and the folds reach back to. Any thread may call Log and IsDropped.
class StoreContext {
 public:
  void Log(LogLevel level, const std::string& text);
  bool IsDropped(StorageId storage) const;
  void NoteDropped(const std::vector<StorageId>& storages);
  void NoteLive(const std::vector<StorageId>& storages);
  std::deque<std::pair<LogLevel, std::string>> TakeLog();

  CompactionOracle oracle;

 private:
  mutable std::mutex mutex_;
  std::deque<std::pair<LogLevel, std::string>> log_;
  std::unordered_set<StorageId> dropped_;
};

// Opens the store under $PGDATA and reads what its meta family knows. Never ereports.
Status OpenStore(StoreContext* context, std::unique_ptr<PrimaryStore>* store,
                 std::vector<StorageMeta>* storages, StorageId* next_id);

// Fills the storage table. False: omendb.max_storages is too small.
bool LoadStorages(const std::vector<StorageMeta>& storages, StorageId next_id);

}  // namespace omendb
