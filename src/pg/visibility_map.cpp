#include "pg/visibility_map.h"

#include "pg/storage_table.h"

extern "C" {
#include "access/visibilitymap.h"
#include "access/xlogutils.h"
#include "catalog/pg_class.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// The layout of a map page: as in visibilitymap.c, which keeps it to itself.
constexpr uint32 kMapBytes = BLCKSZ - MAXALIGN(SizeOfPageHeaderData);
constexpr uint32 kBlocksPerByte = 4;
constexpr uint32 kBlocksPerPage = kMapBytes * kBlocksPerByte;
static_assert(BITS_PER_HEAPBLOCK == 2);

uint32 ByteOf(BlockNo block) { return block % kBlocksPerPage / kBlocksPerByte; }
uint32 ShiftOf(BlockNo block) { return block % kBlocksPerByte * BITS_PER_HEAPBLOCK; }

uint8* BytesOf(Buffer map) { return reinterpret_cast<uint8*>(PageGetContents(BufferGetPage(map))); }

// After a start, or behind redo, nobody knows whether the relation has a map: the file tells.
uint32 FindOutMarkedEnd(Relation relation) {
  SMgrRelation files = RelationGetSmgr(relation);
  uint32 end = 0;
  if (smgrexists(files, VISIBILITYMAP_FORKNUM)) {
    end = smgrnblocks(files, VISIBILITYMAP_FORKNUM) * kBlocksPerPage;
  }
  return StorageSettleMarkedEnd(relation, end);
}

}  // namespace

BlockMarks LookUpMarks(Relation relation, BlockNo block) {
  BlockMarks marks{block, InvalidBuffer};
  uint32 end = StorageMarkedEnd(relation);
  if (unlikely(end == kMarkedEndUnknown)) end = FindOutMarkedEnd(relation);
  if (block >= end) return marks;
  visibilitymap_pin(relation, block, &marks.map);
  // Without a lock on the page: nobody can make a mark now, and clearing twice does no harm.
  if (visibilitymap_get_status(relation, block, &marks.map) == 0) ReleaseMarks(&marks);
  return marks;
}

void ClearMarks(Relation relation, const BlockMarks& marks) {
  if (!AnyMarks(marks)) return;
  visibilitymap_clear(relation, marks.block, marks.map, VISIBILITYMAP_VALID_BITS);
}

void ReleaseMarks(BlockMarks* marks) {
  if (marks->map != InvalidBuffer) ReleaseBuffer(marks->map);
  marks->map = InvalidBuffer;
}

void ClearMarksInRecovery(const RelFileNode& node, BlockNo block) {
  Relation relation = CreateFakeRelcacheEntry(node);
  Buffer map = InvalidBuffer;
  visibilitymap_pin(relation, block, &map);
  visibilitymap_clear(relation, block, map, VISIBILITYMAP_VALID_BITS);
  ReleaseBuffer(map);
  FreeFakeRelcacheEntry(relation);
}

BlockNo NextUnmarkedBlock(Relation relation, BlockNo block, BlockNo end, Buffer* map) {
  while (block < end &&
         (visibilitymap_get_status(relation, block, map) & VISIBILITYMAP_ALL_VISIBLE) != 0) {
    block++;
  }
  return block;
}

void PrepareToMark(Relation relation, BlockNo block, Buffer* map) {
  // Settled first: who settles it later would not find the file that is about to be made.
  if (StorageMarkedEnd(relation) == kMarkedEndUnknown) FindOutMarkedEnd(relation);
  StorageRaiseMarkedEnd(relation, block + 1);
  visibilitymap_pin(relation, block, map);
}

void MarkUnchanged(BlockNo block, Buffer map) {
  LockBuffer(map, BUFFER_LOCK_EXCLUSIVE);
  uint8* byte = BytesOf(map) + ByteOf(block);
  uint8 mark = static_cast<uint8>(VISIBILITYMAP_ALL_FROZEN << ShiftOf(block));
  if ((*byte & mark) == 0) {
    *byte |= mark;
    // Losing it costs the next VACUUM a look; every change that clears it is in the WAL.
    MarkBufferDirtyHint(map, true);
  }
  LockBuffer(map, BUFFER_LOCK_UNLOCK);
}

namespace {

static_assert(VISIBILITYMAP_ALL_VISIBLE == 1 && VISIBILITYMAP_ALL_FROZEN == 2);

// Which of the four blocks of a byte may become seen by all: their second bits.
uint8 MayPromote(BlockNo first, const uint8* some, BlockNo blocks) {
  if (some == nullptr) return 0xAA;
  uint8 mask = 0;
  for (BlockNo i = 0; i < kBlocksPerByte; i++) {
    const BlockNo block = first + i;
    if (block < blocks && (some[block / 8] >> block % 8 & 1) != 0) {
      mask = static_cast<uint8>(mask | VISIBILITYMAP_ALL_FROZEN << ShiftOf(block));
    }
  }
  return mask;
}

// Of these blocks who is unchanged becomes seen by all.
uint8 Promoted(uint8 byte, uint8 mask) { return static_cast<uint8>(byte | (byte & mask) >> 1); }

// The bytes of a page, changed if `write`. True if anything changes.
bool PromotePage(Buffer map, BlockNo first, const uint8* some, BlockNo blocks, bool write) {
  bool changes = false;
  uint8* bytes = BytesOf(map);
  for (uint32 i = 0; i < kMapBytes; i++) {
    if (Promoted(bytes[i], 0xAA) == bytes[i]) continue;
    const uint8 promoted = Promoted(bytes[i], MayPromote(first + i * kBlocksPerByte, some, blocks));
    changes |= promoted != bytes[i];
    if (write) bytes[i] = promoted;
  }
  return changes;
}

}  // namespace

void PromoteMarks(Relation relation, FullXid horizon, const uint8* some, BlockNo blocks) {
  SMgrRelation files = RelationGetSmgr(relation);
  if (!smgrexists(files, VISIBILITYMAP_FORKNUM)) return;
  BlockNumber pages = smgrnblocks(files, VISIBILITYMAP_FORKNUM);
  bool logged = relation->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
  for (BlockNumber page = 0; page < pages; page++) {
    CHECK_FOR_INTERRUPTS();
    const BlockNo first = page * kBlocksPerPage;
    Buffer map = InvalidBuffer;
    visibilitymap_pin(relation, first, &map);
    LockBuffer(map, BUFFER_LOCK_EXCLUSIVE);
    if (PromotePage(map, first, some, blocks, false)) {
      START_CRIT_SECTION();
      PromotePage(map, first, some, blocks, true);
      MarkBufferDirty(map);
      if (logged) PageSetLSN(BufferGetPage(map), LogBlocksVisible(relation->rd_node, horizon, map));
      END_CRIT_SECTION();
    }
    UnlockReleaseBuffer(map);
  }
}

}  // namespace omendb
