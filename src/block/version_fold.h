// The rules of folding, slot by slot, and the writing of what is left. FoldBlock and FlushFold
// differ only in where the versions come from.
//
// Versions of a slot, newest first; "seen by all": committed, and its xid is below the horizon.
//   1. Of an aborted transaction: dropped, whatever it is.
//   2. Lock: dropped if its transaction has ended, else kept, also below the end of the list (3):
//      a share lock outlives the update of another transaction that did not conflict with it.
//   3. Row seen by all: ends the list. kWhole: frozen, becomes an image row, which keeps its maker.
//      kPartial: kept as it is, for its LSN says what it supersedes in the values that it will
//      meet.
//   4. Delete or move seen by all: ends the list. kWhole: dropped. kPartial: kept, likewise.
//   5. Confirm of a speculative insert: makes the insert of its xid a plain one, with the confirm's
//      LSN and command id (a copy of the bare insert that comes back is then older than it, and a
//      fold that has seen the insert but not the confirm does not skip it). Without the insert:
//      kWhole: dropped; kPartial: kept.
//   6. Abort of a speculative insert: drops the insert of its xid. kWhole: dropped itself;
//   kPartial:
//      kept, for a copy of the insert may come back.
//   7. A speculative insert that met neither stays speculative and never ends the list, even when
//   its
//      transaction committed: the abort may lie in a newer value that this fold does not see.
//   8. Everything else is kept, marked committed if it is known to be.
// Versions newer than those that the fold sees may always exist elsewhere.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "block/block_value.h"

namespace omendb {

// What a fold knows about the rest of the block.
enum class FoldScope {
  kWhole,    // everything that exists of the block goes in: tombstones die, rows go into an image
  kPartial,  // older versions may lie in another value: keep tombstones and the oldest update
};

// Not thread-safe; keeps its memory from fold to fold.
class VersionFold {
 public:
  void Start(FoldScope scope, const TransactionOracle* oracle);
  // REQUIRES: slots ascend over the calls; LSNs strictly descend. Row bytes, images and columns
  // stay until Finish.
  Status AddSlot(SlotNo slot, std::span<const StoredVersion> versions);
  // Appends sections to *out; nothing if nothing is left. lsn: of folded sections. layout:
  // describes all columns of all rows.
  Status Finish(Lsn lsn, Columns layout, std::string* out);

  Verdict Judge(const VersionMeta& meta) const;
  // REQUIRES: judged committed.
  // kFrozenXid says so by itself: in recovery there is no horizon.
  bool SeenByAll(const VersionMeta& meta) const {
    return meta.xid <= kFrozenXid || meta.xid < horizon_;
  }

 private:
  struct Kept {
    StoredVersion version;
    SlotNo slot;
    bool in_image;
    uint32_t natts;  // of a row
    uint32_t maker;  // of a row in an image
  };
  // A speculative insert's end, met above it; the insert takes its place in kept_.
  struct Marker {
    VersionMeta meta;
    size_t place;
  };

  void FoldSlot(SlotNo slot, std::span<const StoredVersion> versions);
  Status FinishSlot(size_t first);
  Status WriteImages(Lsn lsn, Columns layout, std::string* out);
  Status WriteDeltas(Lsn lsn, Columns layout, std::string* out);
  Status DecodeRow(const Kept& kept);
  bool* nulls() { return reinterpret_cast<bool*>(nulls_.data()); }

  FoldScope scope_ = FoldScope::kWhole;
  const TransactionOracle* oracle_ = nullptr;
  FullXid horizon_ = 0;
  std::vector<Kept> kept_;       // slots ascending, LSNs descending
  std::vector<Marker> markers_;  // of the slot at hand, newest first
  uint32_t image_rows_ = 0;

  RowImageBuilder image_builder_;
  DeltasBuilder deltas_builder_;
  std::vector<Value> values_;
  std::vector<uint8_t> nulls_;  // bools; vector<bool> has no addresses
  std::vector<uint64_t> scratch_;
  std::string packed_;
};

}  // namespace omendb
