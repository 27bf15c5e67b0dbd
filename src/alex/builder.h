// Builds leaves, model nodes and spaces from entries in ascending order: for bulk loads, and for
// what replaces a leaf that is full. Nothing built can be reached before the caller publishes it.
#pragma once

#include "alex/tree.h"

namespace omendb::alex {

template <typename Memory>
class Builder {
 public:
  // bulk: `entries` may make any number of levels; else they are a full leaf with one more, and
  // what is built stays within BoundForSplit.
  // appending: entries come at the high end, where leaves have their free slots then.
  Builder(Memory memory, const AlexOptions& options, bool bulk, bool appending = false)
      : memory_(memory), options_(options), bulk_(bulk), appending_(appending) {}

  // The most that Build may take without bulk, when the keys that share a number have a common
  // prefix of at most `key_size`.
  static size_t BoundForSplit(size_t key_size, const AlexOptions& options) {
    size_t entries = Limit(MaxSlots(options), options) + 1;
    size_t leaves = std::max((entries * 100 / options.fill_percent) * sizeof(Slot) +
                                 (kSplitFanout + 2) * Leaf::Bytes(kFirstSlots + 5),
                             2 * Leaf::Bytes(MaxSlots(options)));
    // Spaces for an end, for a guess, and for the TIDs of one key, each behind a node of its own.
    size_t spaces =
        3 * (Space::Bytes(key_size) + Node::SortedBytes(3) + 2 * Leaf::Bytes(kFirstSlots));
    return leaves + Node::Bytes(3) * 2 + Node::Bytes(kSplitFanout) + spaces +
           Node::SortedBytes(kSortedFanout) * (2 * kSortedSplits + 1);
  }

  // Offset of a subtree for numbers [low, high] of `space`; 0 = no room, then everything is as it
  // was. Changes entries while it works.
  uint32_t Build(uint32_t space, Slot* entries, size_t count, uint64_t low, uint64_t high) {
    size_t limit = Limit(MaxSlots(options_), options_);
    bool equal = count == 0 || entries[0].number == entries[count - 1].number;
    if (count <= (bulk_ ? PerLeaf(count) : limit) || (equal && count <= limit)) {
      if (equal || count <= PlainLimit() || Fit::Of(entries, count).error <= kMaxError) {
        return BuildLeaf(space, entries, count, low, high, SlotsFor(count, options_));
      }
    }
    return BuildMore(space, entries, count, low, high);
  }

  // The same, but never one leaf.
  uint32_t BuildMore(uint32_t space, Slot* entries, size_t count, uint64_t low, uint64_t high) {
    bool equal = entries[0].number == entries[count - 1].number;
    if (equal && low == high) return BuildSpace(space, entries, count, low);
    if (equal || (!bulk_ && IsMostlyOne(entries, count))) {
      return BuildSorted(space, entries, count, low, high);
    }
    return BuildNode(space, entries, count, low, high, Ranges::Of(entries, count, Fanout(count)));
  }

  // ahead: the fit of these entries and those at their one end, when all further ones will come at
  // the other (front: before them): then the model leaves no gaps between them.
  uint32_t BuildLeaf(uint32_t space, const Slot* entries, size_t count, uint64_t low, uint64_t high,
                     size_t size, const Fit* ahead = nullptr, bool front = false) {
    uint32_t offset = memory_.Allocate(Leaf::Bytes(size));
    if (offset == 0) return 0;
    Leaf* leaf = At<Leaf>(memory_.base(), offset);
    std::memset(static_cast<void*>(leaf), 0, sizeof(Leaf));
    leaf->kind = Kind::kLeaf;
    leaf->size = static_cast<uint32_t>(size);
    leaf->count = static_cast<uint32_t>(count);
    leaf->low = low;
    leaf->high = high;
    leaf->space = space;
    if (count == 0) {
      std::memset(static_cast<void*>(leaf->slots), 0, size * sizeof(Slot));
      return offset;
    }
    Fit fit;
    uint64_t range = entries[count - 1].number - entries[0].number;
    double scale = static_cast<double>(size) / static_cast<double>(count);
    uint64_t first = entries[0].number;
    if (ahead != nullptr) {
      fit.slope = ahead->slope;
      scale = 1;
      double reach = fit.slope > 0 ? static_cast<double>(size) / fit.slope : 0;
      range = std::max(range, reach < 9e18 ? static_cast<uint64_t>(reach) : uint64_t{9} << 60);
      if (front) {
        uint64_t before = std::min(first, range);
        fit.intercept = static_cast<double>(size - count) - fit.slope * static_cast<double>(before);
        first -= before;
      }
    } else {
      fit = Fit::Of(entries, count);
      leaf->plain = fit.error > kMaxError;
      if (appending_ && high == UINT64_MAX) scale = 1;
    }
    Model model = ModelFrom(fit, first, range, scale);
    leaf->base = model.base;
    leaf->slope = model.slope;
    leaf->intercept = model.intercept;
    leaf->shift = model.shift;
    size_t next = 0;
    double error = 0;
    for (size_t i = 0; i < count; i++) {
      int64_t last = static_cast<int64_t>(size - (count - i));
      int64_t wish = front         ? last
                     : leaf->plain ? static_cast<int64_t>(static_cast<double>(i) * scale)
                                   : Predict(model.base, model.slope, model.intercept, model.shift,
                                             entries[i].number);
      size_t place = static_cast<size_t>(
          std::clamp(wish, static_cast<int64_t>(next), std::max(last, static_cast<int64_t>(next))));
      error += std::abs(static_cast<double>(wish) - static_cast<double>(place));
      Slot fill = i == 0 ? Slot{0, 0} : Slot{entries[i].number, entries[i].value | kGap};
      if (i == 0) leaf->begin = static_cast<uint32_t>(place);
      while (next < place) leaf->slots[next++] = fill;
      leaf->slots[next++] = entries[i];
    }
    leaf->end = static_cast<uint32_t>(next);
    leaf->error = ErrorWord(error / static_cast<double>(count));
    std::memset(static_cast<void*>(leaf->slots + next), 0, (size - next) * sizeof(Slot));
    return offset;
  }

