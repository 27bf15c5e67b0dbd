#include "pg/storage_directory.h"

#include <algorithm>
#include <new>

#include "pg/shared_state.h"

extern "C" {
#include "storage/shmem.h"
}

namespace omendb {
namespace {

// Layouts are chains of cells, so that growth and reuse leave no holes of odd sizes.
constexpr uint32 kCellColumns = 15;
struct Cell {
  uint32 next;  // index + 1, 0 = none
  Column columns[kCellColumns];
};
static_assert(sizeof(Cell) == 64);
constexpr uint32 kCellsPerStorage = 4;

struct Directory {
  uint32 limit;       // entries [0, limit) have been used at least once
  uint32 free_entry;  // index + 1, chained by next_by_id
  uint32 cell_limit;
  uint32 free_cell;   // index + 1
  uint32 cells_free;  // in the chain and beyond the limit
  StorageId next_id;
  std::atomic<uint64> version;
  uint32 buckets;  // power of two
  // Followed by: uint32 by_node[buckets], by_id[buckets]; StorageEntry[]; Cell[].
};

Directory* g_directory = nullptr;
uint32* g_by_node = nullptr;
uint32* g_by_id = nullptr;
StorageEntry* g_entries = nullptr;
Cell* g_cells = nullptr;

uint32 MaxEntries() { return static_cast<uint32>(g_max_storages); }
uint32 MaxCells() { return MaxEntries() * kCellsPerStorage; }
uint32 CellsFor(uint32 columns) { return (columns + kCellColumns - 1) / kCellColumns; }

uint32 Buckets() {
  uint32 buckets = 64;
  while (buckets < MaxEntries()) buckets *= 2;
  return buckets;
}

uint64 Mix(uint64 value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdull;
  return value ^ (value >> 33);
}

uint32* NodeBucket(const RelFileNode& node, BackendId backend) {
  uint64 hash = Mix(node.relNode + (static_cast<uint64>(node.dbNode) << 32)) +
                Mix(node.spcNode + (static_cast<uint64>(static_cast<uint32>(backend)) << 32));
  return &g_by_node[Mix(hash) & (g_directory->buckets - 1)];
}

uint32* IdBucket(StorageId id) { return &g_by_id[Mix(id) & (g_directory->buckets - 1)]; }

uint32 IndexOf(const StorageEntry* entry) { return static_cast<uint32>(entry - g_entries); }

void Unlink(uint32* link, uint32 StorageEntry::*next, const StorageEntry* entry) {
  while (*link != 0) {
    StorageEntry* at = &g_entries[*link - 1];
    if (at == entry) {
      *link = at->*next;
      return;
    }
    link = &(at->*next);
  }
}

uint32 TakeCell() {
  uint32 cell;
  if (g_directory->free_cell != 0) {
    cell = g_directory->free_cell;
    g_directory->free_cell = g_cells[cell - 1].next;
  } else {
    cell = ++g_directory->cell_limit;
  }
  g_directory->cells_free--;
  g_cells[cell - 1].next = 0;
  return cell;
}

void FreeCells(StorageEntry* entry) {
  for (uint32 cell = entry->first_cell; cell != 0;) {
    uint32 next = g_cells[cell - 1].next;
    g_cells[cell - 1].next = g_directory->free_cell;
    g_directory->free_cell = cell;
    g_directory->cells_free++;
    cell = next;
  }
  entry->first_cell = 0;
  entry->column_count = 0;
}

void GrowColumns(StorageEntry* entry, const Column* columns, uint32 column_count) {
  uint32* link = &entry->first_cell;
  for (uint32 i = 0; i < column_count; i++) {
    if (*link == 0) *link = TakeCell();
    g_cells[*link - 1].columns[i % kCellColumns] = columns[i];
    if (i % kCellColumns == kCellColumns - 1) link = &g_cells[*link - 1].next;
  }
  entry->column_count = std::max(entry->column_count, column_count);
}

}  // namespace

bool LayoutsConflict(Columns left, Columns right) {
  size_t common = std::min(left.size(), right.size());
  for (size_t i = 0; i < common; i++) {
    uint8_t difference = left[i].flags ^ right[i].flags;
    if (left[i].length != right[i].length || left[i].align != right[i].align ||
        (difference & kColumnByValue) != 0) {
      return true;
    }
  }
  return false;
}

size_t StorageDirectorySize() {
  Size size = MAXALIGN(sizeof(Directory));
  size = add_size(size, mul_size(Buckets(), 2 * sizeof(uint32)));
  size = add_size(size, mul_size(MaxEntries(), sizeof(StorageEntry)));
  return add_size(size, mul_size(MaxCells(), sizeof(Cell)));
}

void StorageDirectoryStart() {
  bool found;
  auto* memory =
      static_cast<char*>(ShmemInitStruct("omendb storages", StorageDirectorySize(), &found));
  g_directory = reinterpret_cast<Directory*>(memory);
  if (!found) {
    new (g_directory) Directory{};
    g_directory->buckets = Buckets();
    g_directory->cells_free = MaxCells();
    g_directory->next_id = 1;
    g_directory->version = 1;
  }
  g_by_node = reinterpret_cast<uint32*>(memory + MAXALIGN(sizeof(Directory)));
  g_by_id = g_by_node + g_directory->buckets;
  g_entries = reinterpret_cast<StorageEntry*>(g_by_id + g_directory->buckets);
  g_cells = reinterpret_cast<Cell*>(g_entries + MaxEntries());
  if (!found) memset(g_by_node, 0, 2 * sizeof(uint32) * g_directory->buckets);
}

StorageEntry* FindStorage(const RelFileNode& node, BackendId backend) {
  for (uint32 at = *NodeBucket(node, backend); at != 0; at = g_entries[at - 1].next_by_node) {
    StorageEntry* entry = &g_entries[at - 1];
    if (entry->identity.backend == backend && RelFileNodeEquals(entry->identity.node, node)) {
      return entry;
    }
  }
  return nullptr;
}

StorageEntry* FindStorage(StorageId id) {
  for (uint32 at = *IdBucket(id); at != 0; at = g_entries[at - 1].next_by_id) {
    if (g_entries[at - 1].identity.id == id) return &g_entries[at - 1];
  }
  return nullptr;
}

uint32 CopyColumns(const StorageEntry* entry, Column* columns) {
  uint32 cell = entry->first_cell;
  for (uint32 i = 0; i < entry->column_count; i += kCellColumns) {
    uint32 count = std::min(kCellColumns, entry->column_count - i);
    std::copy_n(g_cells[cell - 1].columns, count, columns + i);
    cell = g_cells[cell - 1].next;
  }
  return entry->column_count;
}

bool StorageHasRoom(const StorageEntry* entry, uint32 column_count) {
  uint32 have = entry ? CellsFor(entry->column_count) : 0;
  uint32 want = CellsFor(column_count);
  if (want > have && want - have > g_directory->cells_free) return false;
  return entry != nullptr || g_directory->free_entry != 0 || g_directory->limit < MaxEntries();
}

bool StorageDropsPileUp() { return g_shared->drops_pending > MaxEntries() / 4; }

int StorageColumnLimit() { return static_cast<int>(MaxCells() * kCellColumns); }
uint32 StorageEntryLimit() { return g_directory->limit; }
StorageEntry* StorageEntryAt(uint32 index) { return &g_entries[index]; }
StorageId NextStorageId() { return g_directory->next_id; }
void RaiseNextStorageId(StorageId at_least) {
  g_directory->next_id = std::max(g_directory->next_id, at_least);
}
uint64 StorageDirectoryVersion() { return g_directory->version.load(std::memory_order_acquire); }

void ApplyStorageRegister(const StorageIdentity& identity, const Column* columns,
                          uint32 column_count, Lsn lsn, uint64 sequence) {
  StorageEntry* entry = FindStorage(identity.id);
  if (entry == nullptr) {
    if (StorageEntry* dead = FindStorage(identity.node, identity.backend)) {
      ApplyStorageDrop(dead, lsn, sequence);
    }
    uint32 index;
    if (g_directory->free_entry != 0) {
      index = g_directory->free_entry - 1;
      g_directory->free_entry = g_entries[index].next_by_id;
    } else {
      index = g_directory->limit++;
    }
    entry = new (&g_entries[index]) StorageEntry{};
    entry->identity = identity;
    entry->state = StorageEntry::kLive;
    entry->marked_end = kMarkedEndUnknown;
    uint32* by_node = NodeBucket(identity.node, identity.backend);
    entry->next_by_node = *by_node;
    *by_node = index + 1;
    uint32* by_id = IdBucket(identity.id);
    entry->next_by_id = *by_id;
    *by_id = index + 1;
    RaiseNextStorageId(identity.id + 1);
  }
  GrowColumns(entry, columns, column_count);
  entry->changes++;
  entry->lsn = std::max(entry->lsn, lsn);
  g_directory->version++;
}

void ApplyStorageBlocks(StorageEntry* entry, uint32 blocks, Lsn lsn) {
  if (blocks > entry->logged_blocks) entry->logged_blocks = blocks;
  entry->changes++;
  entry->lsn = std::max(entry->lsn, lsn);
}

void ApplyStorageDrop(StorageEntry* entry, Lsn lsn, uint64 sequence) {
  if (entry->state == StorageEntry::kDropped) {
    if (entry->drop_sequence == kDropAfterRecovery) entry->drop_sequence = sequence;
    return;
  }
  Unlink(NodeBucket(entry->identity.node, entry->identity.backend), &StorageEntry::next_by_node,
         entry);
  entry->state = StorageEntry::kDropped;
  entry->drop_sequence = sequence;
  entry->lsn = std::max(entry->lsn, lsn);
  entry->changes++;
  g_shared->drops_pending++;
  g_directory->version++;
}

void RemoveStorageEntry(StorageEntry* entry) {
  if (entry->state != StorageEntry::kDropped) {
    Unlink(NodeBucket(entry->identity.node, entry->identity.backend), &StorageEntry::next_by_node,
           entry);
  } else {
    g_shared->drops_pending--;
  }
  Unlink(IdBucket(entry->identity.id), &StorageEntry::next_by_id, entry);
  FreeCells(entry);
  entry->state = StorageEntry::kFree;
  entry->next_by_id = g_directory->free_entry;
  g_directory->free_entry = IndexOf(entry) + 1;
  g_directory->version++;
}

void SettleDropsAfterRecovery(uint64 sequence) {
  if (g_shared->drops_pending == 0) return;
  for (uint32 i = 0; i < g_directory->limit; i++) {
    StorageEntry* entry = &g_entries[i];
    if (entry->state == StorageEntry::kDropped) ApplyStorageDrop(entry, 0, sequence);
  }
}

uint64 CurrentDropSequence() {
  int active = g_shared->active;
  if (active < 0) return g_shared->next_sequence - 1;
  uint64 sequence = g_shared->segments[active].sequence;
  return SegmentAt(active).used() > 0 || SegmentAt(active).last_lsn() != 0 ? sequence
                                                                           : sequence - 1;
}

size_t IndexPrefix(const Segment& segment, StorageId storage, Slice key, char* prefix) {
  if (segment.HasIndex(storage)) return 0;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  const StorageEntry* entry = FindStorage(storage);
  size_t size = entry != nullptr ? entry->leaves.prefix_size : 0;
  if (size > 0) memcpy(prefix, entry->leaves.prefix, size);
  LWLockRelease(StorageTableLock());
  // Nothing is known yet: the first byte says whether the first column is null.
  if (size == 0 && !key.empty()) prefix[size++] = key[0];
  return size;
}

bool LoadStorage(const StorageIdentity& identity, const Column* columns, uint32 column_count,
                 uint32 blocks) {
  if (!StorageHasRoom(FindStorage(identity.id), column_count)) return false;
  ApplyStorageRegister(identity, columns, column_count, 0, kDropAfterRecovery);
  StorageEntry* entry = FindStorage(identity.id);
  entry->logged_blocks = std::max(entry->logged_blocks, blocks);
  entry->next_block = entry->logged_blocks;
  entry->persisted = entry->changes;
  return true;
}

}  // namespace omendb
