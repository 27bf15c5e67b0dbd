// Keys of a map: 0 for the first leaf, whose low position is empty; 1 and the low position for all
// others. So they are prefix-free, as AlexMap wants them.
//
// A filter is a blocked Bloom filter (Putze, Sanders, Singler, JEA 2009): the key's hash chooses
// one line of 64 bytes and five bits in it.
#include "store/leaf_directory.h"

#include <atomic>
#include <cstring>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kLine = 64;
// Nearly seven bits for each key: with the records of the leaves 1.1 bytes of memory an entry. One key
// in twenty that is not there seems to be.
constexpr uint32_t kKeysPerLine = 76;
constexpr int kProbes = 5;
constexpr AlexOptions kOptions = {
    .leaf_cap = 16 << 10, .node_cap = 256 << 10, .plain_cap = 4 << 10};

std::string MapKey(Slice low) {
  if (low.empty()) return std::string(1, '\0');
  std::string key(1, '\1');
  key.append(low);
  return key;
}

Slice LowOf(Slice key) { return key.substr(1); }

LeafInfo InfoOf(const AlexItem& item) {
  LeafInfo info;
  std::memcpy(&info, item.payload.data(), sizeof(info));
  return info;
}

// Where a key's bits are: calls with each word and bit.
template <typename Visit>
void ForBits(uint64_t hash, uint32_t lines, const Visit& visit) {
  size_t line = (hash >> 32) * lines >> 32;
  uint64_t bits = hash * 0x9E3779B97F4A7C15ull;
  for (int i = 0; i < kProbes; i++, bits >>= 9) {
    uint32_t bit = bits & 511;
    if (!visit(line * 8 + bit / 64, uint64_t{1} << bit % 64)) return;
  }
}

}  // namespace

uint64_t HashKey(Slice key) {
  uint64_t hash = key.size() * 0x9E3779B97F4A7C15ull;
  size_t i = 0;
  auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdull;
    hash ^= hash >> 32;
  };
  for (; i + 8 <= key.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, key.data() + i, 8);
    mix(word);
  }
  uint64_t rest = 0;
  if (i < key.size()) std::memcpy(&rest, key.data() + i, key.size() - i);
  mix(rest);
  return hash * 0xc4ceb9fe1a85ec53ull ^ hash >> 29;
}

uint32_t LeafDirectory::Create(Slice prefix) const {
  std::string key(1, '\1');
  key.append(prefix);
  return Map::Create(arena_, key, kOptions);
}

void LeafDirectory::Drop(uint32_t map) const {
  Map leaves(arena_, map);
  Map::Iterator at(leaves);
  for (at.SeekToFirst(); at.Valid(); at.Next()) FreeFilter(InfoOf(at.item()));
  leaves.Destroy();
}

bool LeafDirectory::Find(uint32_t map, Slice position, std::string* low, std::string* high,
                         LeafInfo* info) const {
  Map leaves(arena_, map);
  Map::Iterator at(leaves);
  at.SeekBefore(MapKey(position), 1);
  // An empty position stands before all but the first leaf, whose key it has.
  if (!at.Valid()) return false;
  *info = InfoOf(at.item());
  if ((info->flags & kNextKnown) == 0) return false;
  low->assign(LowOf(at.item().key));
  if (high == nullptr) return true;
  at.Next();
  if (at.Valid()) {
    high->assign(LowOf(at.item().key));
  } else {
    high->clear();
  }
  return true;
}

bool LeafDirectory::Put(uint32_t map, Slice low, const LeafInfo& info) const {
  return Map(arena_, map)
             .Put(MapKey(low), 0, 0, Slice(reinterpret_cast<const char*>(&info), sizeof(info))) !=
         AlexPut::kNoRoom;
}

bool LeafDirectory::Get(uint32_t map, Slice low, LeafInfo* info) const {
  AlexItem item;
  std::string key = MapKey(low);
  if (!Map(arena_, map).Find(key, 0, &item)) return false;
  *info = InfoOf(item);
  return true;
}

void LeafDirectory::Remove(uint32_t map, Slice low) const {
  LeafInfo info;
  if (!Get(map, low, &info)) return;
  Map(arena_, map).Remove(MapKey(low), 0);
  FreeFilter(info);
}

void LeafDirectory::NewFilter(uint32_t keys, LeafInfo* info) const {
  uint32_t lines = (keys + kKeysPerLine / 2) / kKeysPerLine;
  lines = lines == 0 ? 1 : lines > 1024 ? 1024 : lines;
  info->filter = arena_.Allocate(lines * kLine);
  info->filter_lines = info->filter == 0 ? uint16_t{0} : static_cast<uint16_t>(lines);
  if (info->filter == 0) return;
  std::memset(arena_.base() + size_t{info->filter} * 8, 0, lines * kLine);
}

void LeafDirectory::FreeFilter(const LeafInfo& info) const {
  if (info.filter != 0) arena_.Retire(info.filter, info.filter_lines * kLine);
}

void LeafDirectory::AddToFilter(const LeafInfo& info, uint64_t hash) const {
  if (info.filter == 0) return;
  auto* words = reinterpret_cast<uint64_t*>(arena_.base() + size_t{info.filter} * 8);
  ForBits(hash, info.filter_lines, [&](size_t word, uint64_t bit) {
    std::atomic_ref<uint64_t>(words[word]).fetch_or(bit, std::memory_order_relaxed);
    return true;
  });
}

bool LeafDirectory::MayHave(const LeafInfo& info, uint64_t hash) const {
  if (info.filter == 0) return true;
  auto* words = reinterpret_cast<uint64_t*>(arena_.base() + size_t{info.filter} * 8);
  bool may = true;
  ForBits(hash, info.filter_lines, [&](size_t word, uint64_t bit) {
    may = (std::atomic_ref<uint64_t>(words[word]).load(std::memory_order_relaxed) & bit) != 0;
    return may;
  });
  return may;
}

LeafDirectory::Stats LeafDirectory::StatsOf(uint32_t map) const {
  Stats stats;
  Map leaves(arena_, map);
  stats.models = leaves.Stats();
  Map::Iterator at(leaves);
  for (at.SeekToFirst(); at.Valid(); at.Next()) {
    LeafInfo info = InfoOf(at.item());
    stats.leaves++;
    stats.known += info.flags & kNextKnown;
    stats.filters += info.filter != 0;
    stats.filter_bytes += info.filter_lines * kLine;
    stats.entries += info.count;
    stats.deltas += info.deltas;
    if (info.deltas > stats.most_deltas) stats.most_deltas = info.deltas;
  }
  return stats;
}

}  // namespace omendb
