// Iterator over an AlexMap, both ways. Part of alex/alex_map.h.
//
// Copies a window of a leaf, checked against the leaf's version; goes on in the leaf while the
// version stays, else seeks again from the last entry. So entries that are there all the time come
// exactly once and in order, whatever writers do; others may or may not come. The first window is
// small, as many look for one entry only; each next one is larger.
//
// Trivially destructible. What keeps retired memory must be held as long as an iterator is used.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

template <typename Memory>
class AlexMap<Memory>::Iterator {
 public:
  explicit Iterator(const AlexMap& map) : memory_(map.memory_), map_(map.offset_) {}

  void Seek(Slice key, uint64_t tid) {  // the first entry >=
    room_ = kFirstWindow;
    SeekForward(key, tid, false);
  }
  void SeekBefore(Slice key, uint64_t tid) {  // the last entry <
    room_ = kFirstWindow;
    SeekBackward(key, tid);
  }
  void SeekToFirst() {
    room_ = kFirstWindow;
    EnterEdge(tree().root_space(), 0, false);
  }
  void SeekToLast() {
    room_ = kFirstWindow;
    EnterEdge(tree().root_space(), UINT64_MAX, true);
  }

  bool Valid() const { return index_ < last_ && index_ >= first_; }
  void Next() {  // REQUIRES: Valid()
    if (++index_ < last_) return;
    index_ = last_ - 1;
    const Slot last = window_[index_];
    if (FillForward(next_slot_)) {
      if (first_ == last_) NextLeaf();
      return;
    }
    char buffer[AlexItem::kBufferSize];
    uint64_t tid;
    Slice key = KeyOf(last, buffer, &tid);
    SeekForward(key, tid, true);
  }
  void Prev() {  // REQUIRES: Valid()
    if (index_ > first_) {
      index_--;
      return;
    }
    const Slot last = window_[index_];
    if (FillBackward(previous_slot_)) {
      if (first_ == last_) PreviousLeaf();
      return;
    }
    char buffer[AlexItem::kBufferSize];
    uint64_t tid;
    Slice key = KeyOf(last, buffer, &tid);
    SeekBackward(key, tid);
  }

  // The current entry. REQUIRES: Valid(). The item is the iterator's, good until it moves.
  const AlexItem& item() {
    Copy(&item_);
    return item_;
  }
  bool Copy(AlexItem* item) const {  // false if not Valid()
    if (!Valid()) return false;
    AlexMap(memory_, map_).Show(alex::At<Space>(memory_.base(), space_), window_[index_], item);
    return true;
  }

 private:
  static constexpr size_t kFirstWindow = 4, kWindow = 64;

  Tree tree() const { return Tree(memory_.base(), map_); }
  Slice KeyOf(Slot slot, char* buffer, uint64_t* tid) const {
    const Space* space = alex::At<Space>(memory_.base(), space_);
    return alex::KeyOf(memory_.base(), space, slot.number, slot.value, buffer, tid);
  }

  // Begins to read a leaf; false if it is obsolete or not where the number belongs.
  bool Enter(const Leaf* leaf, uint64_t number) {
    leaf_ = leaf;
    if (!alex::ReadVersion(leaf->word, &version_)) return false;
    uint64_t low = alex::Load(leaf->low), high = alex::Load(leaf->high);
    return low <= number && number <= high;
  }

  // Enters the leaf of the probe; the first slot in it that is not before the probe. *end: of the
  // leaf's slots; *equal: the slot has the probe itself.
  size_t Locate(alex::Probe* probe, size_t* end, bool* equal) {
    const Space* space;
    const Leaf* leaf;
    do {
      leaf = tree().Descend(probe, &space);
    } while (!Enter(leaf, probe->number));
    *end = alex::Load(leaf->end);
    const size_t begin = alex::Load(leaf->begin);
    return alex::LowerBound(memory_.base(), leaf, space, begin, *end, *probe, equal);
  }

  void SeekForward(Slice key, uint64_t tid, bool after) {
    alex::Probe probe{key, tid};
    size_t at, end;
    bool equal;
    do {
      at = Locate(&probe, &end, &equal);
      if (after && equal) at = alex::RealSlot(leaf_, at, end) + 1;
    } while (!FillForward(at));
    if (first_ == last_) NextLeaf();
  }

