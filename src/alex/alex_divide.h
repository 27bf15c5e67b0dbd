// AlexMap: growth below sorted nodes. Part of alex/alex_map.h.
//
// What a full leaf is divided into becomes children of its parent, which is renewed with them. A
// sorted node that would have too many is divided in two, which hang on the node above it if that
// is sorted too, as in a B-tree; else a new one comes above the two.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

// What a sorted node will have as children: its own, without repetition, and `count` parts instead
// of the one that has the number `low`.
template <typename Memory>
struct AlexMap<Memory>::Parts {
  using Part = typename Builder::Part;
  size_t size = 0;
  Part part[alex::kSortedFanout + Builder::kMostParts];

  Parts(const Node* node, uint64_t low, const Part* parts, size_t count) {
    Run run = RunOf(node, node->IndexOf(low));
    for (size_t i = 0; i < node->size; i++) {
      if (i == run.begin) {
        for (size_t j = 0; j < count; j++) part[size++] = parts[j];
      } else if ((i < run.begin || i >= run.end) &&
                 (i == 0 || node->child[i] != node->child[i - 1])) {
        part[size++] = {node->LowOf(i), node->child[i]};
      }
    }
  }
  static size_t Count(const Node* node) {
    size_t count = 1;
    for (size_t i = 1; i < node->size; i++) count += node->child[i] != node->child[i - 1];
    return count;
  }
};

// REQUIRES: as Split, for a sorted parent; the leaf has more than one number.
template <typename Memory>
typename AlexMap<Memory>::Growth AlexMap<Memory>::Divide(const Path& path, Leaf* leaf, size_t count,
                                                         Way way) {
  using namespace alex;
  using Part = typename Builder::Part;
  if (path.depth > Path::kKept) return Growth::kNotThatWay;
  char* base = memory_.base();
  Builder builder(memory_, header()->options, false);
  auto node_at = [&](size_t i) { return At<Node>(base, path.nodes[i]); };
  auto holder_of = [&](size_t i) { return i == 0 ? path.space : path.nodes[i - 1]; };

  const Slot* entries = leaf->slots;
  bool equal = entries[0].number == entries[count - 1].number;
  const bool front = way.front;
  Cut cut{0, 0, front};
  if (!equal) {
    cut.left = Builder::FindCut(entries, count, front ? count / 8 : count / 2);
    cut.number = entries[cut.left].number;
  }

  // Locks and makes what is needed, upwards: a node for the last level, two for each one below.
  uint32_t made[2 * kSortedSplits + 1];
  size_t making = 0, level = path.depth - 1, holders = 0;
  size_t added = Builder::CountParts(leaf->slots, count, leaf->low, leaf->high) - 1;
  bool split = true;
  Growth growth = Growth::kDone;
  auto make = [&](size_t size) {
    made[making] = builder.NewSorted(leaf->space, size, 0, 0);
    if (made[making++] == 0) growth = Growth::kNoRoom;
  };
  while (split && growth == Growth::kDone) {
    Head* holder = At<Head>(base, holder_of(level));
    if (!Lock(holder->word)) {
      growth = Growth::kRetry;
      break;
    }
    holders++;
    if (tree().ChildOf(holder_of(level), leaf->low) != path.nodes[level]) {
      growth = Growth::kRetry;
      break;
    }
    size_t size = Parts::Count(node_at(level)) + added;
    split = size > kSortedFanout;
    if (!split) {
      make(size);
    } else if (making == 2 * kSortedSplits) {
      growth = Growth::kNotThatWay;
    } else {
      make(size / 2);
      make(size - size / 2);
      if (holder->kind != Kind::kNode || !reinterpret_cast<Node*>(holder)->sorted) {
        make(2);
        break;
      }
      level--;
      added = 1;
    }
  }
  Part parts[Builder::kMostParts];
  size_t size = 0;
  if (growth == Growth::kDone) {
    if (equal) {
      size = builder.BuildParts(leaf->space, leaf->slots, count, leaf->low, leaf->high, parts);
    } else if (BuildParts(path, count, way, &cut)) {
      size = 2;
      parts[0] = {leaf->low, cut.left_part()};
      parts[1] = {cut.number, cut.right_part()};
    }
    if (size == 0) growth = Growth::kNoRoom;
  }
  if (growth != Growth::kDone) {
    for (size_t i = 0; i < making; i++) builder.Discard(made[i]);
    for (size_t i = 0; i < holders; i++) {
      UnlockUnchanged(At<Head>(base, holder_of(path.depth - 1 - i))->word);
    }
    return growth;
  }

  auto finish = [&](uint32_t offset, const Part* from, uint64_t low, uint64_t high) {
    At<Node>(base, offset)->low = low;
    At<Node>(base, offset)->high = high;
    builder.SetParts(offset, from);
  };
  size_t taken = 0;
  const Node* last = node_at(level);
  for (size_t i = path.depth; i-- > level;) {
    const Node* node = node_at(i);
    Parts all(node, leaf->low, parts, size);
    if (i == level && !split) {
      finish(made[taken++], all.part, node->low, node->high);
      break;
    }
    size_t half = all.size / 2;
    uint64_t middle = all.part[half].low;
    parts[0] = {node->low, made[taken++]};
    parts[1] = {middle, made[taken++]};
    size = 2;
    finish(parts[0].child, all.part, node->low, middle - 1);
    finish(parts[1].child, all.part + half, middle, node->high);
  }
  if (split) finish(made[taken++], parts, last->low, last->high);
  tree().Repoint(holder_of(level), leaf->low, made[taken - 1]);
  Unlock(At<Head>(base, holder_of(level))->word);
  for (size_t i = level; i < path.depth; i++) {
    Node* node = node_at(i);
    UnlockObsolete(node->word);
    memory_.Retire(path.nodes[i], node->bytes());
  }
  if (equal) {
    UnlockObsolete(leaf->word);
    memory_.Retire(path.leaf, Leaf::Bytes(leaf->size));
  } else {
    Finish(path, leaf, count, cut);
  }
  return Growth::kDone;
}

}  // namespace omendb

#include "base/pure.h"
