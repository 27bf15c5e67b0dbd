#include "cache/value_cache.h"

#include <algorithm>
#include <cstring>

namespace omendb {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr uint32_t kTakenInto = 4;  // one in so many is taken into a full set
constexpr uint64_t kFull = uint64_t{1} << 32;
// Words that are asked for before they are copied. Values of a few thousand bytes end before the
// processor has noticed that they are read in order.
constexpr size_t kAhead = 128;

uint16_t MarkOf(uint64_t hash) {
  const auto mark = static_cast<uint16_t>(hash);
  return mark == 0 ? uint16_t{1} : mark;
}

// Where a value lies.
struct Place {
  size_t first, size;
  static Place Of(uint64_t word) { return {word >> 32, word & UINT32_MAX}; }
  uint64_t word() const { return uint64_t{first} << 32 | size; }
  size_t end(size_t chunk) const { return first + std::max<size_t>(1, (size + chunk - 1) / chunk); }
};

// Both word by word, as others may write or read meanwhile.
void CopyOut(const std::atomic<uint64_t>* words, size_t size, char* to) {
  const size_t whole = size / 8;
  for (size_t i = 0; i < whole; i++) {
    if (i % 8 == 0 && i + kAhead < whole) __builtin_prefetch(&words[i + kAhead]);
    const uint64_t word = words[i].load(kRelaxed);
    std::memcpy(to + i * 8, &word, 8);
  }
  if (size % 8 == 0) return;
  const uint64_t last = words[whole].load(kRelaxed);
  std::memcpy(to + whole * 8, &last, size % 8);
}

void CopyIn(Slice value, std::atomic<uint64_t>* words) {
  const size_t whole = value.size() / 8;
  uint64_t word;
  for (size_t i = 0; i < whole; i++) {
    std::memcpy(&word, value.data() + i * 8, 8);
    words[i].store(word, kRelaxed);
  }
  if (value.size() % 8 == 0) return;
  word = 0;
  std::memcpy(&word, value.data() + whole * 8, value.size() % 8);
  words[whole].store(word, kRelaxed);
}

}  // namespace

ValueCache ValueCache::Attach(void* memory, size_t size) {
  return ValueCache(static_cast<Set*>(memory), size / sizeof(Set));
}

ValueCache::Set* ValueCache::SetOf(uint64_t hash) const {
  return sets_ + static_cast<size_t>((static_cast<unsigned __int128>(hash) * count_) >> 64);
}

// kSlots: it is not there.
size_t ValueCache::SlotOf(const Set& set, uint64_t hash) {
  const uint16_t mark = MarkOf(hash);
  for (size_t slot = 0; slot < kSlots; slot++) {
    if (set.marks[slot].load(kRelaxed) == mark && set.slots[slot].hash.load(kRelaxed) == hash) {
      return slot;
    }
  }
  return kSlots;
}

bool ValueCache::Find(uint64_t hash, uint64_t version, Found* found) const {
  if (count_ == 0) return false;
  Set* const set = SetOf(hash);
  const uint64_t sequence = set->sequence.load(std::memory_order_acquire);
  if (sequence % 2 != 0) return false;
  const size_t slot = SlotOf(*set, hash);
  if (slot == kSlots || set->slots[slot].version.load(kRelaxed) < version) return false;
  const Place place = Place::Of(set->slots[slot].place.load(kRelaxed));
  // Of a slot that is being written these may be of two values.
  if (place.size > kLargestValue || place.end(kChunk) > kChunks) return false;
  // Not written where nothing changes: the cache line is shared by all who read it.
  if (set->used[slot].load(kRelaxed) == 0) set->used[slot].store(1, kRelaxed);
  found->set_ = set;
  found->sequence_ = sequence;
  found->first_ = place.first;
  found->size_ = place.size;
  return true;
}

bool ValueCache::Copy(const Found& found, size_t at, size_t size, char* to) {
  if (at > found.size_ || size > found.size_ - at) return false;
  const Set* const set = static_cast<const Set*>(found.set_);
  CopyOut(set->words + found.first_ * (kChunk / 8) + at / 8, size, to);
  std::atomic_thread_fence(std::memory_order_acquire);
  return set->sequence.load(kRelaxed) == found.sequence_;
}

