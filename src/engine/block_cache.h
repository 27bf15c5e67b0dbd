// The blocks that this session has in its own memory: values read from the store and row images
// copied out of the write buffer. Pinned while a slot shows a row of them, kept for a while after.
//
// A block of the store is right for one generation; an image never changes and is named by its LSN.
// Pins are taken and given back by code that may leave by longjmp: whoever holds one across calls
// that may ereport ties it to a memory context (BlockPin) or to a scan (which owns its pins).
#pragma once

#include "block/block_value.h"
#include "pg/read_view.h"
#include "pg/server.h"

namespace omendb {

struct CachedBlock;

// The parsed value. Its bytes stay where they are while the block is pinned.
const BlockView& ViewOf(const CachedBlock* block);

// Counts a block for pg_statio and EXPLAIN (BUFFERS): a hit is one from the write buffer or from the
// session's own memory, all others are read from the store. The functions below count by themselves.
void CountBlockAccess(Relation relation, bool hit);

// The store's value of a block at the view's generation or newer; nullptr if it has none.
// ERROR data_corrupted names the relation and the block. REQUIRES: the view is pinned.
CachedBlock* PinStoredBlock(const ReadView& view, Relation relation, StorageId storage,
                            BlockNo block);
// A buffered image as a block value of its own. REQUIRES: the view is pinned.
CachedBlock* PinBufferedImage(const BufferedImage* image, Relation relation, StorageId storage,
                              BlockNo block);
// The image in such a block (its stamps count for nothing: they say frozen).
const RowImage* ImageOf(const CachedBlock* block);
void Repin(CachedBlock* block);
void UnpinBlock(CachedBlock* block);

// Walks the stored blocks of a range in ascending order, always at a generation that completes the
// view it is asked with. Owned by a scan; closed by it or with its memory context.
struct StoreCursor;
StoreCursor* OpenStoreCursor(Relation relation, StorageId storage, BlockNo end,
                             MemoryContext owner);
void RestartStoreCursor(StoreCursor* cursor, StorageId storage, BlockNo end);
void CloseStoreCursor(StoreCursor* cursor);
// Number of the first stored block >= from, or `end` if there is none.
BlockNo SeekStoreCursor(StoreCursor* cursor, const ReadView& view, BlockNo from);
// The block that the last seek found. Pinned.
CachedBlock* PinCursorBlock(StoreCursor* cursor, const ReadView& view);

// For whatever else reads the store: the session's reader at the view's generation or newer. Good
// until the next call that may open or drop one.
class ReaderStore;
ReaderStore* EnsureStoreReader(const ReadView& view);
// Before the reader goes away `drop` is called: iterators of it must not outlive it.
void OnReaderDropped(void (*drop)());

// Called at the end of every transaction: an idle session that was woken because its reader holds
// back files that the store has deleted gives the reader up.
void ReleaseStaleReader();
// The same for a session that is idle in a transaction: cursors and caches open a new reader when
// they go on. Never called within a read: those take no locks, so they accept no invalidations.
void ReleaseStaleReaderNow();

// A pin that its memory context gives back if nobody else did.
struct BlockPin {
  MemoryContextCallback callback;
  CachedBlock* block;
};
// The pin is allocated in, and dies with, the context.
BlockPin* MakeBlockPin(MemoryContext context);
// Gives back what the pin holds and takes over a pinned block (or nullptr).
void SetBlockPin(BlockPin* pin, CachedBlock* block);

}  // namespace omendb
