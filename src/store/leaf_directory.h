// Where the leaves of indexes begin, in memory that all processes share: the upper part of a
// learned index. ALEX model nodes lead from a position to the leaf that covers it, and a filter of
// the leaf's keys says of most keys that are not in it that they are not.
//
// It is filled and kept up by the store worker, from the leaves that it meets, and lost with the
// server. Only a help: what is not known is looked for in the store, and whoever gets a leaf from
// here sees by the leaf's own bounds whether it is the right one.
//
// Writer: the store worker alone, but for places. Readers: any process, without locks, inside an
// AlexEpoch of the arena.
//
// Invariants
//   1. Between an entry with kNextKnown and the next one of the map no other leaf begins.
//   2. A filter has every key of its leaf, as the store has it at the generation that is published
//      or that will be published next; so a key that is neither in the live segments of a read view
//      nor in the filter is not in the index.
#pragma once

#include <span>
#include <string>

#include "alex/alex_arena.h"
#include "alex/alex_map.h"
#include "base/pure.h"
#include "base/types.h"
#include "store/store_place.h"

namespace omendb {

// What is known of a leaf.
struct LeafInfo {
  static constexpr uint32_t kMostPairs = 6, kMostCount = 0xffff;
  uint64_t changed = 0;            // generation of the flush that changed it last; 36 bits
  uint32_t count = 0;              // entries, at most; no more than kMostCount is told
  uint8_t deltas = 0;              // operands that no fold is known to have taken in
  uint8_t flags = 0;               // kNextKnown
  uint8_t pairs = 0;               // of lines of its filter, 0 = it has none
  uint32_t pair[kMostPairs] = {};  // offsets
  StorePlace place;                // where a reader has found its base
  bool has_filter() const { return pairs != 0; }
};
inline constexpr uint8_t kNextKnown = 0x01;

// A key as filters see it.
uint64_t HashKey(Slice key);

// Handle; trivially copyable.
class LeafDirectory {
 public:
  LeafDirectory() = default;  // attached to nothing
  static size_t MinimumSize() { return AlexArena::MinimumSize() + (64 << 10); }
  // memory: 64-aligned.
  static LeafDirectory Format(void* memory, size_t size) {
    return LeafDirectory(AlexArena::Format(memory, size));
  }
  static LeafDirectory Attach(void* memory) { return LeafDirectory(AlexArena::Attach(memory)); }
  AlexArena arena() const { return arena_; }

  // The map of one index. prefix: what its keys have in common. 0 = no room.
  uint32_t Create(Slice prefix) const;
  // REQUIRES: nobody can reach the map any more.
  void Drop(uint32_t map) const;

  // The leaf that covers the position; false if that is not known. high may be nullptr; empty: the
  // end of the index.
  bool Find(uint32_t map, Slice position, std::string* low, std::string* high,
            LeafInfo* info) const;
  // Adds or replaces; false = no room, the entry is as it was. The filter that it had stays taken.
  bool Put(uint32_t map, Slice low, const LeafInfo& info) const;
  bool Get(uint32_t map, Slice low, LeafInfo* info) const;
  // Changes what is known of a leaf but for its flags and its filter, where it stands. *info: all
  // of it afterwards. False: it is not there.
  bool Update(uint32_t map, Slice low, uint64_t changed, uint32_t count, uint8_t deltas,
              LeafInfo* info) const;
  void Remove(uint32_t map, Slice low) const;
  // Readers too, inside an epoch: where the base of the leaf is. Only a hint, which a change of the
  // map may lose. Of two files the later one's is kept, for it lives longer.
  void NotePlace(uint32_t map, Slice low, StorePlace place) const;
  // The leaf has changed since it was there.
  void ForgetPlace(uint32_t map, Slice low, StorePlace place) const;

  // A filter for so many keys, with none; without room info has no filter. Filters leave the last
  // of the memory to the maps.
  void NewFilter(uint32_t keys, LeafInfo* info) const;
  void FreeFilter(const LeafInfo& info) const;
  // With so many keys in all it would no longer deny most that are not there.
  static bool FilterIsFull(const LeafInfo& info, uint64_t keys);
  void AddToFilter(const LeafInfo& info, uint64_t hash) const;
  // Brings what that needs into the cache.
  void PrepareAddToFilter(const LeafInfo& info, uint64_t hash) const;
  // False: the key is not in the leaf. True without a filter.
  bool MayHave(const LeafInfo& info, uint64_t hash) const;
  // The line of a filter that says whether the index has a key; it is on its way into the cache.
  struct KeyProbe {
    uint64_t* line = nullptr;  // nullptr: there is none to ask
    uint64_t hash = 0;
    bool MayHave() const;  // false: no leaf of the index has the key
  };
  // approaches: has room for one more, the last; they come to their places meanwhile. The probe is
  // good as long as the epoch.
  KeyProbe ProbeKey(uint32_t map, Slice key, std::span<alex::Approach> approaches) const;

  struct Stats {
    AlexStats models;
    uint64_t leaves = 0, known = 0, filters = 0, filter_bytes = 0, entries = 0, deltas = 0;
    uint8_t most_deltas = 0;
  };
  // REQUIRES: inside an epoch. While the writer works, figures are about right.
  Stats StatsOf(uint32_t map) const;

 private:
  using Map = AlexMap<AlexArena>;
  explicit LeafDirectory(AlexArena arena) : arena_(arena) {}
  uint64_t* LineOf(const LeafInfo& info, uint64_t hash) const;

  mutable AlexArena arena_;  // a handle
};

}  // namespace omendb
