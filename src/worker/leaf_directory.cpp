#include "worker/leaf_directory.h"

namespace omendb {

LeafPlace* LeafDirectory::Find(StorageId storage, Slice position) {
  auto index = indexes_.find(storage);
  if (index == indexes_.end()) return nullptr;
  auto behind = index->second.upper_bound(position);
  if (behind == index->second.begin()) return nullptr;
  LeafPlace* place = &std::prev(behind)->second;
  return place->high.empty() || position < place->high ? place : nullptr;
}

void LeafDirectory::Add(StorageId storage, const LeafPlace& place) {
  if (indexes_[storage].insert_or_assign(place.low, place).second) size_++;
}

void LeafDirectory::Remove(StorageId storage, Slice low) {
  auto index = indexes_.find(storage);
  if (index == indexes_.end()) return;
  auto leaf = index->second.find(low);
  if (leaf == index->second.end()) return;
  index->second.erase(leaf);
  size_--;
}

void LeafDirectory::Forget(StorageId storage) {
  auto index = indexes_.find(storage);
  if (index == indexes_.end()) return;
  size_ -= index->second.size();
  indexes_.erase(index);
}

void LeafDirectory::Clear() {
  indexes_.clear();
  size_ = 0;
}

}  // namespace omendb
