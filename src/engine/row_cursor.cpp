#include "engine/row_cursor.h"

#include "engine/session.h"

namespace omendb {

bool BufferedImageHas(const BufferedImage* image, SlotNo slot) {
  RowImage parsed;
  return RowImage::Open(image->section(), &parsed).ok() && parsed.Contains(slot);
}

bool RowCursor::NextBuffered(RowVersion* version) {
  for (;;) {
    if (buffered_ != nullptr) {
      BufferedVersion* found = buffered_;
      buffered_ = view_->segments[segment_].Older(found);
      *version = RowVersion{};
      version->meta = found->meta();
      version->hints = &found->flags;
      version->buffered = found;
      version->payload = found->payload();
      before_ = found->lsn;
      return true;
    }
    while (image_ != nullptr) {
      BufferedImage* found = image_;
      image_ = view_->segments[segment_].Older(found);
      if (!BufferedImageHas(found, slot_)) continue;
      image_ = nullptr;  // a slot is inserted once
      *version = RowVersion{};
      version->meta = found->meta();
      version->hints = &found->flags;
      version->buffered_image = found;
      before_ = found->lsn;
      return true;
    }
    if (++segment_ >= view_->count) return false;
    const Segment::BlockEntry* entry = view_->segments[segment_].Find(storage_, block_);
    if (entry == nullptr) continue;
    buffered_ = view_->segments[segment_].Newest(entry, slot_);
    image_ = view_->segments[segment_].NewestImage(entry);
  }
}

bool RowCursor::NextStored(RowVersion* version) {
  if (!stored_known_) {
    stored_ = PinStoredBlock(*view_, relation_, storage_, block_);
    if (stored_ != nullptr) AddTransientPin(stored_);
    stored_known_ = true;
  }
  StoredVersion found;
  if (stored_ == nullptr || before_ == 0) return false;
  if (!ViewOf(stored_).NextVersion(slot_, before_, &found)) return false;
  *version = RowVersion{};
  version->meta = found.meta;
  version->holder = stored_;
  version->image = found.image;
  version->row = found.row;
  version->payload = found.payload;
  before_ = found.meta.lsn;
  return true;
}

bool RowCursor::Next(RowVersion* version) {
  if (segment_ < view_->count && NextBuffered(version)) return true;
  return NextStored(version);
}

void RowCursor::Close() {
  if (stored_ != nullptr && !stored_borrowed_) DropTransientPin(stored_);
  stored_ = nullptr;
  stored_known_ = true;
  segment_ = view_->count;
}

Lsn NewestBufferedLsn(const ReadView& view, StorageId storage, BlockNo block, SlotNo slot) {
  for (int i = 0; i < view.count; i++) {
    const Segment::BlockEntry* entry = view.segments[i].Find(storage, block);
    if (entry == nullptr) continue;
    if (const BufferedVersion* newest = view.segments[i].Newest(entry, slot)) return newest->lsn;
    for (BufferedImage* image = view.segments[i].NewestImage(entry); image != nullptr;
         image = view.segments[i].Older(image)) {
      if (BufferedImageHas(image, slot)) return image->lsn;
    }
  }
  return 0;
}

BlockState LookAtBlock(StorageId storage, BlockNo block) {
  ReadView view;
  ReadPin(&view);
  BlockState state{0, view.generation};
  for (int i = 0; i < view.count; i++) {
    const Segment& segment = view.segments[i];
    const Segment::BlockEntry* entry = segment.Find(storage, block);
    if (entry == nullptr) continue;
    if (const BufferedImage* image = segment.NewestImage(entry)) {
      state.newest_buffered = Max(state.newest_buffered, image->lsn);
    }
    uint64_t slots[kSlotsPerBlock / 64];
    segment.VersionSlots(entry, slots);
    for (uint32_t slot = 0; slot < kSlotsPerBlock; slot++) {
      if (((slots[slot / 64] >> (slot % 64)) & 1) == 0) continue;
      const BufferedVersion* newest = segment.Newest(entry, static_cast<SlotNo>(slot));
      if (newest != nullptr) state.newest_buffered = Max(state.newest_buffered, newest->lsn);
    }
  }
  ReadUnpin();
  return state;
}

}  // namespace omendb
