// Operations within one leaf: search (readers and writers), insert and erase (under its lock).
#pragma once

#include <algorithm>

#include "alex/lock.h"
#include "alex/probe.h"

namespace omendb::alex {

inline uint64_t NumberAt(const Leaf* leaf, size_t i) { return Load(leaf->slots[i].number); }
inline uint64_t ValueAt(const Leaf* leaf, size_t i) { return Load(leaf->slots[i].value); }
inline void SetSlot(Leaf* leaf, size_t i, uint64_t number, uint64_t value) {
  Store(leaf->slots[i].value, value);
  Store(leaf->slots[i].number, number);
}

inline int64_t Predict(uint64_t base, uint64_t slope, int64_t intercept, uint8_t shift,
                       uint64_t number) {
  uint64_t input = (number > base ? number - base : 0) >> shift;
  if (input > kMaxModelInput) input = kMaxModelInput;
  return (static_cast<int64_t>(input * slope) + intercept) >> 32;
}

// Where the model sends a number, within [begin, end), which is not empty.
inline size_t PredictWithin(const Leaf* leaf, size_t begin, size_t end, uint64_t number) {
  int64_t predicted = Predict(Load(leaf->base), Load(leaf->slope), Load(leaf->intercept),
                              Load(leaf->shift), number);
  predicted = std::max(predicted, static_cast<int64_t>(begin));
  return static_cast<size_t>(std::min(predicted, static_cast<int64_t>(end) - 1));
}

// The slots around a prediction that are compared without branches: about two cache lines, in
// leaves with a mean error for which it pays. What is not where the model sends it lies behind that
// more often than before.
inline constexpr int kWindow = 8, kWindowBefore = 2;
inline constexpr uint32_t kExact = 256 / 2, kRough = 4 * 256;

// Where a search for a number starts, within [begin, end), which is not empty: where the model
// sends it, or where it is among the slots around. Which of a few that are has no branches, as
// their outcomes would be coin tosses that are known only when the memory has come: without them
// the processor goes on meanwhile.
inline size_t StartOf(const Leaf* leaf, size_t begin, size_t end, uint64_t number) {
  const size_t predicted = PredictWithin(leaf, begin, end, number);
  const uint32_t error = Load(leaf->error);
  if (error < kExact || error > kRough || end - begin < kWindow) return predicted;
  const size_t before = std::min(predicted - begin, size_t{kWindowBefore});
  const size_t first = std::min(predicted - before, end - kWindow);
  size_t smaller = 0;
#pragma GCC unroll 8
  for (size_t i = 0; i < kWindow; i++) smaller += NumberAt(leaf, first + i) < number;
  return first + std::min(smaller, size_t{kWindow - 1});
}

// The first slot in [begin, end) with a number >= the given; end if none. Looks in growing steps
// from `at` on, in halves if that is `end`.
inline size_t LowerBoundFrom(const Leaf* leaf, size_t begin, size_t end, uint64_t number,
                             size_t at) {
  size_t low = begin, high = end;  // everything before low is smaller, from high on is not
  if (at < end) {
    size_t step = 1;
    if (NumberAt(leaf, at) >= number) {
      high = at;
      while (high > begin) {
        size_t next = high - begin > step ? high - step : begin;
        if (NumberAt(leaf, next) < number) {
          low = next + 1;
          break;
        }
        high = next;
        step *= 2;
      }
    } else {
      low = at + 1;
      while (low < end) {
        size_t next = end - low > step ? low + step - 1 : end - 1;
        if (NumberAt(leaf, next) >= number) {
          high = next;
          break;
        }
        low = next + 1;
        step *= 2;
      }
    }
  }
  // Without branches: the outcome of a comparison is a coin toss.
  size_t length = high - low;
  while (length > 0) {
    size_t half = length / 2;
    bool smaller = NumberAt(leaf, low + half) < number;
    low = smaller ? low + half + 1 : low;
    length = smaller ? length - half - 1 : half;
  }
  return low;
}

inline size_t LowerBoundNumber(const Leaf* leaf, size_t begin, size_t end, uint64_t number) {
  if (begin >= end) return begin;
  size_t at = Load(leaf->plain) ? end : StartOf(leaf, begin, end, number);
  return LowerBoundFrom(leaf, begin, end, number, at);
}

// The first slot that is not before the probe; *equal: it is the probe's entry (or a copy of it).
// For readers the answer holds if the version did not change.
inline size_t LowerBound(char* base, const Leaf* leaf, const Space* space, size_t begin, size_t end,
                         const Probe& probe, bool* equal) {
  size_t at = LowerBoundNumber(leaf, begin, end, probe.number);
  *equal = false;
  // Gallop through entries of the same number.
  size_t low = at, step = 1;
  for (size_t next = at; next < end && NumberAt(leaf, next) == probe.number;) {
    uint64_t value = ValueAt(leaf, next);
    if ((value & kUsed) == 0) return next;  // a torn read
    int order = CompareTied(base, space, value, probe);
    if (order >= 0) {
      *equal = order == 0;
      if (next == low) return next;
      break;
    }
    low = next + 1;
    next = low + step - 1;
    step *= 2;
  }
  if (low == at) return at;
  size_t high = std::min(low + step, end);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = 1;
    if (NumberAt(leaf, middle) == probe.number) {
      uint64_t value = ValueAt(leaf, middle);
      if ((value & kUsed) == 0) return middle;
      order = CompareTied(base, space, value, probe);
    }
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
      *equal = order == 0;
    }
  }
  if (low == end) *equal = false;
  return low;
}

