#include <algorithm>

#include "base/pure.h"
#include "block/bit_packing.h"
#include "block/fold.h"
#include "block/section.h"

namespace omendb {

void FlushFold::Start(Columns layout, FoldScope scope) {
  layout_.assign(layout.begin(), layout.end());
  scope_ = scope;
  max_lsn_ = 0;
  logged_images_.clear();
  versions_.clear();
}

void FlushFold::AddImage(const VersionMeta& meta, Slice section) {
  logged_images_.push_back({meta, section});
  max_lsn_ = std::max(max_lsn_, meta.lsn);
}

void FlushFold::AddVersion(SlotNo slot, const VersionMeta& meta, Slice payload) {
  StoredVersion version;
  version.meta = meta;
  version.payload = payload;
  version.columns = layout_;
  versions_.push_back({slot, version});
  max_lsn_ = std::max(max_lsn_, meta.lsn);
}

Status FlushFold::OpenImages() {
  images_.clear();
  images_.reserve(logged_images_.size());
  for (const LoggedImage& logged : logged_images_) {
    SectionHeader header;
    OMENDB_RETURN_IF_ERROR(ReadSection(logged.section, true, &header));
    RowImage image;
    OMENDB_RETURN_IF_ERROR(RowImage::Open(logged.section, &image));
    if (image.natts() > layout_.size()) {
      return DamagedBlock("row image with %u columns in a table of %zu", image.natts(),
                          layout_.size());
    }
    for (uint32_t i = 0; i < image.natts(); i++) {
      if (!ColumnsAgree(image.column(i), layout_[i])) {
        return DamagedBlock("column %u of a row image is not as in its table", i + 1);
      }
    }
    images_.push_back(image);
  }
  return Status::Ok();
}

// A batch that nobody touched since is stored as it was logged, but for its stamp.
Status FlushFold::FinishImage(const TransactionOracle& oracle, std::string* out) {
  const LoggedImage& logged = logged_images_[0];
  const VersionMeta& meta = logged.meta;
  fold_.Start(scope_, &oracle);
  const Verdict verdict = fold_.Judge(meta);
  if (verdict == Verdict::kAborted) return Status::Ok();
  const bool committed = verdict == Verdict::kCommitted;
  const bool whole = scope_ == FoldScope::kWhole;
  RowStamp stamp = {meta.xid, meta.lsn, meta.cid, VersionKind::kInsert,
                    committed ? kVersionCommitted : uint8_t{0}};
  if (whole && committed && fold_.SeenByAll(meta)) stamp = kFrozenStamp;
  return RestampImage(logged.section, stamp, MakerOf(meta.xid), meta.lsn,
                      whole ? kSectionFolded : 0, out);
}

Status FlushFold::Finish(const TransactionOracle& oracle, std::string* out) {
  OMENDB_RETURN_IF_ERROR(OpenImages());
  // Makers stay only where the rows stay frozen: in a new block.
  if (images_.size() == 1 && versions_.empty() && images_[0].rows() > 0 &&
      images_[0].stamps() == 1 && !(images_[0].has_makers() && scope_ != FoldScope::kWhole)) {
    return FinishImage(oracle, out);
  }
  for (size_t i = 0; i < images_.size(); i++) {
    StoredVersion version;
    version.meta = logged_images_[i].meta;
    version.image = &images_[i];
    for (version.row = 0; version.row < images_[i].rows(); version.row++) {
      versions_.push_back({images_[i].SlotOf(version.row), version});
    }
  }
  std::sort(versions_.begin(), versions_.end(), [](const SlotVersion& a, const SlotVersion& b) {
    return a.slot != b.slot ? a.slot < b.slot : a.version.meta.lsn > b.version.meta.lsn;
  });
  fold_.Start(scope_, &oracle);
  for (size_t i = 0; i < versions_.size();) {
    const SlotNo slot = versions_[i].slot;
    of_slot_.clear();
    for (; i < versions_.size() && versions_[i].slot == slot; i++) {
      const StoredVersion& version = versions_[i].version;
      if (!of_slot_.empty() && of_slot_.back().meta.lsn == version.meta.lsn) continue;
      of_slot_.push_back(version);
    }
    OMENDB_RETURN_IF_ERROR(fold_.AddSlot(slot, of_slot_));
  }
  return fold_.Finish(max_lsn_, layout_, out);
}

}  // namespace omendb
