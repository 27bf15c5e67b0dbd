#include "store/index_flush.h"

#include "base/index_position.h"
#include "base/pure.h"

namespace omendb {
namespace {

// From this part of a leaf on, by entries or bytes, a change is as cheap to write as the leaf.
constexpr uint64_t kRewriteFraction = 3;
// A leaf of so many entries and bytes is merged with its neighbour.
constexpr size_t kFewEntries = kMaxLeafCount / 8;
constexpr size_t kFewBytes = kMaxLeafBytes / 8;

}  // namespace

Status IndexFlush::Write(StorageId storage, IndexChanges* entries, LeafMap* leaves) {
  leaves_ = leaves;
  while (entries->Valid()) {
    LeafPlace place;
    bool exists;
    OMENDB_RETURN_IF_ERROR(
        FindLeaf(storage, Position(entries->entry().key, entries->entry().tid), &place, &exists));
    OMENDB_RETURN_IF_ERROR(WriteLeaf(storage, std::move(place), exists, entries));
  }
  return Status::Ok();
}

// value_ into view_, and what it says of the leaf.
void IndexFlush::ParseLeaf(LeafPlace* place) {
  place->damaged = !LeafView::Parse(value_, true, &view_).ok() || !view_.has_base();
  if (place->damaged) return;
  place->info.count = view_.base_count() + static_cast<uint32_t>(view_.delta_count());
  place->info.deltas = static_cast<uint8_t>(view_.deltas());
}

Status IndexFlush::FindLeaf(StorageId storage, Slice position, LeafPlace* place, bool* exists) {
  *exists = true;
  if (leaves_->Find(position, place)) return Status::Ok();
  if (iterated_ != storage) {
    OMENDB_RETURN_IF_ERROR(store_->NewLeafIterator(storage, &iterator_));
    iterated_ = storage;
  }
  iterator_->Seek(position);
  OMENDB_RETURN_IF_ERROR(iterator_->status());
  *exists = iterator_->Valid();
  *place = LeafPlace{};
  if (!*exists) return Status::Ok();
  value_.assign(iterator_->value());
  place->low = iterator_->low();
  ParseLeaf(place);
  iterator_->Next();
  OMENDB_RETURN_IF_ERROR(iterator_->status());
  if (iterator_->Valid()) place->high = iterator_->low();
  if (place->damaged) return Status::Ok();
  Slice high = place->high;
  leaves_->Learn(place->low, iterator_->Valid() ? &high : nullptr, &view_);
  return Status::Ok();
}

// The changes of the leaf, as an operand in delta_. more: there are still others.
Status IndexFlush::TakeChanges(const LeafPlace& place, IndexChanges* entries, bool* more) {
  changes_.Start();
  hashes_.clear();
  *more = false;
  for (; entries->Valid(); entries->Next()) {
    const IndexEntry& entry = entries->entry();
    if (!place.high.empty() && ComparePosition(entry.key, entry.tid, place.high) >= 0) break;
    if (changes_.count() == options_.changes_at_once) {
      *more = true;
      break;
    }
    if (changes_.count() == 0) first_change_ = Position(entry.key, entry.tid);
    changes_.Add(entry);
    if (entry.removed) continue;
    hashes_.push_back(HashKey(entry.key));
    leaves_->PrepareMerge(place, hashes_.back());
  }
  delta_.clear();
  return changes_.Finish(generation_, &delta_);
}

// Whether what was taken may come to a leaf like this as an operand.
bool IndexFlush::FitsAsOperand(const LeafInfo& info) const {
  const uint64_t changed = changes_.count();
  return info.deltas < kMostDeltas && info.count + changed <= kMaxLeafCount &&
         changed * kRewriteFraction <= info.count &&
         delta_.size() * kRewriteFraction <= kMaxLeafBytes;
}

// A leaf that is known, into value_, with what is in it now.
Status IndexFlush::ReadLeaf(StorageId storage, LeafPlace* place) {
  const Status read = store_->GetLeaf(storage, place->low, &value_);
  // If its key is damaged there seems to be none, or there are operands alone.
  place->damaged = read.code() == StatusCode::kNotFound;
  if (place->damaged) return Status::Ok();
  OMENDB_RETURN_IF_ERROR(read);
  ParseLeaf(place);
  return Status::Ok();
}

// What was taken, and what else there is for the leaf.
Status IndexFlush::WriteDamaged(StorageId storage, const LeafPlace& place, IndexChanges* entries,
                                bool more) {
  std::string all = delta_;
  leaves_->NoteMerged(place, generation_, changes_.count(), hashes_);
  while (more) {
    OMENDB_RETURN_IF_ERROR(TakeChanges(place, entries, &more));
    all.append(delta_);
    leaves_->NoteMerged(place, generation_, changes_.count(), hashes_);
  }
  return flush_->MergeLeaf(storage, place.low, all);
}

Status IndexFlush::WriteLeaf(StorageId storage, LeafPlace place, bool exists,
                             IndexChanges* entries) {
  written_++;
  bool more;
  OMENDB_RETURN_IF_ERROR(TakeChanges(place, entries, &more));
  value_.clear();
  if (!exists) {
    // Older than the changes, also in the first flush of a store.
    OMENDB_RETURN_IF_ERROR(LeafBuilder(place.low, place.high).Finish(generation_ - 1, &value_));
    return Rewrite(storage, std::move(place), entries, more);
  }
  if (place.damaged || more || LeafMap::WantsNewFilter(place.info, changes_.count(), false) ||
      !FitsAsOperand(place.info)) {
    // What is known of a leaf may be older than its last fold.
    if (!place.damaged) OMENDB_RETURN_IF_ERROR(ReadLeaf(storage, &place));
    if (place.damaged) return WriteDamaged(storage, place, entries, more);
    if (more || !FitsAsOperand(place.info)) {
      return Rewrite(storage, std::move(place), entries, more);
    }
    if (LeafMap::WantsNewFilter(place.info, changes_.count(), true)) {
      leaves_->Learn(place.low, nullptr, &view_);
    }
  }
  OMENDB_RETURN_IF_ERROR(flush_->MergeLeaf(storage, place.low, delta_));
  leaves_->NoteMerged(place, generation_, changes_.count(), hashes_);
  return Status::Ok();
}

// Deletes what the leaf took in, up to where the next one begins: leaves are written in order.
Status IndexFlush::DeleteAbsorbed(StorageId storage, const Slice* before) {
  size_t done = 0;
  for (; done < absorbed_.size(); done++) {
    const std::string& low = absorbed_[done];
    if (before != nullptr && low > *before) break;
    if (before != nullptr && low == *before) continue;
    leaves_->NoteDeleted(low);
    OMENDB_RETURN_IF_ERROR(flush_->DeleteLeaf(storage, low));
  }
  absorbed_.erase(absorbed_.begin(), absorbed_.begin() + static_cast<ptrdiff_t>(done));
  return Status::Ok();
}

// A leaf with few entries left takes in the one behind it, if they fit together. *live: its
// entries; value_ has those of both, and the place both ranges, if *absorbed.
Status IndexFlush::Absorb(StorageId storage, Slice low, EntryList* live, LeafPlace* place,
                          bool* absorbed) {
  *absorbed = false;
  const size_t bytes = live->RawSize(0, live->size());
  if (live->size() > kFewEntries || bytes > kFewBytes || place->high.empty()) return Status::Ok();
  LeafPlace next;
  bool exists;
  OMENDB_RETURN_IF_ERROR(FindLeaf(storage, place->high, &next, &exists));
  if (!exists || next.damaged || next.low != place->high ||
      (!live->empty() && live->size() + next.info.count > kLeafTarget)) {
    return Status::Ok();
  }
  OMENDB_RETURN_IF_ERROR(ReadLeaf(storage, &next));
  EntryList behind;
  if (next.damaged || !FoldLeaf(&view_, &behind).ok()) return Status::Ok();
  if (!live->empty() && bytes + behind.RawSize(0, behind.size()) > kMaxLeafBytes) {
    return Status::Ok();
  }
  for (size_t i = 0; i < behind.size(); i++) live->Add(behind[i]);
  value_.clear();
  OMENDB_RETURN_IF_ERROR(
      EncodeLeaf(*live, 0, live->size(), low, next.high, generation_ - 1, &value_));
  absorbed_.push_back(std::move(next.low));
  place->high = std::move(next.high);
  *absorbed = true;
  return Status::Ok();
}

// The leaf that is in value_.
Status IndexFlush::Rewrite(StorageId storage, LeafPlace place, IndexChanges* entries, bool more) {
  std::string low = place.low;
  absorbed_.clear();
  bool begun = false;
  for (;;) {
    OMENDB_RETURN_IF_ERROR(LeafView::Parse(value_, true, &view_));
    view_.Last();
    const bool append =
        !view_.Valid() || ComparePosition(view_.entry().key, view_.entry().tid, first_change_) < 0;
    view_.Clear();
    OMENDB_RETURN_IF_ERROR(view_.AddValue(value_, false));
    if (changes_.count() > 0) OMENDB_RETURN_IF_ERROR(view_.AddValue(delta_, false));
    OMENDB_RETURN_IF_ERROR(view_.Finish());
    EntryList live;
    // As it came from the store it may hold what its bounds forbid.
    const Status folded = FoldLeaf(&view_, &live);
    if (!folded.ok() && !begun) return WriteDamaged(storage, place, entries, more);
    OMENDB_RETURN_IF_ERROR(folded);
    begun = true;
    if (!more) {
      bool absorbed;
      OMENDB_RETURN_IF_ERROR(Absorb(storage, low, &live, &place, &absorbed));
      if (absorbed) {
        OMENDB_RETURN_IF_ERROR(TakeChanges(place, entries, &more));
        continue;
      }
    }
    std::vector<NewLeaf> leaves;
    OMENDB_RETURN_IF_ERROR(SplitLeaf(live, low, place.high, generation_,
                                     append ? LeafGrowth::kAppend : LeafGrowth::kRandom, &leaves));
    // The leaf of the next change takes it in, and what lies behind it too. That one goes on, with
    // a number below that of the changes to come.
    size_t finished = leaves.size();
    if (more) {
      const IndexEntry& next = entries->entry();
      do {
        finished--;
      } while (finished > 0 && ComparePosition(next.key, next.tid, leaves[finished].low) < 0);
    }
    for (size_t i = 0; i < finished; i++) {
      const NewLeaf& leaf = leaves[i];
      Slice begin(leaf.low);
      OMENDB_RETURN_IF_ERROR(DeleteAbsorbed(storage, &begin));
      OMENDB_RETURN_IF_ERROR(flush_->PutLeaf(storage, leaf.low, leaf.value));
      const size_t end = i + 1 < leaves.size() ? leaves[i + 1].first : live.size();
      leaves_->NoteWritten(leaf.low, generation_, live, leaf.first, end);
    }
    if (!more) return DeleteAbsorbed(storage, nullptr);
    low = std::move(leaves[finished].low);
    value_.clear();
    OMENDB_RETURN_IF_ERROR(EncodeLeaf(live, leaves[finished].first, live.size(), low, place.high,
                                      generation_ - 1, &value_));
    OMENDB_RETURN_IF_ERROR(TakeChanges(place, entries, &more));
  }
}

}  // namespace omendb