// What a look at a few slots says of an entry of a number that is kept in its slot.
enum class Near { kFound, kAbsent, kUnknown };

// For readers; what it says holds, whatever happens meanwhile. wanted: the entry's value but for
// its flags. *value: that of its slot. As few instructions as can be: while one lookup waits for
// the memory of its slots, the processor begins with the next one, as far as its window of
// instructions reaches.
[[gnu::always_inline]] inline Near FindNear(const Leaf* leaf, uint64_t number, uint64_t wanted,
                                            uint64_t* value) {
  const uint32_t version = Load(leaf->word);
  if ((version & (kLocked | kObsolete)) != 0 || Load(leaf->plain)) return Near::kUnknown;
  const auto begin = static_cast<int64_t>(Load(leaf->begin));
  const auto length = static_cast<int64_t>(Load(leaf->end)) - begin;
  // Signed: predictions may lie outside.
  int64_t at = Predict(Load(leaf->base), Load(leaf->slope), Load(leaf->intercept),
                       Load(leaf->shift), number) -
               begin;
  const Slot* slots = leaf->slots + begin;
  int64_t smaller = 0;
  if (const uint32_t error = Load(leaf->error); error < kExact) {
    if (at < 0 || at >= length) return Near::kUnknown;
  } else {
    if (error > kRough) {
      __builtin_prefetch(slots + at);  // a search begins there
      return Near::kUnknown;
    }
    at -= kWindowBefore;
    if (at < 0 || at + kWindow > length) return Near::kUnknown;
#pragma GCC unroll 8
    for (int64_t i = 0; i < kWindow; i++) smaller += Load(slots[at + i].number) < number;
    if (smaller == kWindow) return Near::kUnknown;
    at += smaller;
  }
  *value = Load(slots[at].value);
  constexpr uint64_t kIgnored = uint64_t{0xff} << 48 | kGap;
  const uint64_t there = Load(slots[at].number);
  if (!Unchanged(leaf->word, version)) return Near::kUnknown;
  if (there == number && ((*value ^ wanted) & ~kIgnored) == 0) return Near::kFound;
  return there > number && smaller > 0 ? Near::kAbsent : Near::kUnknown;
}

// The value of the probe's entry (or a copy of it), 0 if there is none. For readers as LowerBound.
inline uint64_t FindValue(char* base, const Leaf* leaf, const Space* space, size_t begin,
                          size_t end, const Probe& probe) {
  size_t at = LowerBoundNumber(leaf, begin, end, probe.number);
  if (at < end && NumberAt(leaf, at) == probe.number) {
    uint64_t value = ValueAt(leaf, at);
    if ((value & kUsed) && CompareTied(base, space, value, probe) == 0) return value;
    bool equal;
    at = LowerBound(base, leaf, space, begin, end, probe, &equal);
    if (equal) return ValueAt(leaf, at);
  }
  return 0;
}

// The last slot of the run that starts at or contains `at`: gaps, then the real one.
inline size_t RealSlot(const Leaf* leaf, size_t at, size_t end) {
  while (at + 1 < end && (ValueAt(leaf, at) & kGap)) at++;
  return at;
}

// REQUIRES, from here on: the leaf's lock.

// Replaces the value of the entry whose run starts at `at`.
inline void ReplaceValue(Leaf* leaf, size_t at, uint64_t value) {
  size_t real = RealSlot(leaf, at, leaf->end);
  for (size_t i = at; i < real; i++) Store(leaf->slots[i].value, value | kGap);
  Store(leaf->slots[real].value, value);
}

inline void MoveSlot(Leaf* leaf, size_t to, size_t from) {
  SetSlot(leaf, to, leaf->slots[from].number, leaf->slots[from].value);
}

