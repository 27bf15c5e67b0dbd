// AlexMap: growth at the high end. Part of alex/alex_map.h.
//
// A full leaf that is appended to is not divided in the middle: it stays where it is, nearly full,
// and a new leaf takes what comes. The new leaf hangs on the highest node that has a boundary
// within the full leaf, so that what grows at one end stays shallow; if nodes are full, a new one
// goes above them.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

// REQUIRES: as Split, and the last entry is the new one, and nothing lies beyond the leaf. fit: of
// its entries.
template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Append(const Path& path, Leaf* leaf, size_t count,
                                                         const alex::Fit& fit) {
  using namespace alex;
  const AlexOptions& options = header()->options;
  char* base = memory_.base();
  const Slot* entries = leaf->slots;
  uint64_t first = entries[0].number, last = entries[count - 1].number;
  if (path.depth > Path::kKept) return Growth::kNotThatWay;

  // Where the new leaf hangs: on an extended node at `level`, or on a new node above that one.
  uint32_t level = 0, above = path.depth;
  Boundary boundary;
  Shape shape{};
  for (; level < path.depth; level++) {
    const Node* node = At<Node>(base, path.nodes[level]);
    shape = node->whole();
    if (node->sorted) continue;
    uint64_t index = last > node->base ? (last - node->base) >> node->shift : 0;
    if (index >= node->room) {
      uint64_t most = std::min<uint64_t>(MaxChildren(options), uint64_t{node->children} * 32 + 64);
      uint64_t room = (UINT64_MAX - node->base) >> node->shift;
      uint64_t size = std::min({most, room, index < most ? index + node->room : index});
      if (size > node->room) shape.size = static_cast<uint32_t>(size);
      if (index >= shape.size && above == path.depth) above = level;
    }
    size_t child = shape.IndexOf(last);
    uint64_t number = child == 0 ? 0 : shape.LowOf(child);
    uint32_t below = level + 1 < path.depth ? path.nodes[level + 1] : path.leaf;
    if (child == 0 || number <= first || number > last) continue;
    if (child < node->size && Load(node->child[child]) != below) continue;
    if (child == RunOf(node, std::min<size_t>(child, node->size - 1)).begin) continue;
    size_t left = CountBelow(entries, count, number);
    if (level + 1 == path.depth && left < count / 2) continue;
    boundary = {child, left};
    break;
  }
  bool wrap = false;
  uint64_t number = 0;
  if (boundary.child != 0) {
    number = shape.LowOf(boundary.child);
  } else if (above < path.depth) {
    size_t at = count - count / 8 - 1;
    while (at < count && entries[at].number == entries[at - 1].number) at++;
    if (at == count) return Growth::kNotThatWay;
    wrap = true;
    level = above;
    number = entries[at].number;
    boundary.left = at;
    const Node* node = At<Node>(base, path.nodes[level]);
    shape = node->whole();
    // Eight children for what there is.
    uint64_t width = number > node->base ? number - node->base : 1;
    shape.shift = static_cast<uint8_t>(std::bit_width(width / 8));
    uint64_t eight = uint64_t{8} << shape.shift;
    shape.base = number > eight ? number - eight : number & ((uint64_t{1} << shape.shift) - 1);
    boundary.child = (number - shape.base) >> shape.shift;
    uint64_t room = (UINT64_MAX - shape.base) >> shape.shift;
    shape.size = static_cast<uint32_t>(std::min<uint64_t>(kSplitFanout, room));
    if (boundary.child == 0 || boundary.child >= shape.size) return Growth::kNotThatWay;
  } else {
    return Growth::kNotThatWay;
  }

  // From the leaf's parent, which is locked, upwards. Nobody else changes this path but by making
  // nodes obsolete: who appends has to lock the leaf.
  const Node* node = At<Node>(base, path.nodes[level]);
  bool renew = wrap || shape.size != node->room;  // then the holder is changed too
  uint32_t holder = level == 0 ? path.space : path.nodes[level - 1];
  uint32_t locked = path.depth - 1;
  bool room = true, current = true;
  while (current && locked > level) {
    current = Lock(At<Head>(base, path.nodes[locked - 1])->word);
    if (current) locked--;
  }
  bool holder_locked = current && renew;
  if (holder_locked) current = holder_locked = Lock(At<Head>(base, holder)->word);
  uint32_t wide = 0, right = 0;
  current = current && (!renew || tree().ChildOf(holder, node->low) == path.nodes[level]);
  if (current) {
    Builder builder(memory_, options, false);
    if (renew) {
      wide = builder.NewNode(leaf->space, {shape.base, shape.shift, shape.size}, node->low,
                             node->high);
      room = wide != 0;
    }
    if (room) {
      size_t plain = SlotsIn(options.plain_cap), rest = count - boundary.left;
      size_t size =
          fit.error > kMaxError && rest < Limit(plain, options) ? plain : MaxSlots(options);
      right = builder.BuildLeaf(leaf->space, entries + boundary.left, count - boundary.left, number,
                                UINT64_MAX, size, &fit);
      room = right != 0;
    }
    if (!room && wide != 0) memory_.Retire(wide, Node::Bytes(shape.size));
  }
  if (current && room) {
    Node* old = At<Node>(base, path.nodes[level]);
    Node* target = renew ? At<Node>(base, wide) : old;
    if (wrap) {
      target->size = target->children = 1;
      target->child[0] = path.nodes[level];
    } else if (renew) {
      target->size = old->size;
      target->children = old->children;
      std::memcpy(target->child, old->child, 4 * size_t{old->size});
    }
    target->Widen(boundary.child + 1);
    for (size_t i = boundary.child; i < target->size; i++) Store(target->child[i], right);
    target->children++;
    for (uint32_t i = level + !wrap; i < path.depth; i++) {
      Store(At<Node>(base, path.nodes[i])->high, number - 1);
    }
    if (renew) tree().Repoint(holder, old->low, wide);
  }
  if (holder_locked) Unlock(At<Head>(base, holder)->word);
  for (uint32_t i = locked; i + 1 < path.depth; i++) {
    Head* head = At<Head>(base, path.nodes[i]);
    bool obsolete = current && room && renew && !wrap && i == level;
    obsolete ? UnlockObsolete(head->word) : Unlock(head->word);
  }
  if (!current) return Growth::kRetry;
  if (!room) return Growth::kNoRoom;
  Head* parent = At<Head>(base, path.parent);
  bool obsolete = renew && !wrap && level + 1 == path.depth;
  obsolete ? UnlockObsolete(parent->word) : Unlock(parent->word);
  if (renew && !wrap) memory_.Retire(path.nodes[level], node->bytes());
  Store(leaf->high, number - 1);
  // A line that is right for all entries is right for most of them.
  const bool known = fit.error <= kMaxError || leaf->size <= SlotsIn(options.plain_cap);
  Refit(leaf, boundary.left, 1, known ? fit : Fit::Of(entries, boundary.left));
  Unlock(leaf->word);
  return Growth::kDone;
}

}  // namespace omendb

#include "base/pure.h"
