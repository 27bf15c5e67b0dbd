#include <unistd.h>

#include <algorithm>

#include "pg/failure_point.h"
#include "pg/read_view.h"
#include "pg/shared_state.h"
#include "pg/store_failure.h"
#include "store/signal_mask.h"
#include "worker/store_marker.h"
#include "worker/store_worker.h"

extern "C" {
#include "catalog/pg_class.h"
}

namespace omendb {
namespace {

constexpr size_t kMostLogLines = 1000;
// The store has range tombstones for all that was dropped. Remembering it lets compactions below
// them drop the rows, too; forgetting costs disk space for a while.
constexpr size_t kMostDropped = 1 << 16;

bool SurvivedRestart(const StorageIdentity& identity) {
  switch (identity.persistence) {
    case RELPERSISTENCE_PERMANENT:
      return true;
    case RELPERSISTENCE_UNLOGGED:
      return !g_shared->drop_unlogged;
    default:
      return false;
  }
}

Status CheckNotLost() {
  if (!StoreMarkerExists()) return Status::Ok();
  if (access((std::string(StorePath()) + "/CURRENT").c_str(), F_OK) == 0) return Status::Ok();
  return Status::Make(
      StatusCode::kCorruption, "the omendb store is missing",
      std::string("There is no usable store in \"") + StorePath() + "\".",
      "Restore the data directory from a backup. To go on with empty omendb tables, "
      "remove global/omendb_store from the data directory.");
}

}  // namespace

void StoreContext::Log(LogLevel level, const std::string& text) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (log_.size() < kMostLogLines) log_.emplace_back(level, text);
}

std::deque<std::pair<LogLevel, std::string>> StoreContext::TakeLog() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(log_);
}

bool StoreContext::IsDropped(StorageId storage) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return dropped_.contains(storage);
}

void StoreContext::NoteDropped(const std::vector<StorageId>& storages) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (dropped_.size() > kMostDropped) dropped_.clear();
  dropped_.insert(storages.begin(), storages.end());
}

void StoreContext::NoteLive(const std::vector<StorageId>& storages) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (dropped_.empty()) return;
  for (StorageId storage : storages) dropped_.erase(storage);
}

Status OpenStore(StoreContext* context, std::unique_ptr<PrimaryStore>* store,
                 std::vector<StorageMeta>* storages, StorageId* next_id) {
  StoreOptions options;
  options.path = StorePath();
  options.oracle = &context->oracle;
  options.is_dropped = [context](StorageId storage) { return context->IsDropped(storage); };
  options.log = [context](LogLevel level, const std::string& text) { context->Log(level, text); };
  options.failure_point = FailurePoint;
  options.best_efforts_recovery = g_shared->from_backup;
  options.background_jobs = g_compaction_jobs;
  options.target_file_size = static_cast<uint64_t>(g_target_file_size_kb) << 10;

  SignalBlock block;
  if (options.best_efforts_recovery) {
    // The marker was copied at another moment than the store. But the backup's checkpoint, from
    // which recovery starts, brought everything older into the store.
    if (StoreMarkerExists()) options.least_lsn = g_shared->restored_redo;
  } else {
    OMENDB_RETURN_IF_ERROR(CheckNotLost());
    OMENDB_RETURN_IF_ERROR(ReadStoreMarker(&options.least_lsn, &options.least_generation));
    options.least_lsn = std::max(options.least_lsn, g_shared->durable_lsn.load());
    options.least_generation = std::max(options.least_generation, g_shared->generation.load());
  }
  OMENDB_RETURN_IF_ERROR(PrimaryStore::Open(options, store));
  OMENDB_RETURN_IF_ERROR(WriteStoreMarker((*store)->durable_lsn(), (*store)->generation()));
  *next_id = 1;
  return (*store)->LoadMeta([&](Slice key, Slice value) {
    StorageMeta meta;
    switch (DecodeMeta(key, value, &meta, next_id)) {
      case MetaKind::kStorage:
        storages->push_back(std::move(meta));
        return Status::Ok();
      case MetaKind::kNextStorageId:
        return Status::Ok();
      case MetaKind::kUnknown:
        return Status::Corruption("the store's list of storages has an unknown entry",
                                  "It may have been written by a newer version of omendb.");
      case MetaKind::kDamaged:
        break;
    }
    return Status::Corruption("the store's list of storages is damaged");
  });
}

bool LoadStorages(const std::vector<StorageMeta>& storages, StorageId next_id) {
  // A worker that was started anew finds the table newer than the store.
  if (g_shared->storages_loaded) return true;
  bool fits = true;
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  for (const StorageMeta& meta : storages) {
    fits = LoadStorage(meta.identity, meta.columns.data(), static_cast<uint32>(meta.columns.size()),
                       meta.blocks);
    if (!fits) break;
    if (!SurvivedRestart(meta.identity)) ApplyStorageDrop(FindStorage(meta.identity.id), 0, 0);
  }
  RaiseNextStorageId(next_id);
  LWLockRelease(StorageTableLock());
  if (fits) g_shared->storages_loaded = true;
  return fits;
}

// Reads work without workers: the storages are read once and the store is closed again, so that the
// session's own reader finds it at rest.
void OpenStoreInSingleUserMode() {
  static StoreContext context;
  Status status = [] {
    std::unique_ptr<PrimaryStore> store;
    std::vector<StorageMeta> storages;
    StorageId next_id;
    Status opened = OpenStore(&context, &store, &storages, &next_id);
    if (opened.ok() && !LoadStorages(storages, next_id)) {
      opened = Status::LimitExceeded("the store has more storages than omendb.max_storages");
    }
    if (opened.ok()) {
      g_shared->durable_lsn = store->durable_lsn();
      g_shared->generation = store->generation();
    }
    return opened;
  }();
  if (status.ok()) {
    g_shared->store_state = StoreState::kOpen;
  } else {
    PublishStoreFailure(status);
  }
}

}  // namespace omendb