  // An empty node; its children are for the caller to set.
  uint32_t NewNode(uint32_t space, const Ranges& ranges, uint64_t low, uint64_t high) {
    uint32_t offset = memory_.Allocate(Node::Bytes(ranges.size));
    if (offset == 0) return 0;
    Node* node = At<Node>(memory_.base(), offset);
    std::memset(static_cast<void*>(node), 0, Node::Bytes(ranges.size));
    node->kind = Kind::kNode;
    node->shift = ranges.shift;
    node->base = ranges.base;
    node->low = low;
    node->high = high;
    node->size = node->room = static_cast<uint32_t>(ranges.size);
    node->space = space;
    return offset;
  }

  // Children of a sorted node, or what is to become some.
  struct Part {
    uint64_t low;
    uint32_t child;
  };
  static constexpr size_t kMostParts = 3;

  // Whether only few entries tell what ranges are worth a child.
  static bool IsMostlyOne(const Slot* entries, size_t count) {
    return entries[count / 4].number == entries[count - 1 - count / 4].number;
  }

  // Where another number begins, near `wish`. REQUIRES: there is more than one.
  static size_t FindCut(const Slot* entries, size_t count, size_t wish) {
    uint64_t number = entries[wish].number;
    size_t left = CountBelow(entries, count, number), right = wish;
    while (right < count && entries[right].number == number) right++;
    return left == 0 || (right < count && right - wish < wish - left) ? right : left;
  }

  // Divides entries of one leaf [low, high]: in two where numbers differ, or the one number that
  // they have from the others, of which there are none yet. Returns how many parts; 0 = no room.
  // REQUIRES: low < high.
  size_t BuildParts(uint32_t space, Slot* entries, size_t count, uint64_t low, uint64_t high,
                    Part* parts) {
    uint64_t number = entries[0].number;
    if (number != entries[count - 1].number) {
      size_t left = FindCut(entries, count, count / 2);
      number = entries[left].number;
      parts[0] = {low, BuildLeaf(space, entries, left, low, number - 1, SlotsFor(left, options_))};
      if (parts[0].child == 0) return 0;
      size_t rest = count - left;
      parts[1] = {number,
                  BuildLeaf(space, entries + left, rest, number, high, SlotsFor(rest, options_))};
      if (parts[1].child != 0) return 2;
      Discard(parts[0].child);
      return 0;
    }
    size_t made = 0, middle = low < number;
    bool room = true;
    if (low < number) {
      parts[made] = {low, BuildLeaf(space, nullptr, 0, low, number - 1, kFirstSlots)};
      room = parts[made++].child != 0;
    }
    parts[made++] = {number, 0};
    if (room && high > number) {
      parts[made] = {number + 1, BuildLeaf(space, nullptr, 0, number + 1, high, kFirstSlots)};
      room = parts[made++].child != 0;
    }
    // Last: it changes the entries, and only if it succeeds.
    if (room) parts[middle].child = BuildSpace(space, entries, count, number);
    if (parts[middle].child != 0) return made;
    for (size_t i = 0; i < made; i++) Discard(parts[i].child);
    return 0;
  }

