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

bool LeafView::ParseInPieces(LeafPieces* pieces, size_t size, bool verify, char* room,
                             LeafView* view) {
  view->Clear();
  LeafSection section;
  if (!LeafSection::OpenInPieces(pieces, size, verify, room, &section) || !section.is_base()) {
    return false;
  }
  view->sections_.push_back(section);
  return view->Finish().ok();
}

void LeafView::Clear() {
  sections_.clear();
  used_ = 0;
  has_base_ = false;
  lsn_ = 0;
  current_ = nullptr;
  order_.clear();
  moved_ = 0;
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
  Start<true>();
}

void LeafView::Last() {
  for (size_t i = 0; i < used_; i++) cursors_[i].place = cursors_[i].section.count();
  Start<false>();
}

void LeafView::Seek(Slice key, TidNumber tid) {
  SetPlaces(key, tid);
  Start<true>();
}

void LeafView::SeekBefore(Slice key, TidNumber tid) {
  SetPlaces(key, tid);
  Start<false>();
}

void LeafView::Next() { forward_ ? Find<true>() : Turn<true>(); }

void LeafView::Prev() { forward_ ? Turn<false>() : Find<false>(); }

void LeafView::SetPlaces(Slice key, TidNumber tid) {
  for (size_t i = 0; i < used_; i++) {
    cursors_[i].place = cursors_[i].section.LowerBound(key, tid);
  }
}

bool LeafView::LoadNext(Cursor* cursor, bool forward) {
  if (forward ? cursor->place >= cursor->section.count() : cursor->place == 0) return false;
  const uint32_t index = forward ? cursor->place : cursor->place - 1;
  if (!cursor->section.Fetch(index)) return false;
  if (cursor->loaded == index) return true;
  cursor->loaded = index;
  cursor->tid = cursor->section.tid(index);
  cursor->section.CopyKey(index, &cursor->hint, &cursor->key);
  cursor->head = KeyHead(cursor->key);
  return true;
}

void LeafView::TakeRun(EntryList* entries) {
  if (current_ == nullptr || current_ != &cursors_[used_ - 1] || !has_base_ || moved_ > 1) return;
  const LeafSection& section = current_->section;
  const Cursor* const next = order_.size() > 1 ? order_[1] : nullptr;
  const uint32_t end = next != nullptr ? section.LowerBound(next->key, next->tid) : section.count();
  if (end <= current_->place) return;
  entries->AddRun(section, current_->place, end);
  current_->place = end;
}

int LeafView::Compare(const Cursor& one, const Cursor& other) {
  if (one.head != other.head) return one.head < other.head ? -1 : 1;
  return CompareEntries(one.key, one.tid, other.key, other.tid);
}

// Puts a cursor at its place behind `at`, where there is room for it, among those up to `end`.
// False if it has nothing to come.
template <bool kForward>
bool LeafView::Insert(Cursor* cursor, size_t at, size_t end) {
  if (!LoadNext(cursor, kForward)) return false;
  for (; at + 1 < end; at++) {
    Cursor* const next = order_[at + 1];
    const int order = kForward ? Compare(*next, *cursor) : Compare(*cursor, *next);
    if (order > 0 || (order == 0 && next > cursor)) break;
    order_[at] = next;
  }
  order_[at] = cursor;
  return true;
}

template <bool kForward>
void LeafView::Start() {
  order_.resize(used_);
  size_t first = used_;  // of those in order
  for (size_t i = used_; i-- > 0;) {
    if (Insert<kForward>(&cursors_[i], first - 1, used_)) first--;
  }
  order_.erase(order_.begin(), order_.begin() + static_cast<ptrdiff_t>(first));
  moved_ = 0;
  Find<kForward>();
}

// Of the sections that hold the nearest entry to come the newest has the word; all move past it.
template <bool kForward>
void LeafView::Find() {
  forward_ = kForward;
  for (;;) {
    if (order_.size() == 1) {
      if (moved_ == 1 && !LoadNext(order_[0], kForward)) order_.clear();
      moved_ = 0;
    }
    for (; moved_ > 0; moved_--) {
      const size_t at = moved_ - 1;
      if (Insert<kForward>(order_[at], at, order_.size())) continue;
      order_.erase(order_.begin() + static_cast<ptrdiff_t>(at));
    }
    current_ = nullptr;
    if (order_.empty()) return;
    Cursor* const found = order_[0];
    const uint32_t index = found->loaded;
    do {
      order_[moved_++]->place += kForward ? 1 : -1;
    } while (moved_ < order_.size() && Compare(*order_[moved_], *found) == 0);
    if (found->section.removed(index)) continue;
    current_ = found;
    entry_ = {found->key, found->tid, found->section.payload(index), false};
    return;
  }
}

// The places are on one side of the current entry: moves them to the other.
template <bool kForward>
void LeafView::Turn() {
  const Cursor* const current = current_;
  for (size_t i = 0; i < used_; i++) {
    Cursor* const cursor = &cursors_[i];
    if (!LoadNext(cursor, kForward) || Compare(*cursor, *current) != 0) continue;
    cursor->place += kForward ? 1 : -1;
  }
  Start<kForward>();
}

}  // namespace omendb
