// AlexMap: what happens to a leaf that is full. Part of alex/alex_map.h.
//
// The leaf is locked; its parent is locked next, and the parent's holder if the parent is replaced
// too. The full leaf's entries and the new one are packed in place. Then a larger leaf or a node
// with new leaves takes its place; or it is cut in two, and stays where it is as one part: so
// little memory is given up, which an arena may not be able to use again.
//
// Who only adds before all others cuts off few entries, as appends do at the other end: then the
// full leaf stays nearly full.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Grow(const Path& path, Leaf* leaf, size_t at,
                                                       Slot slot) {
  using namespace alex;
  Head* parent = At<Head>(memory_.base(), path.parent);
  if (!Lock(parent->word)) {
    UnlockUnchanged(leaf->word);
    return Growth::kRetry;
  }
  size_t place = Compact(leaf, at, &slot);
  Growth growth = Replace(path, leaf, place, leaf->count);
  if (growth != Growth::kDone) {
    for (size_t i = place; i + 1 < leaf->count; i++) MoveSlot(leaf, i, i + 1);
    Store(leaf->end, leaf->end - 1);
    Store(leaf->count, leaf->count - 1);
    Unlock(parent->word);
    Unlock(leaf->word);
  }
  return growth;
}

// Unlocks leaf and parent if it succeeds.
template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Replace(const Path& path, Leaf* leaf,
                                                          size_t place, size_t count) {
  using namespace alex;
  const AlexOptions& options = header()->options;
  const bool append = place + 1 == count && leaf->high == UINT64_MAX;
  const bool front = leaf->slots[place].number == leaf->slots[0].number && leaf->low == 0;
  Builder builder(memory_, options, false, append);
  Head* parent = At<Head>(memory_.base(), path.parent);
  uint32_t replacement = 0;
  bool equal = leaf->slots[0].number == leaf->slots[count - 1].number;
  const bool small =
      count <= Limit(SlotsIn(append ? options.plain_cap : options.slow_cap), options);
  const Fit fit = small || equal ? Fit{} : Fit::Of(leaf->slots, count);
  const size_t cap = append || equal ? MaxSlots(options) : CapFor(leaf->low, options);
  bool pays = fit.error <= kMaxError;
  if (pays && !append && options.slow_cap < options.plain_cap && fit.error > kGoodError) {
    double scale = 100.0 / options.fill_percent;
    pays = DistanceOf(fit, leaf->slots, count, scale) <= kMaxDistance;
  }
  if (count <= Limit(cap, options) && pays) {
    size_t size = std::min(SlotsFor(count, options), std::max<size_t>(cap, leaf->size));
    // What is appended to will be full, so it may as well be large at once.
    if (append) size = std::max(size, std::min<size_t>(MaxSlots(options), leaf->size * 2));
    replacement = builder.BuildLeaf(leaf->space, leaf->slots, count, leaf->low, leaf->high, size);
  } else {
    if (append && parent->kind == Kind::kNode && !equal) {
      Growth growth = Append(path, leaf, count, fit);
      if (growth != Growth::kNotThatWay) return growth;
    }
    const Way way{append, front, !pays && options.slow_cap < options.plain_cap};
    Node* node = parent->kind == Kind::kNode ? reinterpret_cast<Node*>(parent) : nullptr;
    // Where ways are long, only sorted nodes grow: these stay shallow.
    bool deep = path.depth >= kDeep && leaf->low < leaf->high;
    if (node != nullptr && node->sorted && leaf->low < leaf->high &&
        (deep || Builder::IsMostlyOne(leaf->slots, count))) {
      Growth growth = Divide(path, leaf, count, way);
      if (growth != Growth::kNotThatWay) return growth;
    }
    if (node != nullptr && !node->sorted && !equal) {
      Growth growth = Split(path, leaf, node, count, way);
      if (growth != Growth::kNotThatWay) return growth;
    }
    auto build = deep                 ? &Builder::BuildSorted
                 : way.slow && !equal ? &Builder::BuildMore
                                      : &Builder::Build;
    replacement = (builder.*build)(leaf->space, leaf->slots, count, leaf->low, leaf->high);
  }
  if (replacement == 0) return Growth::kNoRoom;
  tree().Repoint(path.parent, leaf->low, replacement);
  UnlockObsolete(leaf->word);
  Unlock(parent->word);
  memory_.Retire(path.leaf, Leaf::Bytes(leaf->size));
  return Growth::kDone;
}

