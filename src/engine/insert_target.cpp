#include "engine/insert_target.h"

#include "pg/storage_table.h"

extern "C" {
#include "storage/ipc.h"
}

namespace omendb {
namespace {

struct Target {
  StorageId storage;
  BlockNo block;
  uint32_t next_slot;
  size_t raw_bytes;
  uint64_t last_use;
};

// A session that inserts into more relations than this at a time starts new blocks more often.
constexpr int kTargets = 64;
// A batch leaves a block that has fewer free slots than this: full images of full blocks are worth
// more than a few slot numbers.
constexpr uint32_t kBatchMinimum = 64;

Target g_targets[kTargets];
uint64_t g_clock = 0;

// Fewer free slots than this are not worth a place in the shared pool.
constexpr uint32_t kSpareMinimum = 16;

void GiveBack(const Target& target) {
  // A block whose first row is still to come must stay with whoever knows that it is new.
  if (target.storage == 0 || target.next_slot == 0) return;
  if (target.next_slot + kSpareMinimum > kSlotsPerBlock) return;
  if (target.raw_bytes >= kMaxRawBlockSize / 2) return;
  StorageGiveSparePlace(target.storage, target.block, target.next_slot);
}

void GiveBackAll(int, Datum) {
  LWLockReleaseAll();  // a FATAL may come with locks held
  for (Target& target : g_targets) {
    GiveBack(target);
    target.storage = 0;
  }
}

Target* TargetOf(StorageId storage) {
  Target* oldest = &g_targets[0];
  for (Target& target : g_targets) {
    if (target.storage == storage) return &target;
    if (target.last_use < oldest->last_use) oldest = &target;
  }
  GiveBack(*oldest);
  *oldest = Target{0, 0, 0, 0, 0};
  return oldest;
}

void RegisterOnce() {
  static bool registered = false;
  if (registered) return;
  before_shmem_exit(GiveBackAll, 0);
  registered = true;
}

}  // namespace

InsertPlace NextInsertPlace(Relation relation, StorageId storage, uint32_t want) {
  Target* target = TargetOf(storage);
  uint32_t free_slots = kSlotsPerBlock - target->next_slot;
  bool leave = target->storage != storage || free_slots == 0 ||
               target->raw_bytes >= kMaxRawBlockSize ||
               (want > free_slots && free_slots < kBatchMinimum && target->next_slot > 0);
  if (leave) {
    target->storage = 0;  // should the next call fail, nothing is half set
    RegisterOnce();
    BlockNo block;
    uint32_t next_slot = 0;
    // Batches want whole blocks; single rows are content with what others left.
    if (want >= kBatchMinimum || !StorageTakeSparePlace(storage, &block, &next_slot)) {
      block = StorageTakeBlock(relation, storage);
      next_slot = 0;
    }
    *target = Target{storage, block, next_slot, 0, 0};
    free_slots = kSlotsPerBlock - next_slot;
  }
  target->last_use = ++g_clock;
  return InsertPlace{target->block, target->next_slot, free_slots, target->next_slot == 0};
}

void TookInsertPlace(StorageId storage, const InsertPlace& place, uint32_t rows, size_t raw_bytes) {
  Target* target = TargetOf(storage);
  if (target->storage != storage || target->block != place.block) return;
  target->next_slot = place.first_slot + rows;
  target->raw_bytes += raw_bytes;
}

}  // namespace omendb
