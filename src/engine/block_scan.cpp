#include "engine/block_scan.h"

#include "engine/session.h"

extern "C" {
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

constexpr int kWords = kSlotsPerBlock / 64;

void RowsContextReset(void* argument) { ClearBlockRows(static_cast<BlockRows*>(argument)); }

void TakePin(BlockRows* rows, CachedBlock* block) {
  if (rows->pins == rows->pin_capacity) {
    // Room first: the pin must never be without an owner.
    AddTransientPin(block);
    rows->pin_capacity *= 2;
    rows->pinned = static_cast<CachedBlock**>(
        repalloc(rows->pinned, sizeof(CachedBlock*) * rows->pin_capacity));
    Repin(block);
    rows->pinned[rows->pins++] = block;
    DropTransientPin(block);
    return;
  }
  rows->pinned[rows->pins++] = block;
}

VisibleRow* AddRow(BlockRows* rows, SlotNo slot, const VersionMeta& meta) {
  VisibleRow* row = &rows->rows[rows->count++];
  row->meta = meta;
  row->slot = slot;
  row->alias = 0;
  row->sole = false;
  row->holder = nullptr;
  row->image = nullptr;
  row->superseded_by = InvalidTransactionId;
  return row;
}

void AddImageRow(BlockRows* rows, SlotNo slot, const VersionMeta& meta, CachedBlock* holder,
                 const RowImage* image, uint32_t at, bool sole) {
  VisibleRow* row = AddRow(rows, slot, meta);
  row->sole = sole;
  row->holder = holder;
  row->image = image;
  row->row = at;
}

// The buffer's view of one block, over all live segments.
struct Buffered {
  const Segment::BlockEntry* entries[kSegmentCount];
  bool any;
  uint64_t version_slots[kWords];
};

void LookUp(const ReadView& view, StorageId storage, BlockNo block, Buffered* buffered) {
  *buffered = Buffered{};
  for (int i = 0; i < view.count; i++) {
    buffered->entries[i] = view.segments[i].Find(storage, block);
    if (buffered->entries[i] == nullptr) continue;
    buffered->any = true;
    uint64_t slots[kWords];
    view.segments[i].VersionSlots(buffered->entries[i], slots);
    for (int word = 0; word < kWords; word++) buffered->version_slots[word] |= slots[word];
  }
}

bool Has(const uint64_t* bits, uint32_t slot) { return (bits[slot / 64] >> (slot % 64)) & 1; }
void Set(uint64_t* bits, uint32_t slot) { bits[slot / 64] |= uint64_t{1} << (slot % 64); }

struct Resolver {
  const ReadView& view;
  Relation relation;
  StorageId storage;
  BlockNo block;
  CachedBlock* stored;
  Snapshot snapshot;
  BlockRows* rows;

  // Whether a row with one version is seen.
  bool Sees(const VersionMeta& meta, std::atomic<uint8_t>* hints) const {
    if (snapshot->snapshot_type == SNAPSHOT_MVCC) return EffectInSnapshot(meta, hints, snapshot);
    return StateOf(meta, hints) != XidState::kAborted;
  }

  // Any snapshot, any history: walk the row's versions.
  void Slow(SlotNo slot) {
    RowCursor cursor(&view, relation, storage, block, slot);
    cursor.UseStored(stored);
    RowVersion version;
    if (!WalkToVisible(&cursor, relation, snapshot, &version)) return;
    uint8_t alias = AliasOf(view, relation, storage, RowId{block, slot, 0}, version);
    if (version.buffered_image != nullptr) {
      CachedBlock* holder = PinBufferedImage(version.buffered_image, relation, storage, block);
      TakePin(rows, holder);
      const RowImage* image = ImageOf(holder);
      AddImageRow(rows, slot, version.meta, holder, image, image->RowOf(slot), false);
    } else if (version.image != nullptr) {
      AddImageRow(rows, slot, version.meta, version.holder, version.image, version.row, false);
    } else {
      auto* copy =
          static_cast<char*>(MemoryContextAllocHuge(rows->context, Max(version.payload.size(), 1)));
      memcpy(copy, version.payload.data(), version.payload.size());
      AddRow(rows, slot, version.meta)->packed = Slice(copy, version.payload.size());
    }
    rows->rows[rows->count - 1].alias = alias;
    rows->rows[rows->count - 1].superseded_by = version.superseded_by;
  }

  // A row whose only version is in an image that came with one transaction.
  void BufferedImageRows(const BufferedImage* found, const uint64_t* wanted, uint64_t* done) {
    CachedBlock* holder = PinBufferedImage(found, relation, storage, block);
    TakePin(rows, holder);
    const RowImage* image = ImageOf(holder);
    VersionMeta meta = found->meta();
    bool visible = Sees(meta, const_cast<std::atomic<uint8_t>*>(&found->flags));
    for (uint32_t at = 0; at < image->rows(); at++) {
      SlotNo slot = image->SlotOf(at);
      if (!Has(wanted, slot) || Has(done, slot)) continue;
      Set(done, slot);
      if (visible) AddImageRow(rows, slot, meta, holder, image, at, true);
    }
  }

  void StoredRow(SlotNo slot) {
    StoredVersion found;
    if (!ViewOf(stored).NextVersion(slot, ~Lsn{0}, &found)) return;
    if (found.image == nullptr || !Sees(found.meta, nullptr)) return;
    AddImageRow(rows, slot, found.meta, stored, found.image, found.row, true);
  }
};

void AddPlainImage(const RowImage* image, CachedBlock* stored, SlotFilter filter, BlockRows* rows) {
  constexpr VersionMeta kFrozen{0, 0, 0, VersionKind::kInsert, kVersionCommitted};
  for (uint32_t at = 0; at < image->rows(); at++) {
    SlotNo slot = image->SlotOf(at);
    if (filter.bits != nullptr && !Has(filter.bits, slot)) continue;
    AddImageRow(rows, slot, kFrozen, stored, image, at, true);
  }
}

int BySlot(const void* left, const void* right) {
  return static_cast<int>(static_cast<const VisibleRow*>(left)->slot) -
         static_cast<int>(static_cast<const VisibleRow*>(right)->slot);
}

}  // namespace

