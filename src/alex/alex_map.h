// AlexMap: an ordered set of index entries as a learned index (ALEX, Ding et al., SIGMOD 2020), in
// memory that many processes share and may map at different addresses.
//
// Entries are ordered, and told apart, by (key bytes, tid). Keys are prefix-free: none is the
// beginning of another. Each entry carries 8 flag bits, which mean nothing here, and a payload.
//
// Memory is a trivially copyable handle on the memory:
//   char* base() const                            where offset 0 is in this process
//   uint32_t Allocate(size_t bytes)               8-aligned, offset in units of 8; 0 = no room
//   void Retire(uint32_t offset, size_t bytes)    unlinked, but readers may still be inside
// What is retired must stay as it is until no reader can be inside (an epoch; a bump arena does
// nothing). Slices that Find and iterators give live as long.
//
// Concurrency: all of it may be called by any number of processes and threads at the same time, but
// for BulkLoad, which wants a map that nobody else uses, and Stats, which wants no writer. Readers
// take no locks. Writers lock a leaf, and its parents to replace it, with spin locks in the nodes;
// nothing may interrupt them (longjmp, exit) before Put or Remove returned.
#pragma once

#include <span>
#include <vector>

#include "alex/approach.h"
#include "alex/builder.h"
#include "alex/tree.h"

namespace omendb {

template <typename Memory>
class AlexMap {
 public:
  class Iterator;

  // Makes an empty map and returns its offset, 0 = no room. `prefix`: the common beginning of all
  // or most keys, as far as known; keys that are at most 8 bytes longer and have no payload take 16
  // bytes. The first leaf takes less than 256.
  static uint32_t Create(Memory memory, Slice prefix, const AlexOptions& options);

  AlexMap(Memory memory, uint32_t offset) : memory_(memory), offset_(offset) {}

  // Adds the entry, or replaces flags and payload of the one that is there. kNoRoom: the map is as
  // it was.
  AlexPut Put(Slice key, uint64_t tid, uint8_t flags, Slice payload);
  // The most that one Put may take from Memory (sums of the bytes asked for, each rounded up to 8),
  // whatever other writers do.
  static size_t BoundForPut(size_t key_size, size_t payload_size, const AlexOptions& options);

  // Removes the entry for good; false if there is none.
  bool Remove(Slice key, uint64_t tid);

  bool Find(Slice key, uint64_t tid, AlexItem* item) const;
  // The first entry that is not before (key, tid), the last one before it; false if there is none.
  // As an iterator finds it, but for less.
  bool FindNotBefore(Slice key, uint64_t tid, AlexItem* item) const;
  bool FindBefore(Slice key, uint64_t tid, AlexItem* item) const;
  // For one of these or Find, if there are other maps to ask as well.
  alex::Approach ApproachTo(Slice key, uint64_t tid) const {
    return alex::Approach(memory_.base(), tree().space(tree().root_space()), key, tid);
  }

  // Fills an empty map from entries in strictly ascending order; false = no room, the map stays
  // empty.
  struct Entry {
    Slice key;
    uint64_t tid;
    uint8_t flags;
    Slice payload;
  };
  bool BulkLoad(std::span<const Entry> entries);

  AlexStats Stats() const;

  // Retires all of it. REQUIRES: no writer, and nobody can reach the map any more.
  void Destroy();

 private:
  using Probe = alex::Probe;
  using Slot = alex::Slot;
  using Leaf = alex::Leaf;
  using Node = alex::Node;
  using Shape = alex::Shape;
  using Space = alex::Space;
  using Record = alex::Record;
  using Tree = alex::Tree;
  using Path = alex::Path;
  using Run = alex::Run;
  using Builder = alex::Builder<Memory>;
  enum class Growth { kDone, kRetry, kNoRoom, kNotThatWay };
  struct Way {
    bool append, front;  // the new entry is the last (first) of all
    bool slow;           // the leaf's model does not pay
  };

  alex::MapHeader* header() const { return alex::At<alex::MapHeader>(memory_.base(), offset_); }
  Tree tree() const { return Tree(memory_.base(), offset_); }
  bool FindFrom(const Leaf* leaf, Slice key, uint64_t tid, AlexItem* item) const;
  bool FindInLeaf(Slice key, uint64_t tid, bool before, AlexItem* item) const;
  void Show(const Space* space, Slot slot, AlexItem* item) const;
  uint32_t NewRecord(Slice key, uint64_t tid, Slice payload);
  void RetireRecord(uint32_t record);
  Growth Grow(const Path& path, Leaf* leaf, size_t at, Slot slot);
  Growth Replace(const Path& path, Leaf* leaf, size_t place, size_t count);
  Growth Divide(const Path& path, Leaf* leaf, size_t count, Way way);
  Growth Split(const Path& path, Leaf* leaf, Node* parent, size_t count, Way way);
  Growth Append(const Path& path, Leaf* leaf, size_t count, const alex::Fit& fit);
  struct Parts;
  struct Cut;
  bool BuildParts(const Path& path, size_t count, Way way, Cut* cut);
  void Finish(const Path& path, Leaf* leaf, size_t count, const Cut& cut);
  void Shrink(const Path& path, Leaf* leaf);

  Memory memory_;
  uint32_t offset_;
};

}  // namespace omendb

#include "alex/alex_append.h"
#include "alex/alex_divide.h"
#include "alex/alex_grow.h"
#include "alex/alex_iterator.h"
#include "alex/alex_map_inl.h"
#include "alex/alex_near.h"
