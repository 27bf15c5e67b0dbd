// AlexMap: creation, point operations, bulk load. Part of alex/alex_map.h.
#pragma once

#include "alex/alex_map.h"

namespace omendb {

template <typename Memory>
uint32_t AlexMap<Memory>::Create(Memory memory, Slice prefix, const AlexOptions& options) {
  using namespace alex;
  uint32_t offset = memory.Allocate(MapHeader::Bytes(prefix.size()));
  if (offset == 0) return 0;
  MapHeader* header = At<MapHeader>(memory.base(), offset);
  std::memset(static_cast<void*>(header), 0, MapHeader::Bytes(prefix.size()));
  header->version = kFormatVersion;
  header->options = options;
  Space* root = &header->root;
  root->kind = Kind::kSpace;
  root->high = UINT64_MAX;
  root->prefix_size = static_cast<uint32_t>(prefix.size());
  std::memcpy(root->prefix, prefix.data(), prefix.size());
  uint32_t space = Tree(memory.base(), offset).root_space();
  root->root = Builder(memory, header->options, false)
                   .BuildLeaf(space, nullptr, 0, 0, UINT64_MAX, kFirstSlots);
  if (root->root != 0) return offset;
  memory.Retire(offset, MapHeader::Bytes(prefix.size()));
  return 0;
}

template <typename Memory>
size_t AlexMap<Memory>::BoundForPut(size_t key_size, size_t payload_size,
                                    const AlexOptions& options) {
  return Record::Bytes(key_size, payload_size) + Builder::BoundForSplit(key_size, options) +
         Node::Bytes(alex::MaxChildren(options));
}

template <typename Memory>
uint32_t AlexMap<Memory>::NewRecord(Slice key, uint64_t tid, Slice payload) {
  uint32_t offset = memory_.Allocate(Record::Bytes(key.size(), payload.size()));
  if (offset == 0) return 0;
  Record* record = alex::At<Record>(memory_.base(), offset);
  record->tid = tid;
  record->key_size = static_cast<uint32_t>(key.size());
  record->payload_size = static_cast<uint32_t>(payload.size());
  std::memcpy(record->bytes, key.data(), key.size());
  if (!payload.empty()) std::memcpy(record->bytes + key.size(), payload.data(), payload.size());
  return offset;
}

template <typename Memory>
void AlexMap<Memory>::RetireRecord(uint32_t offset) {
  const Record* record = alex::At<Record>(memory_.base(), offset);
  memory_.Retire(offset, Record::Bytes(record->key_size, record->payload_size));
}

template <typename Memory>
AlexPut AlexMap<Memory>::Put(Slice key, uint64_t tid, uint8_t flags, Slice payload) {
  using namespace alex;
  Probe probe{key, tid};
  Path path;
  uint32_t record = 0;
  while (true) {
    Leaf* leaf = tree().Descend(&probe, &path);
    if (!Lock(leaf->word)) continue;
    if (probe.number < leaf->low || probe.number > leaf->high) {
      UnlockUnchanged(leaf->word);
      continue;
    }
    bool equal = false;
    size_t at = leaf->end;
    if (leaf->high != UINT64_MAX || at == 0 || leaf->slots[at - 1].number >= probe.number) {
      at = LowerBound(memory_.base(), leaf, At<Space>(memory_.base(), path.space), leaf->begin,
                      leaf->end, probe, &equal);
    }  // else it is appended
    bool fits = payload.empty() && probe.inline_size >= 0;
    if (record == 0 && !fits && (record = NewRecord(key, tid, payload)) == 0) {
      UnlockUnchanged(leaf->word);
      return AlexPut::kNoRoom;
    }
    uint64_t value = record != 0 ? RecordValue(record, flags)
                                 : InlineValue(tid, flags, static_cast<size_t>(probe.inline_size));
    if (equal) {
      uint64_t old = leaf->slots[at].value;
      ReplaceValue(leaf, at, value);
      Unlock(leaf->word);
      if (old & kRecord) RetireRecord(OffsetOf(old));
      return AlexPut::kReplaced;
    }
    if (leaf->count < Limit(leaf->size, header()->options)) {
      InsertSlot(leaf, at, {probe.number, value});
      Unlock(leaf->word);
      return AlexPut::kAdded;
    }
    Growth growth = Grow(path, leaf, at, {probe.number, value});
    if (growth == Growth::kDone) return AlexPut::kAdded;
    if (growth == Growth::kNoRoom) {
      if (record != 0) RetireRecord(record);
      return AlexPut::kNoRoom;
    }
  }
}

template <typename Memory>
bool AlexMap<Memory>::Find(Slice key, uint64_t tid, AlexItem* item) const {
  using namespace alex;
  const Space* root = tree().space(tree().root_space());
  const Leaf* leaf = nullptr;
  // A few instructions for the most frequent case: eight bytes, which are the number.
  if (key.size() == 8 && root->prefix_size == 0 && !root->by_tid) {
    const uint64_t number = LoadBigEndian64(key.data());
    const Head* head = tree().PassNodes(root, number);
    if (head->kind == Kind::kLeaf) {
      leaf = reinterpret_cast<const Leaf*>(head);
      uint64_t value;
      switch (FindNear(leaf, number, InlineValue(tid, 0, 8), &value)) {
        case Near::kFound:
          item->key = key;
          item->tid = tid;
          item->flags = FlagsOf(value);
          item->payload = Slice();
          return true;
        case Near::kAbsent:
          return false;
        case Near::kUnknown:
          break;
      }
    }
  }
  return FindFrom(leaf, key, tid, item);
}

// leaf: of the root space, where the search begins; nullptr: not known.
template <typename Memory>
[[gnu::noinline]] bool AlexMap<Memory>::FindFrom(const Leaf* leaf, Slice key, uint64_t tid,
                                                 AlexItem* item) const {
  using namespace alex;
  char* base = memory_.base();
  Probe probe{key, tid};
  const Space* space = tree().space(tree().root_space());
  if (leaf != nullptr) probe.Enter(space);
  for (;; leaf = nullptr) {
    if (leaf == nullptr) leaf = tree().Descend(&probe, &space);
    uint32_t version;
    if (!ReadVersion(leaf->word, &version)) continue;
    uint64_t value = FindValue(base, leaf, space, Load(leaf->begin), Load(leaf->end), probe);
    if (value != 0) {
      if (!Unchanged(leaf->word, version)) continue;
      item->key = key;
      item->tid = tid;
      item->flags = FlagsOf(value);
      item->payload = value & kRecord ? At<Record>(base, OffsetOf(value))->payload() : Slice();
      return true;
    }
    bool here = Load(leaf->low) <= probe.number && probe.number <= Load(leaf->high);
    if (Unchanged(leaf->word, version) && here) return false;
  }
}

template <typename Memory>
bool AlexMap<Memory>::Remove(Slice key, uint64_t tid) {
  using namespace alex;
  Probe probe{key, tid};
  Path path;
  while (true) {
    Leaf* leaf = tree().Descend(&probe, &path);
    if (!Lock(leaf->word)) continue;
    if (probe.number < leaf->low || probe.number > leaf->high) {
      UnlockUnchanged(leaf->word);
      continue;
    }
    bool equal;
    size_t at = LowerBound(memory_.base(), leaf, At<Space>(memory_.base(), path.space), leaf->begin,
                           leaf->end, probe, &equal);
    if (!equal) {
      UnlockUnchanged(leaf->word);
      return false;
    }
    uint64_t old = leaf->slots[at].value;
    EraseSlot(leaf, at);
    if (leaf->size > kFirstSlots && leaf->count < leaf->size / 8) {
      Shrink(path, leaf);
    } else {
      Unlock(leaf->word);
    }
    if (old & kRecord) RetireRecord(OffsetOf(old));
    return true;
  }
}

// A leaf that is nearly empty goes into a neighbour that is small, or becomes smaller. Unlocks it.
template <typename Memory>
void AlexMap<Memory>::Shrink(const Path& path, Leaf* leaf) {
  using namespace alex;
  constexpr size_t kMost = 128;  // entries of two leaves that become one
  const AlexOptions& options = header()->options;
  Head* parent = At<Head>(memory_.base(), path.parent);
  if (!TryLock(parent->word)) return Unlock(leaf->word);
  Builder builder(memory_, options, false);
  Leaf* other = nullptr;
  uint32_t other_offset = 0;
  if (parent->kind == Kind::kNode) {
    const Node* node = reinterpret_cast<const Node*>(parent);
    Run run = RunOf(node, node->IndexOf(leaf->low));
    for (size_t index : {run.begin - 1, run.end}) {  // begin - 1 may wrap
      if (index >= node->size) continue;
      Leaf* neighbour = At<Leaf>(memory_.base(), node->child[index]);
      if (neighbour->kind != Kind::kLeaf || !TryLock(neighbour->word)) continue;
      if (neighbour->count + leaf->count <= std::min(kMost, Limit(MaxSlots(options), options))) {
        other = neighbour;
        other_offset = node->child[index];
        break;
      }
      UnlockUnchanged(neighbour->word);
    }
  }
  uint32_t replacement;
  if (other != nullptr) {
    Slot entries[kMost];
    size_t count = 0;
    bool before = other->low < leaf->low;
    for (const Leaf* from : {before ? other : leaf, before ? leaf : other}) {
      for (size_t i = from->begin; i < from->end; i++) {
        if ((from->slots[i].value & kGap) == 0) entries[count++] = from->slots[i];
      }
    }
    replacement = builder.BuildLeaf(leaf->space, entries, count, std::min(leaf->low, other->low),
                                    std::max(leaf->high, other->high), SlotsFor(count, options));
    if (replacement != 0) {
      tree().Repoint(path.parent, other->low, replacement);
      reinterpret_cast<Node*>(parent)->children--;
    }
  } else {
    Compact(leaf, 0, nullptr);
    replacement = builder.BuildLeaf(leaf->space, leaf->slots, leaf->count, leaf->low, leaf->high,
                                    SlotsFor(leaf->count, options));
  }
  if (replacement == 0) {
    if (other != nullptr) UnlockUnchanged(other->word);
    Unlock(parent->word);
    Unlock(leaf->word);
    return;
  }
  tree().Repoint(path.parent, leaf->low, replacement);
  if (other != nullptr) UnlockObsolete(other->word);
  UnlockObsolete(leaf->word);
  Unlock(parent->word);
  memory_.Retire(path.leaf, Leaf::Bytes(leaf->size));
  if (other != nullptr) memory_.Retire(other_offset, Leaf::Bytes(other->size));
}

template <typename Memory>
bool AlexMap<Memory>::BulkLoad(std::span<const Entry> entries) {
  using namespace alex;
  uint32_t offset = tree().root_space();
  Space* space = At<Space>(memory_.base(), offset);
  std::vector<Slot> slots;
  slots.reserve(entries.size());
  Builder builder(memory_, header()->options, true);
  uint32_t root = 0;
  bool room = true;
  for (const Entry& entry : entries) {
    Probe probe{entry.key, entry.tid};
    probe.Enter(space);
    uint64_t value = 0;
    if (entry.payload.empty() && probe.inline_size >= 0) {
      value = InlineValue(entry.tid, entry.flags, static_cast<size_t>(probe.inline_size));
    } else {
      uint32_t record = NewRecord(entry.key, entry.tid, entry.payload);
      if ((room = record != 0) == false) break;
      value = RecordValue(record, entry.flags);
    }
    slots.push_back({probe.number, value});
  }
  std::vector<uint32_t> records;
  for (const Slot& slot : slots) {
    if (slot.value & kRecord) records.push_back(OffsetOf(slot.value));
  }
  if (room) root = builder.Build(offset, slots.data(), slots.size(), 0, UINT64_MAX);
  if (root == 0) {
    for (uint32_t record : records) RetireRecord(record);
    return false;
  }
  uint32_t old = space->root;
  Store(space->root, root);
  builder.Discard(old);
  return true;
}

template <typename Memory>
void AlexMap<Memory>::Destroy() {
  using namespace alex;
  char* base = memory_.base();
  std::vector<uint32_t> stack = {header()->root.root};
  while (!stack.empty()) {
    uint32_t offset = stack.back();
    stack.pop_back();
    const Head* head = At<Head>(base, offset);
    if (head->kind == Kind::kSpace) {
      const Space* space = reinterpret_cast<const Space*>(head);
      stack.push_back(space->root);
      memory_.Retire(offset, Space::Bytes(space->prefix_size));
      continue;
    }
    if (head->kind == Kind::kNode) {
      const Node* node = reinterpret_cast<const Node*>(head);
      for (size_t i = 0; i < node->size; i++) {
        if (i == 0 || node->child[i] != node->child[i - 1]) stack.push_back(node->child[i]);
      }
      memory_.Retire(offset, node->bytes());
      continue;
    }
    const Leaf* leaf = reinterpret_cast<const Leaf*>(head);
    for (size_t i = leaf->begin; i < leaf->end; i++) {
      uint64_t value = leaf->slots[i].value;
      if ((value & kGap) == 0 && (value & kRecord) != 0) RetireRecord(OffsetOf(value));
    }
    memory_.Retire(offset, Leaf::Bytes(leaf->size));
  }
  memory_.Retire(offset_, MapHeader::Bytes(header()->root.prefix_size));
}

template <typename Memory>
AlexStats AlexMap<Memory>::Stats() const {
  using namespace alex;
  char* base = memory_.base();
  AlexStats stats;
  double error = 0;
  uint64_t predicted = 0;
  struct Visit {
    uint32_t offset, level;
  };
  std::vector<Visit> stack = {{tree().root_space(), 0}};
  stats.bytes = offsetof(MapHeader, root);
  while (!stack.empty()) {
    auto [offset, level] = stack.back();
    stack.pop_back();
    const Head* head = At<Head>(base, offset);
    if (head->kind == Kind::kSpace) {
      const Space* space = reinterpret_cast<const Space*>(head);
      stats.spaces++;
      stats.bytes += Space::Bytes(space->prefix_size);
      stack.push_back({space->root, level + 1});
      continue;
    }
    if (head->kind == Kind::kNode) {
      const Node* node = reinterpret_cast<const Node*>(head);
      stats.model_nodes++;
      stats.bytes += node->bytes();
      for (size_t i = 0; i < node->size; i++) {
        if (i == 0 || node->child[i] != node->child[i - 1]) {
          stack.push_back({node->child[i], level + 1});
        }
      }
      continue;
    }
    const Leaf* leaf = reinterpret_cast<const Leaf*>(head);
    stats.leaves++;
    stats.plain_leaves += leaf->plain;
    stats.levels = std::max(stats.levels, level);
    stats.bytes += Leaf::Bytes(leaf->size);
    stats.slots += leaf->size;
    for (size_t i = leaf->begin; i < leaf->end; i++) {
      const Slot& slot = leaf->slots[i];
      if (slot.value & kGap) continue;
      stats.keys++;
      if (slot.value & kRecord) {
        const Record* record = At<Record>(base, OffsetOf(slot.value));
        stats.bytes += Record::Bytes(record->key_size, record->payload_size);
      } else {
        stats.inline_keys++;
      }
      if (leaf->plain) continue;
      int64_t place = std::clamp<int64_t>(
          Predict(leaf->base, leaf->slope, leaf->intercept, leaf->shift, slot.number), 0,
          static_cast<int64_t>(leaf->size) - 1);
      error += std::abs(static_cast<double>(place) - static_cast<double>(i));
      predicted++;
    }
  }
  if (stats.slots > 0)
    stats.fill = static_cast<double>(stats.keys) / static_cast<double>(stats.slots);
  if (predicted > 0) stats.mean_search_error = error / static_cast<double>(predicted);
  return stats;
}

}  // namespace omendb

#include "base/pure.h"
