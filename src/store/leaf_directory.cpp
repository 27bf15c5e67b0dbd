// Keys of a map: 0 for the first leaf, whose low position is empty; 1 and the low position for all
// others. So they are prefix-free, as AlexMap wants them.
//
// Their payloads:
//   padding to a multiple of 8 behind the key, as records of a map begin at such a place
//   uint64    generation that changed the leaf last << 28 | entries << 12 | operands << 4 |
//             pairs << 1 | whether the next leaf is known
//   uint64    StorePlace of the base; changes where it stands
//   uint32[6] pairs of lines; all records are equally large, so that one that goes makes room for
//             any other
// The first word changes where it stands.
//
// A filter is a blocked Bloom filter (Putze, Sanders, Singler, JEA 2009): the key's hash chooses
// one line of 64 bytes and five bits in it. Each two lines are a block of the arena by themselves:
// leaves grow and split all at about the same time, and blocks of one size can be used again by
// all.
#include "store/leaf_directory.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/index_position.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kLine = 64, kPair = 2 * kLine;
// Seven and a half bits for each key: with the records of the leaves less than 1.1 bytes of memory
// an entry. One key in thirty that is not there seems to be.
constexpr uint32_t kKeysPerPair = 136;
// One in eighteen.
constexpr uint32_t kMostKeysPerPair = 162;
constexpr size_t kForMaps = 16;  // filters leave a part of the memory to them
constexpr int kProbes = 5;
constexpr AlexOptions kOptions = {
    .leaf_cap = 16 << 10, .node_cap = 256 << 10, .plain_cap = 4 << 10};

constexpr TidNumber kLastTid = (TidNumber{1} << 48) - 1;

// Made where it stands, if it is not large.
class MapKey {
 public:
  explicit MapKey(Slice low) {
    if (low.empty()) {
      Make(1)[0] = '\0';
    } else {
      std::copy(low.begin(), low.end(), MakeFor(low.size()));
    }
  }
  MapKey(Slice key, TidNumber tid) {
    char* to = MakeFor(key.size() + kTidSize);
    StoreTid(std::copy(key.begin(), key.end(), to), tid);
  }
  MapKey(const MapKey&) = delete;
  MapKey& operator=(const MapKey&) = delete;
  operator Slice() const { return Slice(data_, size_); }  // NOLINT: it is one

 private:
  char* Make(size_t size) {
    size_ = size;
    if (size > sizeof(room_)) {
      large_.resize(size);
      data_ = large_.data();
    }
    return data_;
  }
  char* MakeFor(size_t size) {
    char* to = Make(1 + size);
    *to = '\1';
    return to + 1;
  }

  char room_[128];
  std::string large_;
  char* data_ = room_;
  size_t size_ = 0;
};

Slice LowOf(Slice key) { return key.substr(1); }

struct StoredInfo {
  uint64_t word, place;
  uint32_t pair[LeafInfo::kMostPairs];

  static size_t Padding(Slice key) { return (8 - key.size() % 8) % 8; }
  static constexpr size_t kSize = 16 + sizeof(uint32_t) * LeafInfo::kMostPairs;
  static uint64_t Word(const LeafInfo& info) {
    const uint64_t count = std::min(info.count, LeafInfo::kMostCount);
    return info.changed << 28 | count << 12 | uint64_t{info.deltas} << 4 |
           uint64_t{info.pairs} << 1 | (info.flags & kNextKnown);
  }
};

// That of an item that Find or an iterator gave. It is const but for the word and the place.
StoredInfo* StoredOf(const AlexItem& item) {
  const char* stored = item.payload.data() + StoredInfo::Padding(item.key);
  return reinterpret_cast<StoredInfo*>(const_cast<char*>(stored));
}

