// One segment of the shared write buffer: a bump arena in shared memory that holds the newest
// versions of rows until they are flushed, addressed by offsets so that every process may map it
// elsewhere. Rows are found by hash (storage, block) -> block entry -> slot -> newest version ->
// older versions. Images (whole batches of inserted rows, encoded) hang on the block entry.
//
// Writers: any process, under the caller's lock for the stripe of (storage, block), exclusively
// held from the decision to write until Apply* returned. Space comes from a reservation made
// before, so that Apply* cannot fail: it runs in a critical section, in the forward path and in
// redo alike.
//
// Readers: any process, without locks, also while writers work, as long as the caller keeps the
// segment from being reset. What a reader may see is only ever added to, but for the flag bits.
//
// Invariants
//   1. used <= reserved <= capacity; a reservation covers the most that its changes can take.
//   2. The versions of a slot are linked newest first, LSNs strictly descending.
//   3. An entry is complete before it can be reached (release store, acquire load).
//   4. After Freeze nothing is added; flags may still change (verdicts, hints).
#pragma once

#include <atomic>
#include <cstddef>

#include "base/index_entry.h"
#include "base/status.h"
#include "base/types.h"

namespace omendb {

class SegmentIndex;  // buffer/segment_index.h

// A version of one row in the segment; payload bytes follow it. 8-aligned, 32 bytes.
struct BufferedVersion {
  FullXid xid;
  Lsn lsn;
  CommandNo cid;
  uint32_t size;   // of the payload
  uint32_t older;  // the next older version of the slot (segment_layout.h), 0 = none
  VersionKind kind;
  std::atomic<uint8_t> flags;  // kVersion*; bits are only ever set

  VersionMeta meta() const;
  Slice payload() const;
};

// A batch of inserted rows as one encoded row image section, whose 8-aligned bytes follow it.
// 32 bytes.
struct BufferedImage {
  FullXid xid;
  Lsn lsn;
  CommandNo cid;
  uint32_t size;               // of the section
  uint32_t older;              // next older image of the same block in this segment, 0 = none
  std::atomic<uint8_t> flags;  // kVersion*; bits are only ever set

  VersionMeta meta() const;  // kind kInsert
  Slice section() const;
};

// Handle on a segment in shared memory. Trivially copyable.
class Segment {
 public:
  Segment() = default;  // attached to nothing

  // Bytes to ask shared memory for, so that capacity() is at least `capacity` (below 31 GiB) /
  // formats memory (8-aligned, `size` bytes; cache line aligned is best) as an empty segment. What
  // lies beyond 32 GiB is not used.
  static size_t SizeFor(size_t capacity);
  static Segment Format(void* memory, size_t size);
  static Segment Attach(void* memory);

  // Empties a segment. REQUIRES: no reader, no writer.
  void Reset();

  // Upper bounds of the space one change takes, for Reserve.
  static size_t BoundForVersion(size_t payload_size);
  static size_t BoundForImage(size_t section_size);
  size_t capacity() const;  // the largest reservation that can ever succeed
  // Reserves; false if there is no room. Thread and process safe. Release what was not applied, and
  // the rest after applying (Apply* gives its own rest back).
  bool Reserve(size_t bytes);
  void Release(size_t bytes);

  // REQUIRES: a reservation of BoundFor*; the stripe lock. new_block: this is the first change ever
  // made to the block, nothing of it can be anywhere else.
  // Cannot fail and allocates nothing outside the arena.
  void ApplyVersion(StorageId storage, BlockNo block, SlotNo slot, const VersionMeta& meta,
                    Slice payload, bool new_block);
  void ApplyImage(StorageId storage, BlockNo block, const VersionMeta& meta, Slice section,
                  bool new_block);