// Where a leaf is cut in two: the right part begins with `number`, the left one has `left` entries.
// One of them is a new leaf: the right one, or, front, the left one, since all further entries come
// there. The other one stays where it is, or is a new leaf too, if it would be too empty.
template <typename Memory>
struct AlexMap<Memory>::Cut {
  uint64_t number;
  size_t left;
  bool front;
  uint32_t added = 0, kept = 0;

  uint32_t left_part() const { return front ? added : kept; }
  uint32_t right_part() const { return front ? kept : added; }
};

// Makes the new leaves; false = no room.
template <typename Memory>
bool AlexMap<Memory>::BuildParts(const Path& path, size_t count, Way way, Cut* cut) {
  using namespace alex;
  const AlexOptions& options = header()->options;
  Builder builder(memory_, options, false, way.append);
  const Leaf* leaf = At<Leaf>(memory_.base(), path.leaf);
  const Slot* entries = leaf->slots;
  auto slots = [&](size_t part, uint64_t low) {
    size_t cap = way.slow ? SlotsIn(options.slow_cap) : CapFor(low, options);
    return std::max(SlotsFor(part, options), std::min<size_t>(cap, leaf->size));
  };
  auto build = [&](bool right, size_t size, const Fit* ahead) {
    size_t first = right ? cut->left : 0;
    return builder.BuildLeaf(leaf->space, entries + first, right ? count - first : cut->left,
                             right ? cut->number : leaf->low, right ? leaf->high : cut->number - 1,
                             size, ahead, ahead != nullptr);
  };
  const size_t kept = cut->front ? count - cut->left : cut->left;
  const size_t kept_slots = slots(kept, cut->front ? cut->number : leaf->low);
  // Memory that is given up may be lost, so not for little.
  const bool stays = kept_slots * 4 >= size_t{leaf->size} * 3;
  cut->kept = stays ? path.leaf : build(cut->front, kept_slots, nullptr);
  if (cut->kept == 0) return false;
  if (cut->front) {
    Fit fit = Fit::Of(entries, count);
    cut->added = build(false, leaf->size, &fit);
  } else {
    size_t size = way.append ? std::max<size_t>(SlotsFor(count - kept, options), leaf->size)
                             : slots(count - kept, cut->number);
    cut->added = build(true, size, nullptr);
  }
  if (cut->added == 0 && cut->kept != path.leaf) builder.Discard(cut->kept);
  return cut->added != 0;
}

// What becomes of the leaf, and unlocks it. REQUIRES: the new leaves can be reached.
template <typename Memory>
void AlexMap<Memory>::Finish(const Path& path, Leaf* leaf, size_t count, const Cut& cut) {
  using namespace alex;
  if (cut.kept != path.leaf) {
    UnlockObsolete(leaf->word);
    memory_.Retire(path.leaf, Leaf::Bytes(leaf->size));
    return;
  }
  size_t kept = cut.left;
  if (cut.front) {
    kept = count - cut.left;
    for (size_t i = 0; i < kept; i++) MoveSlot(leaf, i, cut.left + i);
    Store(leaf->low, cut.number);
  } else {
    Store(leaf->high, cut.number - 1);
  }
  Refit(leaf, kept, static_cast<double>(leaf->size) / static_cast<double>(kept),
        Fit::Of(leaf->slots, kept));
  Unlock(leaf->word);
}