BlockRows* MakeBlockRows(MemoryContext owner) {
  auto* rows = static_cast<BlockRows*>(MemoryContextAllocZero(owner, sizeof(BlockRows)));
  rows->context = AllocSetContextCreate(owner, "omendb block rows", ALLOCSET_DEFAULT_SIZES);
  rows->pin_capacity = 8;
  rows->pinned = static_cast<CachedBlock**>(
      MemoryContextAlloc(owner, sizeof(CachedBlock*) * rows->pin_capacity));
  rows->callback.func = RowsContextReset;
  rows->callback.arg = rows;
  MemoryContextRegisterResetCallback(owner, &rows->callback);
  return rows;
}

void ClearBlockRows(BlockRows* rows) {
  while (rows->pins > 0) UnpinBlock(rows->pinned[--rows->pins]);
  rows->count = 0;
}

void ResolveBlock(const ReadView& view, Relation relation, StorageId storage, BlockNo block,
                  CachedBlock* stored, Snapshot snapshot, SlotFilter filter, BlockRows* rows) {
  if (stored != nullptr) TakePin(rows, stored);
  rows->block = block;
  Buffered buffered;
  LookUp(view, storage, block, &buffered);
  if (stored == nullptr && buffered.any) CountBlockAccess(relation, true);
  bool simple_snapshot = snapshot->snapshot_type == SNAPSHOT_ANY ||
                         (snapshot->snapshot_type == SNAPSHOT_MVCC &&
                          !CheckForSerializableConflictOutNeeded(relation, snapshot));
  // Frozen rows alone are the same for every snapshot; nothing was skipped that a serializable
  // transaction would have to know of.
  if (!buffered.any && stored != nullptr) {
    if (const RowImage* image = ViewOf(stored).plain_image()) {
      AddPlainImage(image, stored, filter, rows);
      return;
    }
  }
  uint64_t slots[kWords], slow[kWords], done[kWords] = {};
  for (int word = 0; word < kWords; word++) {
    slots[word] = filter.bits != nullptr ? filter.bits[word] : ~uint64_t{0};
    slow[word] =
        buffered.version_slots[word] | (stored != nullptr ? ViewOf(stored).delta_slots()[word] : 0);
    if (!simple_snapshot) slow[word] = ~uint64_t{0};
  }
  Resolver resolver{view, relation, storage, block, stored, snapshot, rows};
  uint64_t fast[kWords];
  for (int word = 0; word < kWords; word++) {
    fast[word] = slots[word] & ~slow[word];
    slow[word] &= slots[word];
  }
  uint64_t exists[kWords];
  for (int word = 0; word < kWords; word++) {
    exists[word] =
        buffered.version_slots[word] | (stored != nullptr ? ViewOf(stored).slots()[word] : 0);
  }
  for (int i = 0; i < view.count; i++) {
    if (buffered.entries[i] == nullptr) continue;
    for (BufferedImage* image = view.segments[i].NewestImage(buffered.entries[i]); image != nullptr;
         image = view.segments[i].Older(image)) {
      if (simple_snapshot) {
        resolver.BufferedImageRows(image, fast, done);
      }
      CachedBlock* holder = PinBufferedImage(image, relation, storage, block);
      const RowImage* parsed = ImageOf(holder);
      for (uint32_t at = 0; at < parsed->rows(); at++) Set(exists, parsed->SlotOf(at));
      UnpinBlock(holder);
    }
  }
  for (uint32_t slot = 0; slot < kSlotsPerBlock; slot++) {
    if (!Has(exists, slot) || Has(done, slot)) continue;
    if (Has(slow, slot)) {
      resolver.Slow(static_cast<SlotNo>(slot));
    } else if (Has(fast, slot) && stored != nullptr) {
      resolver.StoredRow(static_cast<SlotNo>(slot));
    }
  }
  // Buffered images come first; where they and the rest interleave, the rows must be put in order.
  for (uint32_t i = 1; i < rows->count; i++) {
    if (rows->rows[i - 1].slot < rows->rows[i].slot) continue;
    qsort(rows->rows, rows->count, sizeof(VisibleRow), BySlot);
    break;
  }
}

