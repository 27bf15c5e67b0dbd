// Finding a single entry next to a place. Part of alex/alex_map.h.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

template <typename Memory>
bool AlexMap<Memory>::FindNotBefore(Slice key, uint64_t tid, AlexItem* item) const {
  if (FindInLeaf(key, tid, false, item)) return true;
  Iterator at(*this);
  at.Seek(key, tid);
  return at.Copy(item);
}

template <typename Memory>
bool AlexMap<Memory>::FindBefore(Slice key, uint64_t tid, AlexItem* item) const {
  if (FindInLeaf(key, tid, true, item)) return true;
  Iterator at(*this);
  at.SeekBefore(key, tid);
  return at.Copy(item);
}

// False: it is not in the leaf where the place is.
template <typename Memory>
bool AlexMap<Memory>::FindInLeaf(Slice key, uint64_t tid, bool before, AlexItem* item) const {
  using namespace alex;
  Probe probe{key, tid};
  const Space* space;
  for (;;) {
    const Leaf* leaf = tree().Descend(&probe, &space);
    uint32_t version;
    if (!ReadVersion(leaf->word, &version)) continue;
    if (probe.number < Load(leaf->low) || probe.number > Load(leaf->high)) continue;
    const size_t begin = Load(leaf->begin), end = std::min<size_t>(Load(leaf->end), leaf->size);
    bool equal;
    size_t at = LowerBound(memory_.base(), leaf, space, begin, end, probe, &equal);
    Slot slot{0, kGap};
    if (before) {
      while (at > begin && (slot.value & kGap)) {
        at--;
        slot = {NumberAt(leaf, at), ValueAt(leaf, at)};
      }
    } else {
      for (; at < end && (slot.value & kGap); at++) slot = {NumberAt(leaf, at), ValueAt(leaf, at)};
    }
    if (slot.value & kRecord) {
      // The key is looked at first, the payload lies behind it.
      const char* record =
          reinterpret_cast<char*>(At<Record>(memory_.base(), OffsetOf(slot.value)));
      __builtin_prefetch(record);
      __builtin_prefetch(record + 64);
    }
    if (!Unchanged(leaf->word, version)) continue;
    if (slot.value & kGap) return false;
    Show(space, slot, item);
    return true;
  }
}

template <typename Memory>
void AlexMap<Memory>::Show(const Space* space, Slot slot, AlexItem* item) const {
  using namespace alex;
  char* base = memory_.base();
  item->key = KeyOf(base, space, slot.number, slot.value, item->buffer, &item->tid);
  item->flags = FlagsOf(slot.value);
  item->payload =
      slot.value & kRecord ? At<Record>(base, OffsetOf(slot.value))->payload() : Slice();
}

}  // namespace omendb

#include "base/pure.h"
