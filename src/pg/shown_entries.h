// Keeps blocks from being marked as seen by all while an index-only scan shows an entry of theirs
// that it has copied out of the index before VACUUM removed it.
//
// An index-only scan asks the visibility map after it has got the entry. nbtree keeps a page pinned
// until then, and VACUUM waits for the pin. Batches of alex hold no pin (index_reader.h). Instead
// there are rounds: whoever marks blocks starts a new round after all indexes were cleaned, and
// waits for sessions that show an entry from an earlier round.
//
// Scan                                     Marks
//   1. publish the round                     1. clean the indexes
//   2. still the round? read a batch         2. start a new round
//   3. publish the batch's round             3. wait until nobody shows an older one
//   4. still the round? show an entry        4. mark blocks
//      else read again from there on
//
// An ON CONFLICT check does the same, for it would take any row that heap puts under the entry's
// TID for one of the key.
//
// What a session shows is over when it asks for the next entry, at the end of every call of the
// executor, and at the end of a scan or transaction: so a cursor that nobody reads is not waited
// for.
#pragma once

#include <cstdint>

namespace omendb {

// Before a batch is read. Gives the round that it is of.
uint64_t StartShownBatch();
// Before an entry of it is shown. False: read it again, it may not be shown.
bool MayShowFrom(uint64_t round);
void NothingShown();

// Starts a round; waits, for `patience_ms` at most. False: somebody still shows an older entry.
bool StartMarkRound(int patience_ms);
// Whether nobody shows an entry from before the last StartMarkRound; waits as long.
bool OldEntriesGone(int patience_ms);

}  // namespace omendb
