// Ways to the places of keys in several maps at once: each step asks for the memory that the next
// one needs, so that the maps' cache misses pass side by side instead of one after the other. What
// it comes to is only brought into the cache: a lookup goes the same way again. (Chen, Ailamaki,
// Gibbons, Mowry, ICDE 2004: group prefetching.)
#pragma once

#include <span>

#include "alex/leaf.h"

namespace omendb::alex {

class Approach {
 public:
  Approach() = default;
  // The key must outlive it, and what keeps retired memory must be held.
  Approach(char* base, const Space* root, Slice key, uint64_t tid) : base_(base), probe_{key, tid} {
    Enter(root);
  }

  bool done() const { return base_ == nullptr; }
  void Step() {  // REQUIRES: !done()
    if (child_ != nullptr) {
      Ask(Load(*child_));
      child_ = nullptr;
      return;
    }
    const Head* head = At<Head>(base_, offset_);
    if (head->kind == Kind::kNode) {
      const Node* node = reinterpret_cast<const Node*>(head);
      child_ = &node->child[node->IndexOf(probe_.number)];
      __builtin_prefetch(child_);
    } else if (head->kind == Kind::kSpace) {
      Enter(reinterpret_cast<const Space*>(head));
    } else {
      const Leaf* leaf = reinterpret_cast<const Leaf*>(head);
      const size_t begin = Load(leaf->begin), end = Load(leaf->end);
      if (begin < end && !Load(leaf->plain)) {
        __builtin_prefetch(&leaf->slots[PredictWithin(leaf, begin, end, probe_.number)]);
      }
      base_ = nullptr;
    }
  }

 private:
  void Enter(const Space* space) {
    probe_.Enter(space);
    Ask(Load(space->root));
  }
  // A leaf's head takes two lines.
  void Ask(uint32_t offset) {
    offset_ = offset;
    const char* head = At<char>(base_, offset);
    __builtin_prefetch(head);
    __builtin_prefetch(head + 64);
  }

  char* base_ = nullptr;
  Probe probe_{};
  uint32_t offset_ = 0;
  const uint32_t* child_ = nullptr;
};

inline void ApproachAll(std::span<Approach> approaches) {
  for (bool any = true; any;) {
    any = false;
    for (Approach& approach : approaches) {
      if (approach.done()) continue;
      approach.Step();
      any = true;
    }
  }
}

}  // namespace omendb::alex

#include "base/pure.h"
