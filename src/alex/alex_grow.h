// AlexMap: what happens to a leaf that is full. Part of alex/alex_map.h.
//
// The leaf is locked; its parent is locked next, and the parent's holder if the parent is replaced
// too. The full leaf's entries and the new one are packed in place, and what replaces it is built
// from them: a larger leaf, two leaves side by side, or a node below. So one Put changes the
// structure once at most.
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
  bool append = place + 1 == count && leaf->high == UINT64_MAX;
  Builder builder(memory_, options, false, append);
  Head* parent = At<Head>(memory_.base(), path.parent);
  uint32_t replacement = 0;
  bool equal = leaf->slots[0].number == leaf->slots[count - 1].number;
  if (count <= Limit(MaxSlots(options), options) &&
      (count <= Limit(SlotsIn(options.plain_cap), options) || equal ||
       Fit::Of(leaf->slots, count).error <= kMaxError)) {
    replacement = builder.BuildLeaf(leaf->space, leaf->slots, count, leaf->low, leaf->high,
                                    SlotsFor(count, options));
  } else {
    if (append && parent->kind == Kind::kNode && !equal) {
      Growth growth = Append(path, leaf, count);
      if (growth != Growth::kNotThatWay) return growth;
    }
    Node* node = parent->kind == Kind::kNode ? reinterpret_cast<Node*>(parent) : nullptr;
    // Where ways are long, only sorted nodes grow: these stay shallow.
    bool deep = path.depth >= kDeep && leaf->low < leaf->high;
    if (node != nullptr && node->sorted && leaf->low < leaf->high &&
        (deep || Builder::IsMostlyOne(leaf->slots, count))) {
      Growth growth = Divide(path, leaf, count);
      if (growth != Growth::kNotThatWay) return growth;
    }
    if (node != nullptr && !node->sorted && !equal) {
      Growth growth = Split(path, leaf, node, count, append);
      if (growth != Growth::kNotThatWay) return growth;
    }
    replacement = deep ? builder.BuildSorted(leaf->space, leaf->slots, count, leaf->low, leaf->high)
                       : builder.Build(leaf->space, leaf->slots, count, leaf->low, leaf->high);
  }
  if (replacement == 0) return Growth::kNoRoom;
  tree().Repoint(path.parent, leaf->low, replacement);
  UnlockObsolete(leaf->word);
  Unlock(parent->word);
  memory_.Retire(path.leaf, Leaf::Bytes(leaf->size));
  return Growth::kDone;
}

// A second leaf for the right half, where the parent, or a larger one, has a boundary.
template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Split(const Path& path, Leaf* leaf, Node* parent,
                                                        size_t count, bool append) {
  using namespace alex;
  const AlexOptions& options = header()->options;
  size_t index = parent->IndexOf(leaf->low);
  Run run = RunOf(parent, index);
  Shape shape = parent->shape();  // of the node that takes the parent's place
  Boundary boundary = FindBoundary(shape, run, leaf->slots, count);
  bool widen = boundary.child == 0;
  if (widen) {
    size_t most = std::min<size_t>(MaxChildren(options), size_t{parent->children} * 32 + 64);
    uint64_t middle = leaf->slots[count / 2].number;
    uint64_t last = parent->base + (uint64_t{parent->size - 1} << parent->shift);
    uint64_t width = uint64_t{1} << parent->shift;
    if (middle > last && middle - last >= width) {  // beyond the right edge
      uint64_t room = (UINT64_MAX - last) >> parent->shift;
      uint64_t more = most > parent->size ? most - parent->size : 0;
      shape.size += static_cast<uint32_t>(std::min({uint64_t{parent->size}, room, more}));
    } else if (middle < parent->base) {
      uint64_t room = (parent->base - parent->low) >> parent->shift;
      uint64_t more = most > parent->size ? most - parent->size : 0;
      more = std::min({uint64_t{parent->size}, room, more});
      shape.size += static_cast<uint32_t>(more);
      shape.base -= more << parent->shift;
    } else if (parent->shift > 0) {
      shape.shift--;
      bool odd = UINT64_MAX - last < width / 2;
      shape.size = parent->size * 2 - odd;
    }
    if (shape.size <= parent->size || shape.size > most) return Growth::kNotThatWay;
    // Children beyond the node's high number, which nobody asks for, belong to the last leaf too.
    run.begin = run.begin == 0 ? 0 : shape.IndexOf(leaf->low);
    run.end = run.end == parent->size ? shape.size : shape.IndexOf(leaf->high) + 1;
    boundary = FindBoundary(shape, run, leaf->slots, count);
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
  uint32_t right = 0;
  uint64_t middle = shape.LowOf(boundary.child);
  if (!widen || wide != 0) {
    size_t rest = count - boundary.left;
    size_t size = std::max<size_t>(SlotsFor(rest, options), leaf->size);
    right =
        Builder(memory_, options, false, append)
            .BuildLeaf(leaf->space, leaf->slots + boundary.left, rest, middle, leaf->high, size);
  }
  if (right == 0) {
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
  }
  for (size_t i = run.begin; i < run.end; i++) {
    Store(target->child[i], i >= boundary.child ? right : path.leaf);
  }
  target->children++;
  if (widen) {
    tree().Repoint(path.grand, parent->low, wide);
    Unlock(grand->word);
    UnlockObsolete(parent->word);
    memory_.Retire(path.parent, Node::Bytes(parent->size));
  } else {
    Unlock(parent->word);
  }
  Store(leaf->high, middle - 1);
  Refit(leaf, boundary.left, static_cast<double>(leaf->size) / static_cast<double>(boundary.left));
  Unlock(leaf->word);
  return Growth::kDone;
}

}  // namespace omendb

#include "base/pure.h"