void HoldVisibleRow(RowHolder* holder, const BlockRows& rows, const VisibleRow& row) {
  RowId id{rows.block, row.slot, row.alias};
  if (row.image != nullptr) {
    HoldImageRow(holder, row.holder, *row.image, row.row, row.meta, id);
  } else {
    HoldPackedRow(holder, row.packed, row.meta, id);
  }
  holder->superseded_by = row.superseded_by;
}

namespace {

struct Collect {
  BlockWalk* walk;
  MemoryContext owner;
  uint32_t capacity;
};

void CollectBlock(void* argument, StorageId, BlockNo block, const Segment::BlockEntry*) {
  auto* collect = static_cast<Collect*>(argument);
  BlockWalk* walk = collect->walk;
  if (block < walk->next || block >= walk->end) return;
  if (walk->buffered_count == collect->capacity) {
    uint32_t capacity = collect->capacity == 0 ? 64 : collect->capacity * 2;
    auto* grown =
        static_cast<BlockNo*>(MemoryContextAllocHuge(collect->owner, sizeof(BlockNo) * capacity));
    if (walk->buffered != nullptr) {
      memcpy(grown, walk->buffered, sizeof(BlockNo) * walk->buffered_count);
      pfree(walk->buffered);
    }
    walk->buffered = grown;
    collect->capacity = capacity;
  }
  walk->buffered[walk->buffered_count++] = block;
}

int ByBlock(const void* left, const void* right) {
  BlockNo a = *static_cast<const BlockNo*>(left), b = *static_cast<const BlockNo*>(right);
  return a < b ? -1 : a > b;
}

}  // namespace

void StartBlockWalk(BlockWalk* walk, Relation relation, StorageId storage, BlockNo first,
                    BlockNo end, MemoryContext owner) {
  if (walk->buffered != nullptr) pfree(walk->buffered);
  // The cursor of an earlier walk serves again: its memory lives as long as its owner.
  *walk = BlockWalk{relation, storage, first, end, walk->cursor, nullptr, 0, 0};
  if (storage == 0) {
    walk->end = walk->next;
    return;
  }
  EnsureEngineSession();
  if (walk->cursor != nullptr) {
    RestartStoreCursor(walk->cursor, storage, end);
  } else {
    walk->cursor = OpenStoreCursor(relation, storage, end, owner);
  }
  Collect collect{walk, owner, 0};
  ReadView view;
  ReadPin(&view);
  for (int i = 0; i < view.count; i++) {
    view.segments[i].VisitBlocks(storage, CollectBlock, &collect);
  }
  ReadUnpin();
  if (walk->buffered_count > 1) {
    qsort(walk->buffered, walk->buffered_count, sizeof(BlockNo), ByBlock);
  }
}

bool NextBlockRows(BlockWalk* walk, Snapshot snapshot, BlockRows* rows) {
  while (walk->next < walk->end) {
    CHECK_FOR_INTERRUPTS();
    ClearBlockRows(rows);
    MemoryContextReset(rows->context);
    while (walk->buffered_next < walk->buffered_count &&
           walk->buffered[walk->buffered_next] < walk->next) {
      walk->buffered_next++;
    }
    BlockNo in_buffer = walk->buffered_next < walk->buffered_count
                            ? walk->buffered[walk->buffered_next]
                            : walk->end;
    ReadView view;
    ReadPin(&view);
    BlockNo in_store = SeekStoreCursor(walk->cursor, view, walk->next);
    BlockNo block = Min(in_buffer, in_store);
    if (block < walk->end) {
      CachedBlock* stored = in_store == block ? PinCursorBlock(walk->cursor, view) : nullptr;
      ResolveBlock(view, walk->relation, walk->storage, block, stored, snapshot,
                   SlotFilter{nullptr}, rows);
    }
    ReadUnpin();
    walk->next = block < walk->end ? block + 1 : walk->end;
    if (rows->count > 0) return true;
  }
  return false;
}

void OneBlockRows(BlockWalk* walk, BlockNo block, Snapshot snapshot, SlotFilter filter,
                  BlockRows* rows) {
  ClearBlockRows(rows);
  MemoryContextReset(rows->context);
  rows->block = block;
  if (walk->storage == 0 || block >= walk->end) return;
  ReadView view;
  ReadPin(&view);
  CachedBlock* stored = PinStoredBlock(view, walk->relation, walk->storage, block);
  ResolveBlock(view, walk->relation, walk->storage, block, stored, snapshot, filter, rows);
  ReadUnpin();
}

void EndBlockWalk(BlockWalk* walk) {
  if (walk->cursor != nullptr) CloseStoreCursor(walk->cursor);
  walk->cursor = nullptr;
}

}  // namespace omendb
