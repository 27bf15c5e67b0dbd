#include "worker/leaf_loader.h"

#include "block/index_leaf.h"
#include "pg/leaf_memory.h"
#include "pg/shared_state.h"
#include "pg/storage_directory.h"
#include "store/leaf_iterator.h"
#include "store/leaf_map.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

// About ten milliseconds.
constexpr int kLeavesAtOnce = 256;
constexpr int kAdmitAfterMs = 10000;

}  // namespace

void LeafLoader::AdmitRefused() {
  TimestampTz now = GetCurrentTimestamp();
  if (!room_ || !TimestampDifferenceExceeds(admitted_, now, kAdmitAfterMs)) return;
  room_ = false;
  admitted_ = now;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  for (uint32 i = 0; i < StorageEntryLimit(); i++) {
    LeafMapState refused = LeafMapState::kRefused;
    // The next reader that misses a leaf has it loaded.
    StorageEntryAt(i)->leaves.state.compare_exchange_strong(refused, LeafMapState::kPartial);
  }
  LWLockRelease(StorageTableLock());
}

bool LeafLoader::PickIndex() {
  if (!g_shared->leaf_maps_wanted.exchange(false)) return false;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  for (uint32 i = 0; i < StorageEntryLimit(); i++) {
    StorageEntry* entry = StorageEntryAt(i);
    if (entry->state != StorageEntry::kLive || entry->leaves.state != LeafMapState::kWanted) {
      continue;
    }
    if (entry_ != nullptr) {
      g_shared->leaf_maps_wanted = true;  // the next one
      break;
    }
    entry_ = entry;
    storage_ = entry->identity.id;
  }
  LWLockRelease(StorageTableLock());
  if (entry_ == nullptr) return false;
  entry_->leaves.state = LeafMapState::kLoading;
  low_.clear();
  return true;
}

Status LeafLoader::Load(PrimaryStore* store, bool* finished) {
  *finished = false;
  LeafMap leaves(SharedLeafDirectory(), &entry_->leaves);
  std::unique_ptr<LeafIterator> at;
  OMENDB_RETURN_IF_ERROR(store->NewLeafIterator(storage_, &at));
  LeafView view;
  std::string value;
  at->SeekLow(low_);
  for (int i = 0; at->Valid(); i++) {
    if (i == kLeavesAtOnce) {
      low_ = at->low();
      return Status::Ok();
    }
    std::string low(at->low());
    value.assign(at->value());
    at->Next();
    // After an error it is not the last leaf.
    OMENDB_RETURN_IF_ERROR(at->status());
    Slice next = at->Valid() ? at->low() : Slice();
    if (leaves.Knows(low)) continue;
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(value, true, &view));
    leaves.Learn(low, at->Valid() ? &next : nullptr, &view);
    if (entry_->leaves.state != LeafMapState::kLoading) break;  // it has no room
  }
  *finished = true;
  return at->status();
}

Status LeafLoader::Step(PrimaryStore* store, bool* more) {
  *more = false;
  AdmitRefused();
  // A flush may have dropped the storage, or forgotten its map.
  if (entry_ != nullptr &&
      (entry_->state != StorageEntry::kLive || entry_->identity.id != storage_ ||
       entry_->leaves.state != LeafMapState::kLoading)) {
    entry_ = nullptr;
  }
  if (entry_ == nullptr && !PickIndex()) return Status::Ok();
  bool finished;
  Status status = Load(store, &finished);
  if (finished || !status.ok()) {
    LeafMapState loading = LeafMapState::kLoading;
    // A damaged leaf is found by whoever reads it: the others are known.
    entry_->leaves.state.compare_exchange_strong(loading, LeafMapState::kComplete);
    entry_ = nullptr;
  }
  *more = entry_ != nullptr || g_shared->leaf_maps_wanted;
  return status;
}

}  // namespace omendb
