#include "block/leaf_fold.h"

#include <algorithm>
#include <cmath>

#include "base/crc32c.h"
#include "base/index_position.h"
#include "block/section.h"
#include "base/pure.h"

namespace omendb {
namespace {

// Parts of a full leaf that a leaf gets when it is split.
constexpr double kEvenFill = double{kLeafTarget} / kMaxLeafCount;
constexpr double kAppendFill = 15.0 / 16;
// One of two leaves gets up to this much more than half. Else all leaves of evenly spread keys are
// split at the same time, and then all are half empty.
constexpr double kMostUneven = 0.2;

// What part of a leaf an entry takes, by number or by bytes.
double ShareOf(const EntryList& entries, size_t index) {
  return std::max(1.0 / kMaxLeafCount,
                  static_cast<double>(entries.RawSize(index, index + 1)) / kMaxLeafBytes);
}

// From 0 to 1, the same for the same key every time.
double Chance(Slice key) { return static_cast<double>(Crc32c(0, key)) / UINT32_MAX; }

std::string Hex(Slice bytes) {
  static const char kDigits[] = "0123456789abcdef";
  std::string text = "\\x";
  for (char byte : bytes.substr(0, 64)) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

Status FoldLeaf(LeafView* view, EntryList* entries) {
  entries->Clear();
  const auto check_bounds = [&](size_t index) {
    const IndexEntry entry = (*entries)[index];
    if (view->Covers(entry.key, entry.tid)) return Status::Ok();
    return DamagedLeaf("entry %zu, %s, is out of bounds: %s to %s", index,
                       Hex(Position(entry.key, entry.tid)).c_str(), Hex(view->low()).c_str(),
                       Hex(view->high()).c_str());
  };
  for (view->First(); view->Valid(); view->Next()) {
    entries->Add(view->entry());
    view->TakeRun(entries);
  }
  if (!entries->in_order()) return DamagedLeaf("entries are out of order");
  // Those between are, as all are in order.
  if (entries->empty()) return Status::Ok();
  OMENDB_RETURN_IF_ERROR(check_bounds(0));
  return check_bounds(entries->size() - 1);
}

Status FoldLeafValues(std::span<const Slice> values, std::string* out) {
  LeafView view;
  for (Slice value : values) OMENDB_RETURN_IF_ERROR(view.AddValue(value, true));
  OMENDB_RETURN_IF_ERROR(view.Finish());
  if (!view.has_base()) {
    for (Slice value : values) out->append(value);
    return Status::Ok();
  }
  EntryList entries;
  OMENDB_RETURN_IF_ERROR(FoldLeaf(&view, &entries));
  return EncodeLeaf(entries, 0, entries.size(), view.low(), view.high(), view.lsn(), out);
}

bool MustSplitLeaf(const EntryList& entries) {
  return entries.size() > kMaxLeafCount ||
         (entries.size() > 1 && entries.RawSize(0, entries.size()) > kMaxLeafBytes);
}

Status SplitLeaf(const EntryList& entries, Slice low, Slice high, Lsn lsn, LeafGrowth growth,
                 std::vector<NewLeaf>* leaves) {
  const auto add = [&](size_t first, size_t end, Slice from, Slice to) {
    NewLeaf& leaf = leaves->emplace_back();
    leaf.low = from;
    leaf.high = to;
    leaf.first = first;
    return EncodeLeaf(entries, first, end, from, to, lsn, &leaf.value);
  };
  if (!MustSplitLeaf(entries)) return add(0, entries.size(), low, high);

  double fill = kAppendFill, first_fill = kAppendFill;
  if (growth == LeafGrowth::kRandom) {
    double total = 0;
    for (size_t i = 0; i < entries.size(); i++) total += ShareOf(entries, i);
    const double parts = std::max(2.0, std::ceil(total / kEvenFill));
    fill = first_fill = total / parts;
    if (parts == 2) {
      first_fill *= 1 + kMostUneven * (2 * Chance(entries.key(entries.size() / 2)) - 1);
      fill = total - first_fill;
    }
  }
  std::string from(low), to;
  size_t first = 0;
  // Of all entries so far, against where the leaf should end: so no rest adds up for the last one.
  double so_far = 0, in_leaf = 0, leaf_end = first_fill;
  for (size_t i = 0; i < entries.size(); i++) {
    const double share = ShareOf(entries, i);
    if (i > first && (so_far + share / 2 > leaf_end || in_leaf + share > 1)) {
      to = Position(entries[i].key, entries[i].tid);
      OMENDB_RETURN_IF_ERROR(add(first, i, from, to));
      from = to;
      first = i;
      in_leaf = 0;
      leaf_end += fill;
    }
    so_far += share;
    in_leaf += share;
  }
  return add(first, entries.size(), from, high);
}

}  // namespace omendb