  void SeekBackward(Slice key, uint64_t tid) {
    alex::Probe probe{key, tid};
    size_t end;
    bool equal;
    while (!FillBackward(Locate(&probe, &end, &equal))) {
    }
    if (first_ == last_) PreviousLeaf();
  }

  // Reads the entries of leaf_ from (before) a slot on. False if the leaf is no longer as it was at
  // version_; then the window is lost.
  bool FillForward(size_t slot) {
    const Leaf* leaf = leaf_;
    size_t end = std::min<size_t>(alex::Load(leaf->end), leaf->size), filled = 0, at = slot;
    for (; at < end && filled < room_; at++) {
      window_[filled] = {alex::NumberAt(leaf, at), alex::ValueAt(leaf, at)};
      filled += (window_[filled].value & alex::kGap) == 0;
    }
    if (!Keep(filled)) return false;
    index_ = 0;
    previous_slot_ = slot;
    next_slot_ = at;
    return true;
  }
  bool FillBackward(size_t slot) {
    const Leaf* leaf = leaf_;
    size_t begin = alex::Load(leaf->begin), filled = 0, at = std::min<size_t>(slot, leaf->size);
    while (at > begin && filled < room_) {
      at--;
      window_[filled] = {alex::NumberAt(leaf, at), alex::ValueAt(leaf, at)};
      filled += (window_[filled].value & alex::kGap) == 0;
    }
    std::reverse(window_, window_ + filled);
    if (!Keep(filled)) return false;
    index_ = filled == 0 ? 0 : filled - 1;
    previous_slot_ = at;
    next_slot_ = slot;
    return true;
  }
  bool Keep(size_t filled) {
    uint64_t low = alex::Load(leaf_->low), high = alex::Load(leaf_->high);
    if (!alex::Unchanged(leaf_->word, version_)) return false;
    low_ = low;
    high_ = high;
    space_ = leaf_->space;
    first_ = 0;
    last_ = filled;
    room_ = std::min(room_ * 4, kWindow);
    return true;
  }

  // Goes on behind (before) the range [low_, high_] of space_; not Valid() at the end.
  void NextLeaf() {
    uint32_t space = space_;
    uint64_t high = high_;
    while (true) {
      while (high == UINT64_MAX) {
        const Space* inner = alex::At<Space>(memory_.base(), space);
        if (inner->outer == 0) {
          first_ = last_ = index_ = 0;
          return;
        }
        high = inner->high;
        space = inner->outer;
      }
      if (FillEdge(space, high + 1, false)) return;
      space = space_;
      high = high_;
    }
  }
  void PreviousLeaf() {
    uint32_t space = space_;
    uint64_t low = low_;
    while (true) {
      while (low == 0) {
        const Space* inner = alex::At<Space>(memory_.base(), space);
        if (inner->outer == 0) {
          first_ = last_ = index_ = 0;
          return;
        }
        low = inner->low;
        space = inner->outer;
      }
      if (FillEdge(space, low - 1, true)) return;
      space = space_;
      low = low_;
    }
  }
  void EnterEdge(uint32_t space, uint64_t number, bool last) {
    if (FillEdge(space, number, last)) return;
    last ? PreviousLeaf() : NextLeaf();
  }
  // Fills the window from a number on, or up to it; false if the leaf has nothing there. The leaf
  // may begin before the number: leaves are merged.
  bool FillEdge(uint32_t space, uint64_t number, bool last) {
    while (true) {
      uint64_t inner = number;
      const Leaf* leaf = tree().DescendNumber(space, &inner, last);
      if (!Enter(leaf, inner)) continue;
      size_t begin = alex::Load(leaf->begin), end = alex::Load(leaf->end), at = end;
      if (!last || inner != UINT64_MAX) {
        at = alex::LowerBoundNumber(leaf, begin, end, inner + last);
      }
      if (last ? FillBackward(at) : FillForward(at)) return first_ != last_;
    }
  }

  Memory memory_;
  uint32_t map_;
  const Leaf* leaf_ = nullptr;
  uint32_t version_ = 0;
  uint32_t space_ = 0;
  uint64_t low_ = 0, high_ = 0;               // the leaf's at version_
  size_t previous_slot_ = 0, next_slot_ = 0;  // the window's ends in the leaf
  size_t first_ = 0, last_ = 0, index_ = 0;
  size_t room_ = kFirstWindow;  // of the next window
  Slot window_[kWindow];
  AlexItem item_;
};

}  // namespace omendb

#include "base/pure.h"