LeafInfo InfoOf(const AlexItem& item) {
  StoredInfo* const stored = StoredOf(item);
  const uint64_t word = std::atomic_ref(stored->word).load(std::memory_order_relaxed);
  LeafInfo info;
  info.changed = word >> 28;
  info.count = static_cast<uint32_t>(word >> 12 & LeafInfo::kMostCount);
  info.deltas = static_cast<uint8_t>(word >> 4);
  info.pairs = static_cast<uint8_t>(word >> 1 & 7);
  info.flags = static_cast<uint8_t>(word & kNextKnown);
  info.place = StorePlace(std::atomic_ref(stored->place).load(std::memory_order_relaxed));
  std::copy_n(stored->pair, info.pairs, info.pair);
  return info;
}

// Where a key's bits are in its line: calls with each word and bit.
template <typename Visit>
void ForBits(uint64_t hash, const Visit& visit) {
  uint64_t bits = hash * 0x9E3779B97F4A7C15ull;
  for (int i = 0; i < kProbes; i++, bits >>= 9) {
    const uint32_t bit = bits & 511;
    if (!visit(bit / 64, uint64_t{1} << bit % 64)) return;
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
  const MapKey key(position);
  // An empty position stands before all but the first leaf, whose key it has.
  if (high == nullptr) {
    AlexItem item;
    if (!leaves.FindBefore(key, 1, &item)) return false;
    *info = InfoOf(item);
    if ((info->flags & kNextKnown) == 0) return false;
    low->assign(LowOf(item.key));
    return true;
  }
  Map::Iterator at(leaves);
  at.SeekBefore(key, 1);
  if (!at.Valid()) return false;
  *info = InfoOf(at.item());
  if ((info->flags & kNextKnown) == 0) return false;
  low->assign(LowOf(at.item().key));
  at.Next();
  if (at.Valid()) {
    high->assign(LowOf(at.item().key));
  } else {
    high->clear();
  }
  return true;
}

bool LeafDirectory::Put(uint32_t map, Slice low, const LeafInfo& info) const {
  StoredInfo stored{StoredInfo::Word(info), info.place.word(), {}};
  std::copy_n(info.pair, info.pairs, stored.pair);
  const MapKey key(low);
  char payload[7 + sizeof(stored)] = {};
  const size_t padding = StoredInfo::Padding(key);
  std::memcpy(payload + padding, &stored, sizeof(stored));
  const Slice bytes(payload, padding + StoredInfo::kSize);
  return Map(arena_, map).Put(key, 0, 0, bytes) != AlexPut::kNoRoom;
}

bool LeafDirectory::Update(uint32_t map, Slice low, uint64_t changed, uint32_t count,
                           uint8_t deltas, LeafInfo* info) const {
  AlexItem item;
  if (!Map(arena_, map).Find(MapKey(low), 0, &item)) return false;
  *info = InfoOf(item);
  info->changed = changed;
  info->count = count;
  info->deltas = deltas;
  std::atomic_ref(StoredOf(item)->word).store(StoredInfo::Word(*info), std::memory_order_relaxed);
  return true;
}

void LeafDirectory::NotePlace(uint32_t map, Slice low, StorePlace place) const {
  AlexItem item;
  if (!Map(arena_, map).Find(MapKey(low), 0, &item)) return;
  const std::atomic_ref<uint64_t> stored(StoredOf(item)->place);
  const StorePlace before(stored.load(std::memory_order_relaxed));
  if (before.file() < place.file()) stored.store(place.word(), std::memory_order_relaxed);
}

void LeafDirectory::ForgetPlace(uint32_t map, Slice low, StorePlace place) const {
  AlexItem item;
  if (!Map(arena_, map).Find(MapKey(low), 0, &item)) return;
  uint64_t word = place.word();
  std::atomic_ref(StoredOf(item)->place)
      .compare_exchange_strong(word, 0, std::memory_order_relaxed);
}

bool LeafDirectory::Get(uint32_t map, Slice low, LeafInfo* info) const {
  AlexItem item;
  if (!Map(arena_, map).Find(MapKey(low), 0, &item)) return false;
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
  const uint32_t want =
      std::clamp((keys + kKeysPerPair / 2) / kKeysPerPair, 1u, LeafInfo::kMostPairs);
  info->pairs = 0;
  for (uint32_t i = 0; i < want; i++) {
    info->pair[i] = arena_.Allocate(kPair, arena_.capacity() / kForMaps);
    if (info->pair[i] == 0) {
      FreeFilter(*info);
      info->pairs = 0;
      return;
    }
    std::memset(arena_.base() + size_t{info->pair[i]} * 8, 0, kPair);
    info->pairs++;
  }
}

void LeafDirectory::FreeFilter(const LeafInfo& info) const {
  for (uint32_t i = 0; i < info.pairs; i++) arena_.Retire(info.pair[i], kPair);
}

bool LeafDirectory::FilterIsFull(const LeafInfo& info, uint64_t keys) {
  return info.has_filter() && info.pairs < LeafInfo::kMostPairs &&
         keys > uint64_t{info.pairs} * kMostKeysPerPair;
}

void LeafDirectory::AddToFilter(const LeafInfo& info, uint64_t hash) const {
  if (!info.has_filter()) return;
  uint64_t* words = LineOf(info, hash);
  ForBits(hash, [words](uint32_t word, uint64_t bit) {
    // Nobody else writes.
    std::atomic_ref<uint64_t> to(words[word]);
    to.store(to.load(std::memory_order_relaxed) | bit, std::memory_order_relaxed);
    return true;
  });
}

void LeafDirectory::PrepareAddToFilter(const LeafInfo& info, uint64_t hash) const {
  if (info.has_filter()) __builtin_prefetch(LineOf(info, hash), 1);
}

bool LeafDirectory::KeyProbe::MayHave() const {
  if (line == nullptr) return true;
  bool may = true;
  ForBits(hash, [&](uint32_t word, uint64_t bit) {
    may = (std::atomic_ref<uint64_t>(line[word]).load(std::memory_order_relaxed) & bit) != 0;
    return may;
  });
  return may;
}

bool LeafDirectory::MayHave(const LeafInfo& info, uint64_t hash) const {
  return KeyProbe{info.has_filter() ? LineOf(info, hash) : nullptr, hash}.MayHave();
}

LeafDirectory::KeyProbe LeafDirectory::ProbeKey(uint32_t map, Slice key,
                                                std::span<alex::Approach> approaches) const {
  // The last leaf that may have entries of the key has them all if it does not begin among them.
  const Map leaves(arena_, map);
  const MapKey last(key, kLastTid);
  approaches.back() = leaves.ApproachTo(last, 1);
  alex::ApproachAll(approaches);
  AlexItem item;
  if (!leaves.FindBefore(last, 1, &item)) return {};
  const LeafInfo info = InfoOf(item);
  if ((info.flags & kNextKnown) == 0 || ComparePosition(key, 0, LowOf(item.key)) < 0 ||
      !info.has_filter()) {
    return {};
  }
  const uint64_t hash = HashKey(key);
  const KeyProbe probe{LineOf(info, hash), hash};
  __builtin_prefetch(probe.line);
  return probe;
}

uint64_t* LeafDirectory::LineOf(const LeafInfo& info, uint64_t hash) const {
  const uint64_t line = (hash >> 32) * (info.pairs * 2) >> 32;
  return reinterpret_cast<uint64_t*>(arena_.base() + size_t{info.pair[line / 2]} * 8 +
                                     line % 2 * kLine);
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
    stats.filters += info.has_filter();
    stats.filter_bytes += info.pairs * kPair;
    stats.entries += info.count;
    stats.deltas += info.deltas;
    if (info.deltas > stats.most_deltas) stats.most_deltas = info.deltas;
  }
  return stats;
}

}  // namespace omendb
