// PostgreSQL's own visibility map over our row blocks, so that stock index-only scans skip the fetch.
//
// A block has two marks. *Seen by all* (the map's all-visible bit): every index entry that points
// into the block means a row that every snapshot sees, with the index's columns as they are. Updates
// in place leave indexed columns alone, so they leave the mark. *Unchanged* (the all-frozen bit): the
// block was fit for the first mark when VACUUM looked at it, and nobody inserted, deleted or moved a
// row in it since; after VACUUM has cleaned the indexes it becomes the first mark.
//
// Who inserts, deletes or moves a row clears both, in the critical section of the change, before its
// WAL record is inserted, which says that redo has to do the same. Marks are made under the stripe
// lock of the block, promoted under the content lock of the map's page. So a promotion is in the
// WAL before the change that clears it, or does not happen.
#pragma once

#include "base/types.h"
#include "pg/server.h"

extern "C" {
#include "storage/buf.h"
}

namespace omendb {

// What a change to a block has to clear: a pinned page of the map, or nothing.
struct BlockMarks {
  BlockNo block;
  Buffer map;  // InvalidBuffer: nothing to clear
};

// REQUIRES: the stripe lock of the block, exclusive; no critical section.
BlockMarks LookUpMarks(Relation relation, BlockNo block);
inline bool AnyMarks(const BlockMarks& marks) { return marks.map != 0; }
// In the critical section.
void ClearMarks(Relation relation, const BlockMarks& marks);
void ReleaseMarks(BlockMarks* marks);
// For redo.
void ClearMarksInRecovery(const RelFileNode& node, BlockNo block);

// First block at or behind `block`, below `end`, that is not known to be seen by all. *map: a page
// that stays pinned between calls, InvalidBuffer at first; the caller releases it.
BlockNo NextUnmarkedBlock(Relation relation, BlockNo block, BlockNo end, Buffer* map);

// Pins the page of the map for a block, and lets changers know that it may have marks from now on.
void PrepareToMark(Relation relation, BlockNo block, Buffer* map);
// Marks the block as unchanged. REQUIRES: its stripe lock; PrepareToMark with this page.
void MarkUnchanged(BlockNo block, Buffer map);
// Every unchanged block is seen by all from now on, or only those that have a bit in `some`, which has
// bits for `blocks` blocks. Standby queries older than `horizon` are cancelled, as for heap.
// REQUIRES: all indexes were cleaned since the blocks were marked, or have nothing to clean of them.
void PromoteMarks(Relation relation, FullXid horizon, const uint8* some, BlockNo blocks);

// In the WAL room. REQUIRES: critical section, the map's page locked exclusively and marked dirty.
Lsn LogBlocksVisible(const RelFileNode& node, FullXid horizon, Buffer map);

}  // namespace omendb
