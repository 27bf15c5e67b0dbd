// Memory for AlexMap that takes back what is retired: free lists by size, and epochs that tell when
// no reader can be inside any more. Lies in one block that many processes may share and map at
// different addresses; a handle on it, trivially copyable.
//
// Whoever uses a map does so inside an epoch: every thread has a slot of its own (TakeSlot, at the
// end ReturnSlot), and Enter and Leave go around operations and around the life of iterators and of
// the slices that they gave. What is retired meanwhile stays. A process that died in between leaves
// a slot that holds memory back; who knows of its death calls ReturnSlot for it.
//
// Invariants
//   1. A block retired at epoch e is reused when no slot holds an epoch <= e.
//   2. The arena's lock guards free lists, the queue of retired blocks and the end of used memory.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace omendb {

class AlexArena {
 public:
  static constexpr uint32_t kSlots = 1024;
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  AlexArena() : base_(nullptr) {}  // attached to nothing

  // Formats memory (64-aligned, at most 32 GiB are used) / finds what another process formatted.
  // REQUIRES: size >= MinimumSize().
  static AlexArena Format(void* memory, size_t size);
  static AlexArena Attach(void* memory);
  static size_t MinimumSize();

  char* base() const { return base_; }
  // 0 = no room. Does not begin the last `kept` bytes of the block. Without new memory it takes a
  // part of a larger block that is free, or joins free blocks, unless some is to be kept.
  uint32_t Allocate(size_t bytes, size_t kept = 0);
  void Retire(uint32_t offset, size_t bytes);

  uint32_t TakeSlot();  // kNoSlot if all are taken
  void ReturnSlot(uint32_t slot);
  void Enter(uint32_t slot);
  void Leave(uint32_t slot);

  size_t capacity() const;
  size_t used() const;     // bytes ever taken from the block
  size_t waiting() const;  // blocks retired and not yet free

 private:
  struct Header;
  struct Chunk;

  explicit AlexArena(char* base) : base_(base) {}
  Header* header() const;
  uint32_t Take(size_t size_class, size_t kept);  // these REQUIRE the lock
  uint32_t Split(size_t size_class);
  bool Join();
  void GiveRange(size_t begin, size_t end);
  uint32_t TakeFree(size_t size_class);
  void GiveFree(uint32_t offset, size_t size_class);
  void Reclaim();
  bool Enqueue(uint32_t offset, uint32_t size_class);

  char* base_;
};

// Is inside an epoch as long as it lives.
class AlexEpoch {
 public:
  AlexEpoch(AlexArena arena, uint32_t slot) : arena_(arena), slot_(slot) { arena_.Enter(slot_); }
  ~AlexEpoch() { arena_.Leave(slot_); }
  AlexEpoch(const AlexEpoch&) = delete;
  AlexEpoch& operator=(const AlexEpoch&) = delete;

 private:
  AlexArena arena_;
  uint32_t slot_;
};

}  // namespace omendb

#include "base/pure.h"
