// Folding an index leaf's operands into it, and splitting what has become too large.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "block/index_leaf.h"

namespace omendb {

// The live entries of a leaf, in order. kCorruption if they are out of order or out of bounds.
// (Moves the view.) For a value without a base: its entries that are not removed.
Status FoldLeaf(LeafView* view, EntryList* entries);

// Folds leaf values (base and operands) into one value: one base section with the bounds of the
// base, or, if there is no base, all deltas as they are. Verifies checksums: damage is never
// carried on. Thread-safe.
Status FoldLeafValues(std::span<const Slice> values, std::string* out);

// A leaf that grew beyond this is split...
inline constexpr uint32_t kMaxLeafCount = 1024;
inline constexpr size_t kMaxLeafBytes = 16 << 10;  // raw
// ...into leaves of about this many entries.
inline constexpr uint32_t kLeafTarget = 800;

struct NewLeaf {
  std::string low, high, value;
  size_t first = 0;  // of its entries, in the list that was split
};

// How the entries of a leaf came to be more than it holds: an append at the right end of the index
// (or of the leaf, for keys that ascend) leaves the left ones nearly full, as none will be added
// there; else all are filled evenly, or nearly so if there are two.
enum class LeafGrowth { kRandom, kAppend };

// True if the entries should be stored as several leaves.
bool MustSplitLeaf(const EntryList& entries);

// Stores the entries of [low, high) as leaves, one if they fit. Together they cover [low, high):
// the first begins at low, each next one at the position of its first entry. An empty list gives
// one empty leaf. A leaf holds at most kMaxLeafCount entries and kMaxLeafBytes raw bytes, but
// always one entry. lsn: that of everything folded into them. Appends to *leaves.
Status SplitLeaf(const EntryList& entries, Slice low, Slice high, Lsn lsn, LeafGrowth growth,
                 std::vector<NewLeaf>* leaves);

}  // namespace omendb