// Inserts before slot `at` (from LowerBound). REQUIRES: count < size.
inline void InsertSlot(Leaf* leaf, size_t at, Slot slot) {
  size_t begin = leaf->begin, end = leaf->end, size = leaf->size;
  int64_t predicted =
      leaf->plain ? static_cast<int64_t>(at)
                  : Predict(leaf->base, leaf->slope, leaf->intercept, leaf->shift, slot.number);
  predicted = std::clamp<int64_t>(predicted, 0, static_cast<int64_t>(size) - 1);
  size_t wish = static_cast<size_t>(predicted);
  Store(leaf->count, leaf->count + 1);
  if (begin == end) {
    SetSlot(leaf, wish, slot.number, slot.value);
    Store(leaf->begin, static_cast<uint32_t>(wish));
    Store(leaf->end, static_cast<uint32_t>(wish + 1));
    return;
  }
  if (at == end && end < size) {
    // The highest leaf is most likely appended to, where gaps would never be used.
    size_t place = leaf->high == UINT64_MAX ? end : std::max(wish, end);
    for (size_t i = end; i < place; i++) SetSlot(leaf, i, slot.number, slot.value | kGap);
    SetSlot(leaf, place, slot.number, slot.value);
    Store(leaf->end, static_cast<uint32_t>(place + 1));
    return;
  }
  if (at == begin && begin > 0) {
    size_t place = leaf->low == 0 ? begin - 1 : std::min(wish, begin - 1);  // as above
    for (size_t i = place + 1; i < begin; i++) {
      SetSlot(leaf, i, leaf->slots[begin].number, leaf->slots[begin].value | kGap);
    }
    SetSlot(leaf, place, slot.number, slot.value);
    Store(leaf->begin, static_cast<uint32_t>(place));
    return;
  }
  if (at < end && (leaf->slots[at].value & kGap)) {
    size_t place = at;
    while (place < wish && (leaf->slots[place + 1].value & kGap)) place++;
    for (size_t i = at; i < place; i++) SetSlot(leaf, i, slot.number, slot.value | kGap);
    SetSlot(leaf, place, slot.number, slot.value);
    return;
  }
  // No gap here: the nearest one moves here. Outside of [begin, end) everything is a gap.
  size_t left = at, right = at;
  while (true) {
    if (right < size && (right >= end || (leaf->slots[right].value & kGap))) {
      for (size_t i = right; i > at; i--) MoveSlot(leaf, i, i - 1);
      SetSlot(leaf, at, slot.number, slot.value);
      if (right >= end) Store(leaf->end, static_cast<uint32_t>(right + 1));
      return;
    }
    if (left > 0 && (left - 1 < begin || (leaf->slots[left - 1].value & kGap))) {
      size_t gap = left - 1;
      for (size_t i = gap; i + 1 < at; i++) MoveSlot(leaf, i, i + 1);
      SetSlot(leaf, at - 1, slot.number, slot.value);
      if (gap < begin) Store(leaf->begin, static_cast<uint32_t>(gap));
      return;
    }
    if (right < size) right++;
    if (left > 0) left--;
  }
}

// Removes the entry whose run starts at `at`.
inline void EraseSlot(Leaf* leaf, size_t at) {
  size_t begin = leaf->begin, end = leaf->end, real = RealSlot(leaf, at, end);
  Store(leaf->count, leaf->count - 1);
  if (real + 1 == end) {
    Store(leaf->end, static_cast<uint32_t>(at));
  } else if (at == begin) {
    Store(leaf->begin, static_cast<uint32_t>(RealSlot(leaf, real + 1, end)));
  } else {
    Slot next = leaf->slots[real + 1];
    for (size_t i = at; i <= real; i++) SetSlot(leaf, i, next.number, next.value | kGap);
  }
  if (leaf->count == 0) {
    Store(leaf->begin, uint32_t{0});
    Store(leaf->end, uint32_t{0});
  }
}

// Packs all entries to the front; with `slot`, it is inserted before slot `at` too. Returns where
// it is. The leaf stays right, its model just predicts badly.
inline size_t Compact(Leaf* leaf, size_t at, const Slot* slot) {
  size_t packed = 0, place = 0, end = leaf->end;
  bool found = false;
  for (size_t i = leaf->begin; i < end; i++) {
    if (i >= at && !found) {
      place = packed;
      found = true;
    }
    if (leaf->slots[i].value & kGap) continue;
    if (packed != i) MoveSlot(leaf, packed, i);
    packed++;
  }
  if (!found) place = packed;
  if (slot != nullptr) {
    for (size_t i = packed; i > place; i--) MoveSlot(leaf, i, i - 1);
    SetSlot(leaf, place, slot->number, slot->value);
    packed++;
  }
  Store(leaf->begin, uint32_t{0});
  Store(leaf->end, static_cast<uint32_t>(packed));
  Store(leaf->count, static_cast<uint32_t>(packed));
  return place;
}

}  // namespace omendb::alex

#include "base/pure.h"
