// Walks the versions of one row, newest first: the write buffer's segments, then the store.
#pragma once

#include "base/coding.h"
#include "engine/block_cache.h"
#include "mvcc/visibility.h"

namespace omendb {

// TID <-> (block, slot, alias). The top four bits of a TID's block number are the alias (DESIGN
// §3): which version of the row the TID means, see row_read.h.
struct RowId {
  BlockNo block;
  SlotNo slot;
  uint8_t alias;
};
inline constexpr uint8_t kAliasNewest = 15;  // the newest row version there is
inline constexpr uint8_t kMaxOwnAlias = 14;

inline RowId DecodeTid(const ItemPointerData* tid) {
  BlockNumber block = BlockIdGetBlockNumber(&tid->ip_blkid);
  return RowId{block & (kMaxBlocks - 1), static_cast<SlotNo>(tid->ip_posid - 1),
               static_cast<uint8_t>(block >> kBlockBits)};
}
inline bool TidInRange(const ItemPointerData* tid) {
  return tid->ip_posid >= 1 && tid->ip_posid <= kSlotsPerBlock;
}
inline void EncodeTid(const RowId& id, ItemPointerData* tid) {
  ItemPointerSet(tid, (static_cast<BlockNumber>(id.alias) << kBlockBits) | id.block,
                 static_cast<OffsetNumber>(id.slot) + 1);
}

// Payload of kMove.
inline BlockNo LoadMoveBlock(Slice payload) { return LoadFixed<uint32_t>(payload.data()); }
inline SlotNo LoadMoveSlot(Slice payload) { return LoadFixed<uint8_t>(payload.data() + 4); }

// One version where it lies. Valid while the view is pinned; what is in `holder` as long as that
// is.
struct RowVersion {
  VersionMeta meta;
  std::atomic<uint8_t>* hints;  // in the buffer only
  const BufferedVersion* buffered;
  const BufferedImage* buffered_image;
  CachedBlock* holder;    // stored block (not pinned for the caller)
  const RowImage* image;  // stored
  uint32_t row;
  Slice payload;
  TransactionId superseded_by;  // WalkToVisible: who made the next newer version or lock, if any
};

class RowCursor {
 public:
  // REQUIRES: the view is pinned until the cursor is done with.
  RowCursor(const ReadView* view, Relation relation, StorageId storage, BlockNo block, SlotNo slot)
      : view_(view), relation_(relation), storage_(storage), block_(block), slot_(slot) {}

  // The stored block (or nullptr) is known and pinned by the caller already.
  void UseStored(CachedBlock* stored) {
    stored_ = stored;
    stored_known_ = stored_borrowed_ = true;
  }
  // May read the store, may ERROR. Pins the stored block until Close.
  bool Next(RowVersion* version);
  // False as long as the buffer alone has answered.
  bool asked_store() const { return stored_known_; }
  // Unpins what the walk used; the cursor cannot go on afterwards.
  void Close();

 private:
  bool NextBuffered(RowVersion* version);
  bool NextStored(RowVersion* version);

  const ReadView* view_;
  Relation relation_;
  StorageId storage_;
  BlockNo block_;
  SlotNo slot_;
  int segment_ = -1;                     // index in the view; count = the store
  BufferedVersion* buffered_ = nullptr;  // next to give
  BufferedImage* image_ = nullptr;       // next to look into
  CachedBlock* stored_ = nullptr;
  bool stored_known_ = false;
  bool stored_borrowed_ = false;
  Lsn before_ = ~Lsn{0};
};

// LSN of the newest version of the slot in the buffer, 0 if it has none: a cheap test under the
// stripe lock of whether a row changed since it was looked at.
Lsn NewestBufferedLsn(const ReadView& view, StorageId storage, BlockNo block, SlotNo slot);

// What tells that nobody has changed a block since it was looked at. Under its stripe lock: nobody
// can.
struct BlockState {
  Lsn newest_buffered;  // 0: nothing of it is in the buffer
  uint64_t generation;
  // Segments leave the buffer oldest first: what is still in there was not overtaken.
  bool IsStill(const BlockState& before) const {
    return newest_buffered == before.newest_buffered &&
           (newest_buffered != 0 || generation == before.generation);
  }
};
BlockState LookAtBlock(StorageId storage, BlockNo block);

// True if the buffered image has a row for the slot. Reads only the image's header.
bool BufferedImageHas(const BufferedImage* image, SlotNo slot);

}  // namespace omendb
