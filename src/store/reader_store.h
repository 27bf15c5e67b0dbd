// The database as a backend reads it: a RocksDB secondary instance in its own process, opened at
// first use. It sees the state of some generation and moves on when told to.
//
// Single-threaded use. Blocks all signals by itself around every call that can start threads.
// Index and filter blocks are used where they are mapped (shared between processes), data blocks
// are copied (store/reader_file_system.h). A fault in a mapped part (SIGBUS: the file was truncated
// or its disk is gone) is caught. In an index or filter: the call returns kIoError, the instance is
// leaked and poisoned() is set; the session should end (FATAL).
// From then on exit() ends the process without running static destructors (store/bus_guard.h).
//
// Checksums: a value is handed out as it is on disk, its sections have their own (BlockView::Parse
// with verify). Keys are checked when a block is said to be absent; scans check that they ascend.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/types.h"
#include "store/leaf_iterator.h"
#include "store/store_place.h"

namespace omendb {

class ReaderStore {
 public:
  // Writes nothing anywhere. `min_generation`: every family must be at least there, else it opens
  // once more and then fails with kCorruption. The caller holds the openers' lock shared meanwhile.
  static Status Open(const std::string& path, uint64_t min_generation,
                     std::unique_ptr<ReaderStore>* store);
  virtual ~ReaderStore() = default;

  virtual uint64_t generation() const = 0;  // that the last Open or CatchUp reached
  virtual bool poisoned() const = 0;
  // Moves on to at least min_generation; same locking as Open. After an error the instance is
  // unusable: drop it and open anew.
  virtual Status CatchUp(uint64_t min_generation) = 0;

  // Bytes of a block value; 8-aligned. kNotFound if the store has nothing of the block.
  // Reuses the buffer's memory.
  virtual Status Get(StorageId storage, BlockNo block, std::string* value) = 0;

  // Blocks of a storage in [first, end), ascending. Pins the state it was made at.
  class BlockIterator {
   public:
    virtual ~BlockIterator() = default;
    virtual bool Valid() const = 0;  // false at the end or on error: see status()
    virtual Status status() const = 0;
    virtual BlockNo block() const = 0;
    virtual Slice value() const = 0;  // 8-aligned, until Next or Seek
    virtual void Next() = 0;
    virtual void Seek(BlockNo block) = 0;
  };
  virtual Status NewIterator(StorageId storage, BlockNo first, BlockNo end,
                             std::unique_ptr<BlockIterator>* iterator) = 0;

  // Bytes of an index leaf, operands behind the base; at any alignment. kNotFound if there is none
  // with exactly this low position. Reuses the buffer's memory.
  virtual Status GetLeaf(StorageId storage, Slice low, std::string* value) = 0;
  // Where the last GetLeaf found the leaf's base. REQUIRES: it was the last call.
  virtual StorePlace last_place() const = 0;
  // What is at that place of the leaf, if anything: its base, as it was when somebody found it
  // there. Much cheaper. False: this process has not read there before, or cannot.
  struct LeafAt {
    StorePlace place;
    uint64_t value_at = 0, size = 0;  // of the value, behind the place
  };
  [[nodiscard]] virtual bool FindLeafAt(StorePlace place, StorageId storage, Slice low,
                                        LeafAt* leaf) = 0;
  // Bytes [at, at + size) of its value. False: they cannot be read there.
  [[nodiscard]] virtual bool CopyLeafAt(const LeafAt& leaf, uint64_t at, size_t size, char* to) = 0;
  // Leaves of a storage. Pins the state it was made at. To be used for many seeks.
  virtual Status NewLeafIterator(StorageId storage, std::unique_ptr<LeafIterator>* iterator) = 0;

  // Value of a meta key; kNotFound.
  virtual Status GetMeta(Slice key, std::string* value) = 0;
};

}  // namespace omendb
