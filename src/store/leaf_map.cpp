#include "store/leaf_map.h"

#include "block/leaf_fold.h"
#include "base/pure.h"

namespace omendb {
namespace {

// A new filter has room for so many more.
constexpr uint32_t kKeysToCome = 32;

}  // namespace

bool LeafMap::WantsNewFilter(const LeafInfo& info, uint64_t changes, bool soon) {
  return LeafDirectory::FilterIsFull(info, info.count + changes + (soon ? kKeysToCome : 0));
}

void LeafMap::NoteFlush() {
  LeafMapState empty = LeafMapState::kEmpty;
  slot_->state.compare_exchange_strong(empty, LeafMapState::kPartial);
}

bool LeafMap::Find(Slice position, LeafPlace* place) const {
  uint32_t map = slot_->map;
  return map != 0 && directory_.Find(map, position, &place->low, &place->high, &place->info);
}

bool LeafMap::Knows(Slice low) const {
  LeafInfo info;
  uint32_t map = slot_->map;
  return map != 0 && directory_.Get(map, low, &info) && (info.flags & kNextKnown) != 0;
}

bool LeafMap::EnsureMap() {
  if (slot_->map != 0) return true;
  if (slot_->state == LeafMapState::kRefused) return false;
  // All rows of one index begin alike, at least with what says whether the first column is null.
  Slice prefix(slot_->prefix, slot_->prefix_size);
  uint32_t map = directory_.Create(prefix);
  if (map == 0) {
    Refuse();
    return false;
  }
  slot_->map.store(map, std::memory_order_release);
  return true;
}

void LeafMap::Forget() {
  uint32_t map = slot_->map.exchange(0);
  if (map != 0) directory_.Drop(map);
  slot_->state = LeafMapState::kPartial;
}

// Another index may do with the room that a part of this one took in vain.
void LeafMap::Refuse() {
  Forget();
  slot_->state = LeafMapState::kRefused;
}

void LeafMap::Put(Slice low, const LeafInfo& info) {
  LeafInfo before;
  directory_.Get(slot_->map, low, &before);
  if (!directory_.Put(slot_->map, low, info)) {
    directory_.FreeFilter(info);
    return Refuse();
  }
  directory_.FreeFilter(before);
}

void LeafMap::FillFilter(const EntryList& entries, size_t first, size_t end, LeafInfo* info) const {
  directory_.NewFilter(static_cast<uint32_t>(end - first) + kKeysToCome, info);
  if (!info->has_filter()) return;
  for (size_t i = first; i < end; i++) directory_.AddToFilter(*info, HashKey(entries.key(i)));
}

void LeafMap::Learn(Slice low, const Slice* next_low, LeafView* view) {
  if (!EnsureMap()) return;
  uint32_t map = slot_->map;
  LeafInfo next;
  // Where it begins is all that is known of the next one.
  if (next_low != nullptr && !directory_.Get(map, *next_low, &next)) Put(*next_low, LeafInfo{});
  if (slot_->map == 0) return;
  LeafInfo info;
  info.changed = view->lsn();
  info.count = view->base_count() + static_cast<uint32_t>(view->delta_count());
  info.deltas = static_cast<uint8_t>(view->deltas());
  info.flags = kNextKnown;
  EntryList entries;
  if (FoldLeaf(view, &entries).ok()) FillFilter(entries, 0, entries.size(), &info);
  Put(low, info);
}

void LeafMap::NoteWritten(Slice low, uint64_t generation, const EntryList& entries, size_t first,
                          size_t end) {
  if (!EnsureMap()) return;
  LeafInfo info;
  info.changed = generation;
  info.count = static_cast<uint32_t>(end - first);
  info.flags = kNextKnown;
  FillFilter(entries, first, end, &info);
  Put(low, info);
}

void LeafMap::PrepareMerge(const LeafPlace& place, uint64_t hash) const {
  directory_.PrepareAddToFilter(place.info, hash);
}

void LeafMap::NoteMerged(const LeafPlace& place, uint64_t generation, uint64_t changes,
                         const std::vector<uint64_t>& added) {
  LeafInfo info;
  uint32_t map = slot_->map;
  const uint32_t count = place.info.count + static_cast<uint32_t>(changes);
  if (map == 0 || !directory_.Update(map, place.low, generation, count,
                                     static_cast<uint8_t>(place.info.deltas + 1), &info)) {
    return;
  }
  for (uint64_t hash : added) directory_.AddToFilter(info, hash);
}

void LeafMap::NoteDeleted(Slice low) {
  if (uint32_t map = slot_->map; map != 0) directory_.Remove(map, low);
}

}  // namespace omendb