  // How many parts BuildParts makes.
  static size_t CountParts(const Slot* entries, size_t count, uint64_t low, uint64_t high) {
    uint64_t number = entries[0].number;
    if (number != entries[count - 1].number) return 2;
    return size_t{1} + (low < number) + (number < high);
  }

  // An empty sorted node; its parts are for the caller to set.
  uint32_t NewSorted(uint32_t space, size_t size, uint64_t low, uint64_t high) {
    uint32_t offset = memory_.Allocate(Node::SortedBytes(size));
    if (offset == 0) return 0;
    Node* node = At<Node>(memory_.base(), offset);
    std::memset(static_cast<void*>(node), 0, Node::SortedBytes(size));
    node->kind = Kind::kNode;
    node->sorted = 1;
    node->low = low;
    node->high = high;
    node->size = node->room = node->children = static_cast<uint32_t>(size);
    node->space = space;
    return offset;
  }
  void SetParts(uint32_t offset, const Part* parts) {
    Node* node = At<Node>(memory_.base(), offset);
    uint64_t* begins = const_cast<uint64_t*>(node->begins());
    for (size_t i = 0; i < node->size; i++) {
      node->child[i] = parts[i].child;
      begins[i] = parts[i].low;
    }
  }

  // A sorted node of the parts. REQUIRES: as BuildParts.
  uint32_t BuildSorted(uint32_t space, Slot* entries, size_t count, uint64_t low, uint64_t high) {
    uint32_t offset = NewSorted(space, CountParts(entries, count, low, high), low, high);
    if (offset == 0) return 0;
    Part parts[kMostParts];
    if (BuildParts(space, entries, count, low, high, parts) == 0) {
      Discard(offset);
      return 0;
    }
    SetParts(offset, parts);
    return offset;
  }

  // Gives back what was built and never reached. Records stay.
  void Discard(uint32_t offset) {
    if (offset == 0) return;  // a child that was not built
    Head* head = At<Head>(memory_.base(), offset);
    if (head->kind == Kind::kLeaf) {
      memory_.Retire(offset, Leaf::Bytes(At<Leaf>(memory_.base(), offset)->size));
    } else if (head->kind == Kind::kNode) {
      Node* node = At<Node>(memory_.base(), offset);
      for (size_t i = 0; i < node->size; i++) {
        if (i == 0 || node->child[i] != node->child[i - 1]) Discard(node->child[i]);
      }
      memory_.Retire(offset, node->bytes());
    } else {
      Space* space = At<Space>(memory_.base(), offset);
      Discard(space->root);
      memory_.Retire(offset, Space::Bytes(space->prefix_size));
    }
  }

 private:
  size_t PlainLimit() const { return Limit(SlotsIn(options_.plain_cap), options_); }
  // Entries of a leaf that a node is divided into: at most the cap's, and no leaf gets all.
  size_t PerLeaf(size_t count) const {
    size_t most = MaxSlots(options_) * options_.fill_percent / 100;
    size_t limit = Limit(MaxSlots(options_), options_);
    if (most > limit) most = limit;
    return bulk_ ? std::max(most, size_t{4}) : count / 2 + 1;
  }
  size_t Fanout(size_t count) const {
    size_t wanted = bulk_ ? std::bit_ceil(count * 8 / PerLeaf(count) + 1) : kSplitFanout;
    return std::clamp(wanted, kSplitFanout, std::bit_floor(MaxChildren(options_)));
  }

  uint32_t BuildNode(uint32_t space, Slot* entries, size_t count, uint64_t low, uint64_t high,
                     const Ranges& ranges) {
    uint32_t offset = NewNode(space, ranges, low, high);
    if (offset == 0) return 0;
    Node* node = At<Node>(memory_.base(), offset);
    if (!FillPart(node, space, entries, count, count, {0, ranges.size}, {0, ranges.size},
                  ranges.size == 1)) {
      Discard(offset);
      return 0;
    }
    node->Trim();
    return offset;
  }

  struct Span {
    size_t begin, end;
    size_t size() const { return end - begin; }
  };

