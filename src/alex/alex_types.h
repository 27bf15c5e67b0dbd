// What callers of the learned index see: options, results and figures.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace omendb {

// Caps and densities of one map, fixed when it is created. Sizes are bytes of memory.
struct AlexOptions {
  uint32_t leaf_cap = 64 << 10;  // the largest leaf; also what one insert may have to move
  uint32_t node_cap = 1 << 20;   // the largest model node
  uint32_t plain_cap = 8 << 10;  // the largest leaf whose model does not pay
  uint32_t slow_cap = 1 << 10;   // that of such a leaf when an insert has to wait for its division
  uint8_t fill_percent = 70;     // how full a new leaf is
  uint8_t full_percent = 90;     // a leaf fuller than this grows or is split
  // Leaves are split at sizes between this part of leaf_cap and all of it, each at its own: else
  // keys that come evenly would leave all half empty at once.
  uint8_t least_cap_percent = 50;
};

// The write buffer's: one Put takes little, and leaves double, since what they leave is not reused.
inline constexpr AlexOptions kAlexBufferOptions = {.leaf_cap = 16 << 10,
                                                   .node_cap = 16 << 10,
                                                   .plain_cap = 4 << 10,
                                                   .slow_cap = 4 << 10,
                                                   .fill_percent = 45,
                                                   .full_percent = 86,
                                                   .least_cap_percent = 100};

enum class AlexPut { kAdded, kReplaced, kNoRoom };

// One entry. The slices point into the map's memory or into the item or iterator that gave them.
struct AlexItem {
  static constexpr size_t kInlineKeySize = 64;               // longer keys are never stored inline
  static constexpr size_t kBufferSize = kInlineKeySize + 8;  // written in words

  Slice key;
  uint64_t tid = 0;
  uint8_t flags = 0;
  Slice payload;
  char buffer[kBufferSize];  // holds an inline key; so items are not copied

  AlexItem() = default;
  AlexItem(const AlexItem&) = delete;
  AlexItem& operator=(const AlexItem&) = delete;
};

// Counted by walking the structure.
struct AlexStats {
  uint64_t keys = 0;
  uint64_t inline_keys = 0;  // those that lie in their slot, without a record
  uint32_t levels = 0;       // of nodes, the leaf counted
  uint64_t model_nodes = 0;
  uint64_t spaces = 0;  // number spaces: 1, and one more for each deeper one
  uint64_t leaves = 0;
  uint64_t plain_leaves = 0;  // leaves without a model
  uint64_t bytes = 0;         // of everything reachable, records too
  uint64_t slots = 0;
  double fill = 0;  // keys / slots
  double mean_search_error =
      0;  // slots between the predicted and the real place, leaves with model
};

}  // namespace omendb