  // Entries of indexes, an ALEX map for each. REQUIRES: a reservation of BoundForIndexEntry. Writers
  // need no lock. prefix: what keys are told apart behind, if this is the index's first entry here.
  static size_t BoundForIndexEntry(const IndexEntry& entry);
  void ApplyIndexEntry(StorageId storage, const IndexEntry& entry, Slice prefix);
  bool HasIndex(StorageId storage) const;
  // The entries, tombstones among them (kEntryRemoved in an item's flags). False: none.
  bool FindIndex(StorageId storage, SegmentIndex* index) const;
  using IndexVisitor = void (*)(void* context, StorageId storage, const SegmentIndex& index);
  void VisitIndexes(IndexVisitor visit, void* context) const;

  // Newest version of the slot in this segment, or nullptr. (Images are apart.)
  BufferedVersion* Newest(StorageId storage, BlockNo block, SlotNo slot) const;
  BufferedVersion* Older(const BufferedVersion* version) const;
  BufferedImage* NewestImage(StorageId storage, BlockNo block) const;
  BufferedImage* Older(const BufferedImage* image) const;

  // All there is of one block, looked up once: for scans.
  struct BlockEntry;  // opaque, as are
  struct Header;
  class Allocation;
  const BlockEntry* Find(StorageId storage, BlockNo block) const;
  BufferedVersion* Newest(const BlockEntry* entry, SlotNo slot) const;
  BufferedImage* NewestImage(const BlockEntry* entry) const;
  bool IsNewBlock(const BlockEntry* entry) const;  // some change said new_block
  // Slots with at least one version (not those only in images), 256-bit map into slots[4].
  void VersionSlots(const BlockEntry* entry, uint64_t* slots) const;
  // The newest version of every such slot, each slot once, unordered. Cheaper than VersionSlots and
  // Newest for each: for flushes and scans of whole blocks.
  using SlotVisitor = void (*)(void* context, SlotNo slot, BufferedVersion* newest);
  void VisitSlots(const BlockEntry* entry, SlotVisitor visit, void* context) const;

  // Block numbers of a storage in this segment, unordered: calls visit(context, block, entry).
  // While writers work, a block that they add meanwhile may or may not be visited.
  using BlockVisitor = void (*)(void* context, StorageId storage, BlockNo block,
                                const BlockEntry* entry);
  void VisitBlocks(StorageId storage, BlockVisitor visit, void* context) const;
  void VisitAllBlocks(BlockVisitor visit, void* context) const;
  // Every version and image, for verdicts: flags may be changed through the pointers.
  using VersionVisitor = void (*)(void* context, FullXid xid, std::atomic<uint8_t>* flags);
  void VisitXids(VersionVisitor visit, void* context) const;

  // Figures, counted from the structure.
  size_t used() const;
  size_t reserved() const;
  uint64_t versions() const;
  uint64_t images() const;
  uint64_t blocks() const;
  uint64_t index_entries() const;  // applied, tombstones among them
  // Tombstones of index entries. Counted after they were applied: whoever has seen the count has
  // seen them.
  uint64_t index_removals() const;
  Lsn first_lsn() const;  // 0 = empty
  Lsn last_lsn() const;
  // The caller reports the LSN of each WAL-logged record. Apply* does not: unlogged relations have
  // LSNs from another counter.
  void NoteLsn(Lsn lsn);

 private:
  struct StorageEntry;

  explicit Segment(Header* header) : header_(header) {}
  template <typename T>
  T* At(uint32_t offset) const;
  BlockEntry* FindEntry(StorageId storage, BlockNo block) const;
  std::atomic<uint32_t>* FindSlot(const BlockEntry* entry, SlotNo slot) const;
  StorageEntry* FindStorage(StorageId storage) const;
  StorageEntry* FindOrAddStorage(StorageId storage, Allocation* allocation);
  BlockEntry* NewEntry(StorageId storage, BlockNo block, bool new_block, Allocation* allocation);
  void PublishEntry(BlockEntry* entry, Allocation* allocation);
  void AddSlot(BlockEntry* entry, SlotNo slot, uint32_t version, Allocation* allocation);
  template <typename Visit>  // visit(slot, offset of the newest version)
  void ForEachSlot(const BlockEntry* entry, const Visit& visit) const;
  void VisitBlocksOf(const StorageEntry* storage, BlockVisitor visit, void* context) const;

  Header* header_ = nullptr;
};

}  // namespace omendb