  // Divides the children `divide` of a node until a part is worth one leaf, as ALEX's fanout tree
  // does; parts without entries go to their neighbours, so the child is for all of `cover`.
  bool FillPart(Node* node, uint32_t space, Slot* entries, size_t count, size_t whole, Span divide,
                Span cover, bool one) {
    size_t limit = Limit(MaxSlots(options_), options_);
    bool enough = count <= std::min(PerLeaf(whole), limit) &&
                  (count <= PlainLimit() || entries[0].number == entries[count - 1].number ||
                   Fit::Of(entries, count).error <= kMaxError);
    if (one || enough) {
      uint64_t low = node->LowOf(cover.begin), high = node->HighOf(cover.end - 1);
      bool as_leaf = enough || (!bulk_ && count <= limit);
      uint32_t child = as_leaf
                           ? BuildLeaf(space, entries, count, low, high, SlotsFor(count, options_))
                           : Build(space, entries, count, low, high);
      if (child == 0) return false;
      for (size_t i = cover.begin; i < cover.end; i++) node->child[i] = child;
      node->children++;
      return true;
    }
    size_t middle = divide.begin + divide.size() / 2;
    uint64_t boundary = node->LowOf(middle);
    size_t left = static_cast<size_t>(
        std::lower_bound(entries, entries + count, boundary,
                         [](const Slot& slot, uint64_t number) { return slot.number < number; }) -
        entries);
    Span first{divide.begin, middle}, second{middle, divide.end};
    if (left == 0) {
      return FillPart(node, space, entries, count, whole, second, cover, second.size() == 1);
    }
    if (left == count) {
      return FillPart(node, space, entries, count, whole, first, cover, first.size() == 1);
    }
    return FillPart(node, space, entries, left, whole, first, {cover.begin, middle},
                    first.size() == 1) &&
           FillPart(node, space, entries + left, count - left, whole, second, {middle, cover.end},
                    second.size() == 1);
  }

  // A deeper space for entries that all have the number `number` of `outer`.
  //
  // Of a number between the ends all keys have the outer prefix and the number's bytes, also those
  // to come: these are sure. What the entries have in common beyond that is only a guess that keeps
  // the ways short: keys that do not have it get the numbers at the ends, and a space for one of
  // these starts again at what is sure. So each eight bytes of a key cost a few levels at most,
  // whatever order keys come in.
  uint32_t BuildSpace(uint32_t outer, Slot* entries, size_t count, uint64_t number) {
    char* base = memory_.base();
    const Space* from = At<Space>(base, outer);
    char first_buffer[AlexItem::kBufferSize], buffer[AlexItem::kBufferSize];
    uint64_t tid;
    Slice prefix = KeyOf(base, from, number, entries[0].value, first_buffer, &tid);
    bool edge = from->prefix_size > from->sure && (number == 0 || number == UINT64_MAX);
    size_t sure = edge ? from->sure : from->prefix_size + 8, common = sure;
    bool by_tid = !edge && prefix.size() <= sure;
    if (by_tid) {
      sure = common = prefix.size();
    } else if (!edge) {
      common = prefix.size();
      for (size_t i = 1; i < count && common > sure; i++) {
        Slice key = KeyOf(base, from, number, entries[i].value, buffer, &tid);
        size_t most = std::min(common, key.size());
        common = static_cast<size_t>(
            std::mismatch(prefix.begin(), prefix.begin() + most, key.begin()).first -
            prefix.begin());
      }
      // One key many times: its last bytes tell it from others.
      if (common == prefix.size()) common = std::max(sure, common - 8);
    }
    uint32_t offset = memory_.Allocate(Space::Bytes(common));
    if (offset == 0) return 0;
    Space* space = At<Space>(base, offset);
    std::memset(static_cast<void*>(space), 0, sizeof(Space));
    space->kind = Kind::kSpace;
    space->by_tid = by_tid;
    space->sure = static_cast<uint16_t>(sure);
    space->outer = outer;
    space->low = space->high = number;
    space->prefix_size = static_cast<uint32_t>(common);
    std::memcpy(space->prefix, prefix.data(), common);
    Renumber(from, space, entries, count);
    space->root = Build(offset, entries, count, 0, UINT64_MAX);
    if (space->root != 0) return offset;
    Renumber(space, from, entries, count);
    memory_.Retire(offset, Space::Bytes(common));
    return 0;
  }

  void Renumber(const Space* from, const Space* to, Slot* entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
      char buffer[AlexItem::kBufferSize];
      uint64_t value = entries[i].value;
      Probe probe;
      probe.key = KeyOf(memory_.base(), from, entries[i].number, value, buffer, &probe.tid);
      probe.Enter(to);
      if ((value & kRecord) == 0) {
        value = InlineValue(probe.tid, FlagsOf(value), static_cast<size_t>(probe.inline_size));
      }
      Store(entries[i].value, value);
      Store(entries[i].number, probe.number);
    }
  }

  Memory memory_;
  const AlexOptions& options_;
  bool bulk_;
  bool appending_;
};

}  // namespace omendb::alex

#include "base/pure.h"