bool ValueCache::CopyWhole(const Found& found, std::string* value) {
  value->resize(found.size());
  return Copy(found, 0, found.size(), value->data());
}

// So many chunks at the hand, which goes past what was used since it came by; the first one.
size_t ValueCache::MakeRoom(Set* set, size_t chunks) {
  uint64_t full = set->hand.load(kRelaxed) & kFull;
  size_t first = set->hand.load(kRelaxed) & UINT32_MAX;
  const auto lies_in = [&](size_t slot) {
    if (set->marks[slot].load(kRelaxed) == 0) return false;
    const Place place = Place::Of(set->slots[slot].place.load(kRelaxed));
    return place.first < first + chunks && place.end(kChunk) > first;
  };
  // Readers may use values again while the hand goes round: not for ever.
  for (size_t skipped = 0; skipped <= kSlots;) {
    if (first + chunks > kChunks) {
      first = 0;
      full = kFull;
    }
    size_t behind = first;
    for (size_t slot = 0; slot < kSlots; slot++) {
      if (!lies_in(slot) || set->used[slot].load(kRelaxed) == 0) continue;
      set->used[slot].store(0, kRelaxed);
      behind = std::max(behind, Place::Of(set->slots[slot].place.load(kRelaxed)).end(kChunk));
      skipped++;
    }
    if (behind == first) break;
    first = behind;
  }
  if (first + chunks > kChunks) first = 0;
  for (size_t slot = 0; slot < kSlots; slot++) {
    if (lies_in(slot)) set->marks[slot].store(0, kRelaxed);
  }
  set->hand.store(full | (first + chunks), kRelaxed);
  return first;
}

// A free slot, or else that of the next value behind the chunk.
size_t ValueCache::TakeSlot(Set* set, size_t behind) {
  size_t next = 0, distance = kChunks;
  for (size_t slot = 0; slot < kSlots; slot++) {
    if (set->marks[slot].load(kRelaxed) == 0) return slot;
    const size_t at = Place::Of(set->slots[slot].place.load(kRelaxed)).first;
    const size_t away = (at + kChunks - behind) % kChunks;
    if (away >= distance) continue;
    next = slot;
    distance = away;
  }
  set->hand.store(set->hand.load(kRelaxed) | kFull, kRelaxed);
  return next;
}

void ValueCache::Keep(Set* set, uint64_t hash, uint64_t version, Slice value) {
  if (const size_t slot = SlotOf(*set, hash); slot < kSlots) {
    // A newer one may have come meanwhile.
    if (set->slots[slot].version.load(kRelaxed) >= version) return;
    set->marks[slot].store(0, kRelaxed);
  }
  Place place{0, value.size()};
  const size_t chunks = place.end(kChunk);
  place.first = MakeRoom(set, chunks);
  const size_t slot = TakeSlot(set, place.first + chunks);
  set->slots[slot].hash.store(hash, kRelaxed);
  set->slots[slot].version.store(version, kRelaxed);
  set->slots[slot].place.store(place.word(), kRelaxed);
  set->used[slot].store(0, kRelaxed);
  set->marks[slot].store(MarkOf(hash), kRelaxed);
  CopyIn(value, set->words + place.first * (kChunk / 8));
}

void ValueCache::Put(uint64_t hash, uint64_t version, Slice value) const {
  if (count_ == 0 || value.size() > kLargestValue) return;
  Set* const set = SetOf(hash);
  if ((set->hand.load(kRelaxed) & kFull) != 0 && SlotOf(*set, hash) == kSlots) {
    static thread_local uint32_t offered = 0;
    if (offered++ % kTakenInto != 0) return;
  }
  uint64_t sequence = set->sequence.load(kRelaxed);
  if (sequence % 2 != 0 || !set->sequence.compare_exchange_strong(
                               sequence, sequence + 1, std::memory_order_acquire, kRelaxed)) {
    return;
  }
  std::atomic_thread_fence(std::memory_order_release);
  Keep(set, hash, version, value);
  set->sequence.store(sequence + 2, std::memory_order_release);
}

}  // namespace omendb
