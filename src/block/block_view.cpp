#include <algorithm>
#include <cstring>

#include "base/pure.h"
#include "block/bit_packing.h"
#include "block/block_value.h"
#include "block/section.h"

namespace omendb {

Status BlockView::Parse(Slice value, bool verify, BlockView* view) {
  view->Clear();
  Status status = view->AddValue(value, verify);
  if (!status.ok()) view->Clear();
  return status;
}

void BlockView::Clear() {
  images_.clear();
  deltas_.clear();
  std::memset(slots_, 0, sizeof(slots_));
  std::memset(delta_slots_, 0, sizeof(delta_slots_));
  max_lsn_ = folded_lsn_ = 0;
  has_folded_ = false;
}

Status BlockView::AddValue(Slice value, bool verify) {
  if (reinterpret_cast<uintptr_t>(value.data()) % 8 != 0) {
    return Status::Make(StatusCode::kInvalidArgument, "block value is not 8-aligned");
  }
  while (!value.empty()) {
    SectionHeader header;
    OMENDB_RETURN_IF_ERROR(ReadSection(value, verify, &header));
    const Slice section = value.substr(0, header.size);
    value.remove_prefix(header.size);
    max_lsn_ = std::max(max_lsn_, header.lsn);
    const bool folded = (header.flags & kSectionFolded) != 0;
    if (folded) {
      folded_lsn_ = std::max(folded_lsn_, header.lsn);
      has_folded_ = true;
    }
    const bool skips = !folded && has_folded_;
    if (skips && header.lsn <= folded_lsn_) continue;
    if (header.type == kSectionDeltas) {
      OMENDB_RETURN_IF_ERROR(AddDeltas(section, skips));
      continue;
    }
    Image image = {};
    image.skips = skips;
    image.skip_upto = folded_lsn_;
    OMENDB_RETURN_IF_ERROR(verify ? RowImage::Open(section, &image.image)
                                  : RowImage::OpenTrusted(section, &image.image));
    bool whole = true, any = image.image.rows() > 0;
    for (uint32_t i = 0; i < image.image.stamps(); i++) {
      const Lsn lsn = image.image.stamp_at(i).lsn;
      max_lsn_ = std::max(max_lsn_, lsn);
      if (image.Skips(lsn)) whole = false;
    }
    for (uint32_t word = 0; whole && word < kMapWords; word++) {
      slots_[word] |= image.image.slots()[word];
    }
    if (!whole) {
      any = false;
      for (uint32_t row = 0; row < image.image.rows(); row++) {
        if (image.Skips(image.image.stamp(row).lsn)) continue;
        SetBit(slots_, image.image.SlotOf(row));
        any = true;
      }
    }
    if (any) images_.push_back(image);
  }
  return Status::Ok();
}

const RowImage* BlockView::plain_image() const {
  if (images_.size() != 1 || !deltas_.empty() || images_[0].skips) return nullptr;
  return images_[0].image.all_frozen() ? &images_[0].image : nullptr;
}

namespace {

// Of two copies of a version with one LSN: a fold gives a confirmed speculative insert the LSN of
// its confirm, and a copy of the confirm alone must not hide it.
bool Replaces(Lsn lsn, VersionKind kind, bool found, const VersionMeta& current) {
  if (!found || lsn != current.lsn) return !found || lsn > current.lsn;
  return CarriesRow(kind) && !CarriesRow(current.kind);
}

}  // namespace

bool BlockView::NextVersion(SlotNo slot, Lsn before, StoredVersion* version) const {
  if (!TestBit(slots_, slot)) return false;
  bool found = false;
  if (TestBit(delta_slots_, slot)) {
    // From the newest section on, so that of several copies of a version the latest counts.
    for (auto deltas = deltas_.rbegin(); deltas != deltas_.rend(); ++deltas) {
      const DeltaEntry* const end = deltas->entries + deltas->count;
      const DeltaEntry* entry =
          std::partition_point(deltas->entries, end, [&](const DeltaEntry& e) {
            return e.slot < slot || (e.slot == slot && e.lsn >= before);
          });
      if (entry == end || entry->slot != slot || deltas->Skips(entry->lsn)) continue;
      if (!Replaces(entry->lsn, entry->kind, found, version->meta)) continue;
      found = true;
      version->meta = entry->meta();
      version->image = nullptr;
      version->row = 0;
      version->payload = Slice(deltas->payloads + entry->payload, entry->size);
      version->columns = deltas->columns;
    }
  }
  for (auto image = images_.rbegin(); image != images_.rend(); ++image) {
    if (!image->image.Contains(slot)) continue;
    const uint32_t row = image->image.RowOf(slot);
    const RowStamp stamp = image->image.stamp(row);
    if (stamp.lsn >= before || image->Skips(stamp.lsn)) continue;
    if (!Replaces(stamp.lsn, stamp.kind, found, version->meta)) continue;
    found = true;
    version->meta = {stamp.xid, stamp.lsn, stamp.cid, stamp.kind, stamp.flags};
    version->image = &image->image;
    version->row = row;
    version->payload = Slice();
    version->columns = Columns();
  }
  return found;
}

Status BlockView::Layout(std::vector<Column>* layout) const {
  layout->clear();
  auto merge = [layout](uint32_t count, auto column_at) {
    for (uint32_t i = 0; i < count; i++) {
      const Column column = column_at(i);
      if (i == layout->size()) {
        layout->push_back(column);
      } else if (!ColumnsAgree((*layout)[i], column)) {
        return DamagedBlock("its sections disagree about column %u", i + 1);
      }
    }
    return Status::Ok();
  };
  for (const Image& image : images_) {
    OMENDB_RETURN_IF_ERROR(
        merge(image.image.natts(), [&](uint32_t i) { return image.image.column(i); }));
  }
  for (const Deltas& deltas : deltas_) {
    OMENDB_RETURN_IF_ERROR(merge(static_cast<uint32_t>(deltas.columns.size()),
                                 [&](uint32_t i) { return deltas.columns[i]; }));
  }
  return Status::Ok();
}

}  // namespace omendb