// A second leaf for the right half, where the parent, or a larger one, has a boundary.
template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Split(const Path& path, Leaf* leaf, Node* parent,
                                                        size_t count, Way way) {
  using namespace alex;
  const AlexOptions& options = header()->options;
  bool front = way.front;
  size_t index = parent->IndexOf(leaf->low);
  Run run = RunOf(parent, index);
  Shape shape = parent->whole();  // of the node that takes the parent's place
  const Slot* entries = leaf->slots;
  auto find = [&] {
    Boundary at = front ? FindFrontBoundary(shape, run, entries, count) : Boundary{};
    if (at.child != 0) return at;
    front = false;
    return FindBoundary(shape, run, entries, count);
  };
  uint64_t pivot = entries[front ? count / 8 : count / 2].number;
  Boundary boundary = find();
  bool widen = boundary.child == 0;
  if (widen) {
    size_t most = std::min<size_t>(MaxChildren(options), size_t{parent->children} * 32 + 64);
    uint64_t last = parent->base + (uint64_t{parent->room - 1} << parent->shift);
    uint64_t width = uint64_t{1} << parent->shift;
    if (pivot > last && pivot - last >= width) {  // beyond the right edge
      uint64_t room = (UINT64_MAX - last) >> parent->shift;
      uint64_t more = most > parent->room ? most - parent->room : 0;
      shape.size += static_cast<uint32_t>(std::min({uint64_t{parent->room}, room, more}));
    } else if (pivot < parent->base) {
      uint64_t room = (parent->base - parent->low) >> parent->shift;
      // Twice as many: what comes next will be there, and a little more each time costs much.
      most = std::min<size_t>(MaxChildren(options), size_t{parent->children} * 64 + 64);
      uint64_t more = most > parent->room ? most - parent->room : 0;
      more = std::min({uint64_t{parent->room}, room, more});
      shape.size += static_cast<uint32_t>(more);
      shape.base -= more << parent->shift;
    } else if (parent->shift > 0) {
      shape.shift--;
      bool odd = UINT64_MAX - last < width / 2;
      shape.size = parent->room * 2 - odd;
    }
    if (shape.size <= parent->room || shape.size > most) return Growth::kNotThatWay;
    // Children beyond the node's high number, which nobody asks for, belong to the last leaf too.
    run.begin = run.begin == 0 ? 0 : shape.IndexOf(leaf->low);
    run.end = run.end == parent->room ? shape.size : shape.IndexOf(leaf->high) + 1;
    front = way.front;
    boundary = find();
    if (boundary.child == 0) return Growth::kNotThatWay;
  }
  Head* grand = nullptr;
  uint32_t wide = 0;
  Builder builder(memory_, options, false);
  if (widen) {
    grand = At<Head>(memory_.base(), path.grand);
    if (!Lock(grand->word)) return Growth::kRetry;
    if (tree().ChildOf(path.grand, parent->low) != path.parent) {  // a node came between
      Unlock(grand->word);
      return Growth::kRetry;
    }
    wide = builder.NewNode(parent->space, {shape.base, shape.shift, shape.size}, parent->low,
                           parent->high);
  }
  Cut cut{shape.LowOf(boundary.child), boundary.left, front};
  if ((widen && wide == 0) || !BuildParts(path, count, way, &cut)) {
    if (wide != 0) memory_.Retire(wide, Node::Bytes(shape.size));
    if (widen) Unlock(grand->word);
    return Growth::kNoRoom;
  }
  Node* target = widen ? At<Node>(memory_.base(), wide) : parent;
  if (widen) {
    for (size_t i = 0; i < shape.size; i++) {
      target->child[i] = parent->child[parent->IndexOf(i == 0 ? shape.low : shape.LowOf(i))];
    }
    target->children = parent->children;
    target->Trim();
  }
  target->Widen(boundary.child + 1);
  const size_t end = std::min<size_t>(run.end, target->size);
  for (size_t i = run.begin; i < end; i++) {
    Store(target->child[i], i >= boundary.child ? cut.right_part() : cut.left_part());
  }
  target->children++;
  if (widen) {
    tree().Repoint(path.grand, parent->low, wide);
    Unlock(grand->word);
    UnlockObsolete(parent->word);
    memory_.Retire(path.parent, parent->bytes());
  } else {
    Unlock(parent->word);
  }
  Finish(path, leaf, count, cut);
  return Growth::kDone;
}

}  // namespace omendb

#include "base/pure.h"
