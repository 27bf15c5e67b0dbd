#include "block/version_fold.h"

#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/pure.h"
#include "block/packed_row.h"
#include "block/section.h"

namespace omendb {
namespace {

// In a partial fold fewer rows than this stay deltas: an image has a directory to pay for.
constexpr uint32_t kFewestImageRows = 8;

// Raw bytes after which an image is closed and another one opened; sections hold 4 GB.
constexpr size_t kMaxImageRawSize = size_t{1} << 30;

bool IsSpeculativeInsert(const VersionMeta& meta) {
  return meta.kind == VersionKind::kInsert && (meta.flags & kVersionSpeculative);
}

}  // namespace

void VersionFold::Start(FoldScope scope, const TransactionOracle* oracle) {
  scope_ = scope;
  oracle_ = oracle;
  horizon_ = oracle->Horizon();
  kept_.clear();
  image_rows_ = 0;
}

Verdict VersionFold::Judge(const VersionMeta& meta) const {
  if (meta.xid <= kFrozenXid || (meta.flags & kVersionCommitted)) return Verdict::kCommitted;
  if (meta.flags & kVersionAborted) return Verdict::kAborted;
  return oracle_->Resolve(meta.xid);
}

Status VersionFold::AddSlot(SlotNo slot, std::span<const StoredVersion> versions) {
  const size_t first = kept_.size();
  FoldSlot(slot, versions);
  return FinishSlot(first);
}

void VersionFold::FoldSlot(SlotNo slot, std::span<const StoredVersion> versions) {
  const bool whole = scope_ == FoldScope::kWhole;
  const size_t first = kept_.size();
  markers_.clear();
  bool ended = false;
  for (const StoredVersion& version : versions) {
    Kept kept = {version, slot, false, 0, kUnknownMaker};
    VersionMeta& meta = kept.version.meta;
    const Verdict verdict = Judge(meta);
    if (verdict == Verdict::kAborted) continue;
    if (meta.kind == VersionKind::kLock) {
      if (verdict == Verdict::kUnknown) kept_.push_back(kept);
      continue;
    }
    if (ended) continue;
    if (verdict == Verdict::kCommitted) meta.flags |= kVersionCommitted;
    const bool seen_by_all = verdict == Verdict::kCommitted && SeenByAll(meta);
    switch (meta.kind) {
      case VersionKind::kSpeculativeConfirm:
      case VersionKind::kSpeculativeAbort:
        markers_.push_back({meta, kept_.size()});
        if (!whole) kept_.push_back(kept);
        break;
      case VersionKind::kDelete:
      case VersionKind::kMove:
        if (!seen_by_all || !whole) kept_.push_back(kept);
        ended = seen_by_all;
        break;
      default: {
        if (!IsSpeculativeInsert(meta)) {
          kept_.push_back(kept);
          ended = seen_by_all;
          break;
        }
        const auto marker = std::find_if(markers_.begin(), markers_.end(),
                                         [&](const Marker& m) { return m.meta.xid == meta.xid; });
        if (marker == markers_.end()) {
          // Below the plain insert that another fold made of it, it is a copy that came back.
          const bool is_copy = std::any_of(
              kept_.begin() + static_cast<ptrdiff_t>(first), kept_.end(), [&](const Kept& k) {
                return k.version.meta.kind == VersionKind::kInsert &&
                       k.version.meta.xid == meta.xid && !IsSpeculativeInsert(k.version.meta);
              });
          if (!is_copy) kept_.push_back(kept);
          break;
        }
        if (marker->meta.kind == VersionKind::kSpeculativeAbort) break;
        meta.lsn = marker->meta.lsn;
        meta.cid = marker->meta.cid;
        meta.flags &= static_cast<uint8_t>(~kVersionSpeculative);
        if (whole) {
          kept_.insert(kept_.begin() + static_cast<ptrdiff_t>(marker->place), kept);
        } else {
          kept_[marker->place] = kept;
        }
        ended = seen_by_all;
        break;
      }
    }
  }
}

// Decides which row of the slot goes into an image: the oldest, if nothing but locks on a frozen
// row is older. So an image row is older than every delta of its slot.
Status VersionFold::FinishSlot(size_t first) {
  for (size_t i = first; i < kept_.size(); i++) {
    Kept& kept = kept_[i];
    VersionMeta& meta = kept.version.meta;
    if (!CarriesRow(meta.kind)) continue;
    if (kept.version.image != nullptr) {
      kept.natts = kept.version.image->natts();
    } else {
      Slice payload = kept.version.payload;
      uint64_t natts;
      if (!TakeVarint(&payload, &natts) || natts > kept.version.columns.size()) {
        return DamagedBlock("damaged row in slot %u", kept.slot);
      }
      kept.natts = static_cast<uint32_t>(natts);
    }
    if (IsSpeculativeInsert(meta)) continue;
    if (meta.xid != 0) kept.maker = MakerOf(meta.xid);
    if (kept.maker == kUnknownMaker && kept.version.image != nullptr) {
      kept.maker = kept.version.image->maker(kept.version.row);
    }
    const bool last = i + 1 == kept_.size();
    if (scope_ == FoldScope::kPartial) {
      kept.in_image = last && meta.kind == VersionKind::kInsert;
    } else if ((meta.flags & kVersionCommitted) && SeenByAll(meta)) {
      kept.in_image = true;
      meta = {0, 0, 0, VersionKind::kInsert, kVersionCommitted};
    } else {
      kept.in_image = last;
    }
    image_rows_ += kept.in_image;
  }
  return Status::Ok();
}

Status VersionFold::Finish(Lsn lsn, Columns layout, std::string* out) {
  if (scope_ == FoldScope::kPartial && image_rows_ < kFewestImageRows) {
    for (Kept& kept : kept_) kept.in_image = false;
    image_rows_ = 0;
  }
  OMENDB_RETURN_IF_ERROR(WriteImages(lsn, layout, out));
  return WriteDeltas(lsn, layout, out);
}

// Into values_ and nulls_.
Status VersionFold::DecodeRow(const Kept& kept) {
  if (values_.size() < kept.natts) {
    values_.resize(kept.natts);
    nulls_.resize(kept.natts);
  }
  const StoredVersion& version = kept.version;
  if (version.image != nullptr) {
    version.image->Decode(version.row, 0, kept.natts, values_.data(), nulls());
    return Status::Ok();
  }
  const size_t scratch = PackedRowReader::ScratchSize(version.payload, kept.natts) / 8 + 1;
  if (scratch_.size() < scratch) scratch_.resize(scratch);
  PackedRowReader reader;
  OMENDB_RETURN_IF_ERROR(PackedRowReader::Open(version.payload, version.columns, &reader));
  return reader.DecodeUpTo(kept.natts, values_.data(), nulls(),
                           reinterpret_cast<char*>(scratch_.data()));
}

Status VersionFold::WriteImages(Lsn lsn, Columns layout, std::string* out) {
  const uint16_t flags = scope_ == FoldScope::kWhole ? kSectionFolded : 0;
  uint32_t written = 0;
  for (int64_t natts = -1; written < image_rows_;) {
    // The next attribute count there is: mostly there is one.
    int64_t next = kMaxColumns + 1;
    for (const Kept& kept : kept_) {
      if (kept.in_image && kept.natts > natts) next = std::min<int64_t>(next, kept.natts);
    }
    natts = next;
    image_builder_.Start(layout, static_cast<uint32_t>(natts));
    Lsn newest = 0;
    for (const Kept& kept : kept_) {
      if (!kept.in_image || kept.natts != natts) continue;
      if (image_builder_.raw_size() > kMaxImageRawSize) {
        image_builder_.Finish(flags ? lsn : newest, flags, out);
        image_builder_.Start(layout, static_cast<uint32_t>(natts));
      }
      OMENDB_RETURN_IF_ERROR(DecodeRow(kept));
      const VersionMeta& meta = kept.version.meta;
      newest = std::max(newest, meta.lsn);
      const RowStamp stamp = {meta.xid, meta.lsn, meta.cid, meta.kind,
                              static_cast<uint8_t>(meta.flags & kVersionCommitted)};
      image_builder_.Add(kept.slot, stamp, values_.data(), nulls(), kept.maker);
      written++;
    }
    image_builder_.Finish(flags ? lsn : newest, flags, out);
  }
  return Status::Ok();
}

Status VersionFold::WriteDeltas(Lsn lsn, Columns layout, std::string* out) {
  uint32_t natts = 0;
  for (const Kept& kept : kept_) {
    if (!kept.in_image) natts = std::max(natts, kept.natts);
  }
  deltas_builder_.Start(layout.first(natts));
  Lsn newest = 0;
  for (const Kept& kept : kept_) {
    if (kept.in_image) continue;
    Slice payload = kept.version.payload;
    if (kept.version.image != nullptr) {
      OMENDB_RETURN_IF_ERROR(DecodeRow(kept));
      packed_.resize(PackedRowSize(layout, values_.data(), nulls(), kept.natts));
      PackRow(layout, values_.data(), nulls(), kept.natts, packed_.data());
      payload = packed_;
    }
    if (deltas_builder_.size() + payload.size() > kMaxSectionSize - 4096) {
      return Status::LimitExceeded("row block is too large",
                                   "The changes to the 256 rows of a block exceed 4 GB.");
    }
    newest = std::max(newest, kept.version.meta.lsn);
    deltas_builder_.Add(kept.slot, kept.version.meta, payload);
  }
  if (deltas_builder_.empty()) return Status::Ok();
  const bool whole = scope_ == FoldScope::kWhole;
  deltas_builder_.Finish(whole ? lsn : newest, whole ? kSectionFolded : 0, out);
  return Status::Ok();
}

}  // namespace omendb
