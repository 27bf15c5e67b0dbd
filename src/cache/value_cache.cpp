#include "cache/value_cache.h"

#include <cstring>

namespace omendb {
namespace {

constexpr uint32_t kTakenInto = 4;  // one in so many is taken into a full set

// Both word by word, as others may write or read meanwhile.
void CopyOut(const std::atomic<uint64_t>* words, size_t size, char* to) {
  const size_t whole = size / 8;
  for (size_t i = 0; i < whole; i++) {
    const uint64_t word = words[i].load(std::memory_order_relaxed);
    std::memcpy(to + i * 8, &word, 8);
  }
  const uint64_t last = size % 8 == 0 ? 0 : words[whole].load(std::memory_order_relaxed);
  std::memcpy(to + whole * 8, &last, size % 8);
}

void CopyIn(Slice value, std::atomic<uint64_t>* words) {
  const size_t whole = value.size() / 8;
  uint64_t word;
  for (size_t i = 0; i < whole; i++) {
    std::memcpy(&word, value.data() + i * 8, 8);
    words[i].store(word, std::memory_order_relaxed);
  }
  if (value.size() % 8 == 0) return;
  word = 0;
  std::memcpy(&word, value.data() + whole * 8, value.size() % 8);
  words[whole].store(word, std::memory_order_relaxed);
}

}  // namespace

ValueCache ValueCache::Attach(void* memory, size_t size) {
  const size_t sets = size / (sizeof(Set) + kWays * sizeof(Place));
  auto* tags = static_cast<Set*>(memory);
  return ValueCache(tags, reinterpret_cast<Place*>(tags + sets), sets);
}

size_t ValueCache::SetOf(uint64_t hash) const {
  return static_cast<size_t>((static_cast<unsigned __int128>(hash) * sets_) >> 64);
}

bool ValueCache::Get(uint64_t hash, uint64_t version, std::string* value) const {
  if (sets_ == 0) return false;
  hash += hash == 0;
  const size_t number = SetOf(hash);
  for (size_t way = 0; way < kWays; way++) {
    if (tags_[number].tags[way].load(std::memory_order_relaxed) != hash) continue;
    Place& place = places_[number * kWays + way];
    const uint64_t sequence = place.sequence.load(std::memory_order_acquire);
    const uint64_t size = place.size.load(std::memory_order_relaxed);
    if (sequence % 2 != 0 || place.hash.load(std::memory_order_relaxed) != hash ||
        place.version.load(std::memory_order_relaxed) < version || size > kLargestValue) {
      continue;
    }
    value->resize(size);
    CopyOut(place.words, size, value->data());
    std::atomic_thread_fence(std::memory_order_acquire);
    if (place.sequence.load(std::memory_order_relaxed) != sequence) continue;
    // Not written where nothing changes: the cache line is shared by all who read it.
    if (!place.used.load(std::memory_order_relaxed)) {
      place.used.store(true, std::memory_order_relaxed);
    }
    return true;
  }
  return false;
}

// The place that the hash has, else a free one, else one that was not used of late; kWays: the value
// is not taken.
size_t ValueCache::Victim(const Set& set, Place* places, uint64_t hash) {
  size_t free = kWays;
  for (size_t way = 0; way < kWays; way++) {
    const uint64_t tag = set.tags[way].load(std::memory_order_relaxed);
    if (tag == hash) return way;
    if (tag == 0) free = way;
  }
  if (free < kWays) return free;
  static thread_local uint32_t offered = 0;
  if (offered++ % kTakenInto != 0) return kWays;
  // Begins somewhere else for each value, so that no place is favoured.
  const size_t first = hash % kWays;
  for (size_t i = 0; i < kWays; i++) {
    const size_t way = (first + i) % kWays;
    if (!places[way].used.load(std::memory_order_relaxed)) return way;
  }
  for (size_t way = 0; way < kWays; way++) places[way].used.store(false, std::memory_order_relaxed);
  return first;
}

void ValueCache::Put(uint64_t hash, uint64_t version, Slice value) const {
  if (sets_ == 0 || value.size() > kLargestValue) return;
  hash += hash == 0;
  const size_t number = SetOf(hash);
  Place* const places = places_ + number * kWays;
  const size_t way = Victim(tags_[number], places, hash);
  if (way == kWays) return;
  Place& place = places[way];
  uint64_t sequence = place.sequence.load(std::memory_order_relaxed);
  if (sequence % 2 != 0 ||
      !place.sequence.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
    return;
  }
  // A newer one may have come meanwhile.
  if (place.hash.load(std::memory_order_relaxed) != hash ||
      place.version.load(std::memory_order_relaxed) < version) {
    std::atomic_thread_fence(std::memory_order_release);
    tags_[number].tags[way].store(hash, std::memory_order_relaxed);
    place.hash.store(hash, std::memory_order_relaxed);
    place.version.store(version, std::memory_order_relaxed);
    place.size.store(value.size(), std::memory_order_relaxed);
    place.used.store(false, std::memory_order_relaxed);
    CopyIn(value, place.words);
  }
  place.sequence.store(sequence + 2, std::memory_order_release);
}

}  // namespace omendb
