// Folding: many versions of a block's rows into the fewest that somebody may still need.
//
// For each slot, newest to oldest: aborted versions go; finished locks go; the first row version
// that is visible to everyone (committed, xid below the oracle's horizon) is frozen and ends the
// list, but for locks of running transactions; a delete or move that is visible to everyone ends it
// too and itself stays only where an older version may lie elsewhere. Verdicts come from the
// version's own flags, else the oracle. version_fold.h has the rules one by one.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "block/block_value.h"
#include "block/version_fold.h"

namespace omendb {

// Folds block values (oldest first) into one. kWhole: at most one image per attribute count and one
// deltas section, all marked folded. kPartial: no section is marked folded; rows may become an
// image only if they are inserts. Values that need no change may be copied. An empty *out (zero
// bytes) means: nothing is left of the block. Verifies checksums: damage is never carried on.
// Thread-safe. kInvalidArgument for a partial fold of a folded value.
Status FoldBlock(const std::vector<Slice>& values, FoldScope scope, const TransactionOracle& oracle,
                 std::string* out);

// Builds the value that a flush writes for one block from what a write buffer segment holds of it.
class FlushFold {
 public:
  void Start(Columns layout, FoldScope scope);
  // A whole row image as logged by COPY; its rows were made by meta (one xid, cid, lsn).
  // The section's own stamps count for nothing. Bytes must stay until Finish; 8-aligned.
  void AddImage(const VersionMeta& meta, Slice section);
  // Any order. Bytes must stay until Finish.
  void AddVersion(SlotNo slot, const VersionMeta& meta, Slice payload);
  // Appends to *out; empty = nothing worth storing. Flags of the metas carry the verdicts.
  Status Finish(const TransactionOracle& oracle, std::string* out);

 private:
  struct LoggedImage {
    VersionMeta meta;
    Slice section;
  };
  struct SlotVersion {
    SlotNo slot;
    StoredVersion version;
  };

  Status FinishImage(const TransactionOracle& oracle, std::string* out);
  Status OpenImages();

  std::vector<Column> layout_;
  FoldScope scope_ = FoldScope::kWhole;
  Lsn max_lsn_ = 0;
  std::vector<LoggedImage> logged_images_;
  std::vector<RowImage> images_;
  std::vector<SlotVersion> versions_;
  std::vector<StoredVersion> of_slot_;
  VersionFold fold_;
};

}  // namespace omendb
