// What the engine remembers of the running transaction, and its callbacks at transaction end.
#pragma once

#include "engine/block_cache.h"

namespace omendb {

// Registers the callbacks; called before anything else the engine does in a process.
void EnsureEngineSession();

// The transaction's own versions all have an LSN of at least this; ~0 = it made none yet; 0 = not
// known (parallel worker). Unlogged relations count LSNs on their own.
Lsn FirstOwnLsn(Relation relation);
void NoteOwnLsn(Relation relation, Lsn lsn);

// Keeps the server's ANALYZE from prefetching blocks of the main fork, whose numbers are only ours:
// behind the fork's first gigabyte of numbers that is an ERROR. Until the transaction ends.
void SuppressMaintenancePrefetch();

// Blocks pinned by code that may leave by ERROR before it unpins: given back at the end of the
// (sub)transaction.
void AddTransientPin(CachedBlock* block);
void DropTransientPin(CachedBlock* block);

}  // namespace omendb
