// Which transactions a block value still needs clog for.
#pragma once

#include "base/status.h"
#include "base/types.h"

namespace omendb {

inline constexpr FullXid kNoUnresolvedXid = ~FullXid{0};

// The smallest xid of a version without a verdict, of whatever kind, kNoUnresolvedXid if all have
// one or are frozen. What a fold would skip counts too: it may be read until it is folded away.
// kCorruption if the value is damaged; its readers are told so, they look nothing up.
// REQUIRES: the value is 8-aligned.
Status OldestUnresolvedXid(Slice value, FullXid* oldest);

}  // namespace omendb
