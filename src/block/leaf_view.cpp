#include <algorithm>

#include "base/index_position.h"
#include "block/index_leaf.h"
#include "block/section.h"
#include "base/pure.h"

namespace omendb {

Status LeafView::Parse(Slice value, bool verify, LeafView* view) {
  view->Clear();
  OMENDB_RETURN_IF_ERROR(view->AddValue(value, verify));
  return view->Finish();
}

void LeafView::Clear() {
  sections_.clear();
  used_ = 0;
  has_base_ = false;
  lsn_ = 0;
  current_ = nullptr;
}

Status LeafView::AddValue(Slice value, bool verify) {
  while (!value.empty()) {
    LeafSection section;
    OMENDB_RETURN_IF_ERROR(LeafSection::Open(value, verify, &section));
    sections_.push_back(section);
    value.remove_prefix(section.size());
  }
  return Status::Ok();
}

Status LeafView::Finish() {
  if (sections_.empty()) return DamagedLeaf("no section");
  size_t base = sections_.size();
  for (size_t i = 0; i < sections_.size(); i++) {
    lsn_ = std::max(lsn_, sections_[i].lsn());
    if (!sections_[i].is_base()) continue;
    if (base == sections_.size() || sections_[i].lsn() >= sections_[base].lsn()) base = i;
  }
  has_base_ = base < sections_.size();
  // Newest first; they stand oldest first already but for what was applied twice.
  const auto use = [&](const LeafSection& section) {
    if (used_ == cursors_.size()) cursors_.emplace_back();
    cursors_[used_++].section = section;
  };
  for (size_t i = sections_.size(); i-- > 0;) {
    const LeafSection& section = sections_[i];
    if (section.is_base() || (has_base_ && section.lsn() <= sections_[base].lsn())) continue;
    use(section);
    for (size_t j = used_ - 1; j > 0 && cursors_[j - 1].section.lsn() < section.lsn(); j--) {
      std::swap(cursors_[j - 1].section, cursors_[j].section);
    }
  }
  if (has_base_) use(sections_[base]);
  for (size_t i = 0; i < used_; i++) {
    cursors_[i].place = 0;
    cursors_[i].loaded = ~0u;
    cursors_[i].hint = {};
  }
  return Status::Ok();
}

bool LeafView::Covers(Slice key, TidNumber tid) const {
  return ComparePosition(key, tid, low()) >= 0 &&
         (high().empty() || ComparePosition(key, tid, high()) < 0);
}

uint64_t LeafView::delta_count() const {
  uint64_t count = 0;
  for (size_t i = 0; i < deltas(); i++) count += cursors_[i].section.count();
  return count;
}

void LeafView::First() {
  for (size_t i = 0; i < used_; i++) cursors_[i].place = 0;
  Find<true>();
}

void LeafView::Last() {
  for (size_t i = 0; i < used_; i++) cursors_[i].place = cursors_[i].section.count();
  Find<false>();
}

void LeafView::Seek(Slice key, TidNumber tid) {
  SetPlaces(key, tid);
  Find<true>();
}

void LeafView::SeekBefore(Slice key, TidNumber tid) {
  SetPlaces(key, tid);
  Find<false>();
}

void LeafView::Next() {
  if (!forward_) TurnTo(true);
  Find<true>();
}

void LeafView::Prev() {
  if (forward_) TurnTo(false);
  Find<false>();
}

void LeafView::SetPlaces(Slice key, TidNumber tid) {
  for (size_t i = 0; i < used_; i++) {
    cursors_[i].place = cursors_[i].section.LowerBound(key, tid);
  }
}

bool LeafView::LoadNext(Cursor* cursor, bool forward) {
  if (forward ? cursor->place >= cursor->section.count() : cursor->place == 0) return false;
  const uint32_t index = forward ? cursor->place : cursor->place - 1;
  if (cursor->loaded == index) return true;
  cursor->loaded = index;
  cursor->tid = cursor->section.tid(index);
  cursor->section.CopyKey(index, &cursor->hint, &cursor->key);
  return true;
}

void LeafView::Take(Cursor* cursor, uint32_t index) {
  current_ = cursor;
  entry_ = {cursor->key, cursor->tid, cursor->section.payload(index), false};
}

// Of the sections that hold the nearest entry to come the newest has the word; all move past it.
template <bool kForward>
void LeafView::Find() {
  forward_ = kForward;
  for (;;) {
    current_ = nullptr;
    Cursor* found = nullptr;
    for (size_t i = 0; i < used_; i++) {
      Cursor* const cursor = &cursors_[i];
      cursor->is_next = false;
      if (!LoadNext(cursor, kForward)) continue;
      int order = -1;
      if (found != nullptr) {
        const Cursor &one = kForward ? *cursor : *found, &other = kForward ? *found : *cursor;
        order = CompareEntries(one.key, one.tid, other.key, other.tid);
      }
      if (order < 0) {
        for (size_t j = 0; j < i; j++) cursors_[j].is_next = false;
        found = cursor;
      }
      cursor->is_next = order <= 0;
    }
    if (found == nullptr) return;
    const uint32_t index = found->loaded;
    for (size_t i = 0; i < used_; i++) {
      if (cursors_[i].is_next) cursors_[i].place += kForward ? 1 : -1;
    }
    if (!found->section.removed(index)) return Take(found, index);
  }
}

// The places are on one side of the current entry; moves them to the other.
void LeafView::TurnTo(bool forward) {
  for (size_t i = 0; i < used_; i++) {
    Cursor* const cursor = &cursors_[i];
    if (!LoadNext(cursor, forward)) continue;
    if (CompareEntries(cursor->key, cursor->tid, entry_.key, entry_.tid) != 0) continue;
    cursor->place += forward ? 1 : -1;
  }
}

}  // namespace omendb
