// Ways through the nodes, and where a node divides a leaf.
#pragma once

#include "alex/model.h"

namespace omendb::alex {

// How a descent came to a leaf: what holds it (a Node, or the Space whose root it is), and what
// holds that.
struct Path {
  uint32_t leaf = 0;
  uint32_t space = 0;
  uint32_t parent = 0;
  uint32_t grand = 0;  // 0: the parent is a Space

  // The nodes from the space's root on; depth may be more than what is kept.
  static constexpr uint32_t kKept = 24;
  uint32_t depth = 0;
  uint32_t nodes[kKept];
};

// Children [begin, end) of a node, of which some at the end may not be stored.
struct Run {
  size_t begin, end;
};

inline Run RunOf(const Node* node, size_t index) {
  Run run{index, index + 1};
  uint32_t child = Load(node->child[index]);
  while (run.begin > 0 && Load(node->child[run.begin - 1]) == child) run.begin--;
  while (run.end < node->size && Load(node->child[run.end]) == child) run.end++;
  if (run.end == node->size) run.end = node->room;
  return run;
}

class Tree {
 public:
  Tree(char* base, uint32_t map) : base_(base), map_(map) {}

  uint32_t root_space() const { return map_ + offsetof(MapHeader, root) / 8; }
  const Space* space(uint32_t offset) const { return At<Space>(base_, offset); }

  // The leaf where the probe belongs, as seen now; sets the probe's number.
  Leaf* Descend(Probe* probe, Path* path) const {
    path->space = path->parent = root_space();
    path->grand = path->depth = 0;
    Space* space = At<Space>(base_, path->space);
    probe->Enter(space);
    uint32_t offset = Load(space->root);
    while (true) {
      Head* head = At<Head>(base_, offset);
      if (head->kind == Kind::kNode) {
        Node* node = reinterpret_cast<Node*>(head);
        path->grand = path->parent;
        path->parent = offset;
        if (path->depth < Path::kKept) path->nodes[path->depth] = offset;
        path->depth++;
        offset = Load(node->child[node->IndexOf(probe->number)]);
      } else if (head->kind == Kind::kLeaf) {
        path->leaf = offset;
        return reinterpret_cast<Leaf*>(head);
      } else {
        space = reinterpret_cast<Space*>(head);
        path->space = path->parent = offset;
        path->grand = path->depth = 0;
        probe->Enter(space);
        offset = Load(space->root);
      }
    }
  }

  // Through the nodes of a space to where the number belongs, as seen now: a leaf, or a deeper
  // space.
  [[gnu::always_inline]] const Head* PassNodes(const Space* space, uint64_t number) const {
    const Head* head = At<Head>(base_, Load(space->root));
    while (head->kind == Kind::kNode) {
      const Node* node = reinterpret_cast<const Node*>(head);
      head = At<Head>(base_, Load(node->child[node->IndexOf(number)]));
    }
    return head;
  }

  // The same as Descend for readers, who need no path.
  const Leaf* Descend(Probe* probe, const Space** in) const {
    const Space* space = At<Space>(base_, root_space());
    for (;;) {
      probe->Enter(space);
      const Head* head = PassNodes(space, probe->number);
      if (head->kind == Kind::kLeaf) {
        *in = space;
        return reinterpret_cast<const Leaf*>(head);
      }
      space = reinterpret_cast<const Space*>(head);
    }
  }

  // The leaf that has `number` of the space, or the first (last) one of deeper spaces there; sets
  // `number` to its number in the leaf's space.
  const Leaf* DescendNumber(uint32_t offset, uint64_t* number, bool last) const {
    for (const Space* space = At<Space>(base_, offset);;) {
      const Head* head = PassNodes(space, *number);
      if (head->kind == Kind::kLeaf) return reinterpret_cast<const Leaf*>(head);
      *number = last ? UINT64_MAX : 0;
      space = reinterpret_cast<const Space*>(head);
    }
  }

  // REQUIRES: the holder's lock. Makes every pointer to `from` in the holder one to `to`.
  void Repoint(uint32_t holder, uint64_t number, uint32_t to) const {
    Head* head = At<Head>(base_, holder);
    if (head->kind == Kind::kSpace) {
      Store(reinterpret_cast<Space*>(head)->root, to);
      return;
    }
    Node* node = reinterpret_cast<Node*>(head);
    Run run = RunOf(node, node->IndexOf(number));
    const size_t end = std::min<size_t>(run.end, node->size);
    for (size_t i = run.begin; i < end; i++) Store(node->child[i], to);
  }
  uint32_t ChildOf(uint32_t holder, uint64_t number) const {
    Head* head = At<Head>(base_, holder);
    if (head->kind == Kind::kSpace) return Load(reinterpret_cast<Space*>(head)->root);
    Node* node = reinterpret_cast<Node*>(head);
    return Load(node->child[node->IndexOf(number)]);
  }

 private:
  char* base_;
  uint32_t map_;
};

// Where a node divides the entries of one of its leaves.
struct Boundary {
  size_t child = 0;  // the right part begins with this child, 0 = nowhere
  size_t left = 0;   // entries of the left part
};

inline size_t CountBelow(const Slot* entries, size_t count, uint64_t number) {
  return static_cast<size_t>(
      std::lower_bound(entries, entries + count, number,
                       [](const Slot& slot, uint64_t x) { return slot.number < x; }) -
      entries);
}

// The first one, for a leaf that only grows at its front: then the full one stays nearly full.
inline Boundary FindFrontBoundary(const Shape& shape, Run run, const Slot* entries, size_t count) {
  size_t child = std::max(shape.IndexOf(entries[0].number), run.begin) + 1;
  if (child >= run.end) return {};
  size_t left = CountBelow(entries, count, shape.LowOf(child));
  return left > 0 && left <= count / 2 ? Boundary{child, left} : Boundary{};
}

// The best boundary of `shape` between children of `run`.
inline Boundary FindBoundary(const Shape& shape, Run run, const Slot* entries, size_t count) {
  if (run.end - run.begin < 2) return {};
  size_t middle = shape.IndexOf(entries[count / 2].number);
  Boundary best;
  size_t best_smaller = 0;
  for (size_t child = middle; child <= middle + 1; child++) {
    if (child <= run.begin || child >= run.end) continue;
    size_t left = CountBelow(entries, count, shape.LowOf(child));
    size_t smaller = std::min(left, count - left);
    if (smaller > best_smaller) {
      best = {child, left};
      best_smaller = smaller;
    }
  }
  return best_smaller >= count / 8 ? best : Boundary{};
}

}  // namespace omendb::alex

#include "base/pure.h"
