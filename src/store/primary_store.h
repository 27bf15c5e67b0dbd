// The RocksDB database under $PGDATA/omendb, as its one owner sees it: the store worker.
//
// Families: `rows` (block_key.h -> block_value.h), `keys` (leaf_key.h -> index_leaf.h), `meta`
// (storages). Nothing is written but by ingesting sorted files; RocksDB's WAL and memtables stay
// empty. Every ingest carries, in each family, the durable LSN and the generation under reserved
// keys, so that a family that fell behind is noticed.
//
// Called on the worker's main thread only, with all signals blocked around whatever may start
// threads. A compaction that was asked for runs on a thread of its own beside it. RocksDB's own
// threads run the folds of compaction; they touch nothing but memory and the
// files of the store, and log through StoreOptions::log, which must be callable from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/types.h"
#include "block/unresolved.h"
#include "store/leaf_iterator.h"

namespace omendb {

enum class LogLevel { kDebug, kInfo, kWarning };

struct StoreOptions {
  std::string path;                             // directory; created if missing
  const TransactionOracle* oracle = nullptr;    // what compaction may throw away
  // Leaves are not settled again before so many times as long has passed as it took the last time.
  double settle_pause = 9;
  std::function<bool(StorageId)> is_dropped;    // any thread: rows of these are garbage
  std::function<void(LogLevel, const std::string&)> log;  // any thread
  // Tests: called at named points, may not return. On the worker's thread: flush_after_files,
  // flush_before_ingest, ingest_link (of each file), ingest_unlink (of each one that was linked),
  // flush_after_ingest, before_unlink. On RocksDB's: compaction_begin, compaction_fold,
  // compaction_file, compaction_end.
  std::function<void(const char*)> failure_point;
  bool best_efforts_recovery = false;  // only for a restored copy, and only for its first opening
  // What was seen of the store before: one that is older is refused.
  Lsn least_lsn = 0;
  uint64_t least_generation = 0;
  int background_jobs = 2;
  uint64_t target_file_size = 64ull << 20;
};

// How far behind compaction is; the worker slows writers down in proportion.
struct CompactionDebt {
  int level0_files = 0;  // one of each flush is tiny and only carries the state
  uint64_t pending_bytes = 0;
  bool running = false;
};

class PrimaryStore {
 public:
  // kCorruption / kIoError / kDiskFull with detail and hint if it cannot be opened.
  static Status Open(const StoreOptions& options, std::unique_ptr<PrimaryStore>* store);
  virtual ~PrimaryStore() = default;  // closes: waits for running compactions to stop

  // Everything with an LSN up to it is in every family. 0 for a new store.
  virtual Lsn durable_lsn() const = 0;
  virtual uint64_t generation() const = 0;
  virtual std::string path() const = 0;

  // Calls visit for each pair of meta (reserved keys left out), in key order.
  virtual Status LoadMeta(const std::function<Status(Slice key, Slice value)>& visit) = 0;

  // One flush: files are written as blocks are added, in key order, then appear all at once.
  // On any error the caller may simply start again from the buffer: partial files are removed,
  // nothing was ingested. (A failed fsync is answered by writing new files, never by another fsync.)
  // After a failed Commit the next NewFlush opens the database anew; durable_lsn() and generation()
  // are then what the disk has, which may be what the failed Commit wanted.
  class Flush {
   public:
    virtual ~Flush() = default;  // removes the files if not committed
    // REQUIRES: (storage, block) ascends over the calls. new_block: a Put into the files of new
    // blocks, which land at the bottom; otherwise a merge operand in the files of changes.
    virtual Status AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value) = 0;
    // REQUIRES: (storage, low) ascends over the calls of these three, each leaf once; beside the
    // rows in any order. A whole leaf, which replaces what there was under its low position.
    virtual Status PutLeaf(StorageId storage, Slice low, Slice value) = 0;
    // A merge operand: deltas of the leaf.
    virtual Status MergeLeaf(StorageId storage, Slice low, Slice deltas) = 0;
    virtual Status DeleteLeaf(StorageId storage, Slice low) = 0;
    // Files that a session wrote for a new index (leaf_files.h). They are ingested with the rest;
    // if that fails they are gone. REQUIRES: nothing of the storage is in the store or this flush.
    virtual void AddLeafFiles(StorageId storage, uint32_t files) = 0;
    virtual void PutMeta(Slice key, Slice value) = 0;
    virtual void DeleteMeta(Slice key) = 0;
    virtual void DropStorage(StorageId storage) = 0;  // range-deletes its rows and leaves
    // Makes everything durable and visible with durable_lsn() = lsn (never moves back) and
    // generation() one higher.
    virtual Status Commit(Lsn lsn) = 0;
    virtual uint64_t bytes_written() const = 0;
  };
  // REQUIRES: no other flush is alive.
  virtual Status NewFlush(std::unique_ptr<Flush>* flush) = 0;

  // The value of a leaf, with its operands (folded only if there are many); kNotFound. For the
  // flusher, which splits leaves.
  virtual Status GetLeaf(StorageId storage, Slice low, std::string* value) = 0;
  // All leaves of a storage, as they are now. REQUIRES: destroyed before the next NewFlush.
  virtual Status NewLeafIterator(StorageId storage, std::unique_ptr<LeafIterator>* iterator) = 0;

  // After a failure NewFlush opens the database anew, and may find what failed in it.
  virtual bool must_reopen() const = 0;
  virtual CompactionDebt debt() const = 0;
  // Starts a compaction of one storage (0 = all), garbage collected by the oracle as it is now;
  // unresolved_below != 0: only of where files have versions without a verdict of older xids.
  // Flushes go on meanwhile. One that has to open the database anew cancels it, as does closing.
  // REQUIRES: the one before was seen to end.
  virtual Status StartCompaction(StorageId storage, FullXid unresolved_below) = 0;
  // True once it has ended, with what came of it (kUnavailable: cancelled), or if there is none.
  virtual bool CompactionEnded(Status* status) = 0;
  virtual void CancelCompaction() = 0;
  // For when nobody writes: starts to fold what flushes have left of index leaves above the bottom
  // level, once after a flush of leaves and if that is enough to be worth it, so that a reader
  // finds a leaf in one place. True if it has started. A compaction that is started ends it.
  virtual bool SettleLeaves() = 0;
  // True once when that has ended. Then a flush, which may have nothing in it, lets readers know
  // that there are new files: they are of the next generation to them.
  virtual bool TakeSettled() = 0;
  // The same, waited for.
  Status Compact(StorageId storage);

  // The smallest xid of a version of the storage without a verdict (kNoUnresolvedXid if all have
  // one), 0 if a file does not say.
  virtual Status OldestUnresolved(StorageId storage, FullXid* oldest) = 0;

  // Files that RocksDB deleted are only queued: backends may be opening them. The worker unlinks
  // them while it holds the lock that openers share. (What a failed Commit took back stays queued
  // until NewFlush succeeded.)
  virtual size_t obsolete_files() const = 0;
  virtual uint64_t obsolete_bytes() const = 0;
  virtual size_t UnlinkObsoleteFiles() = 0;

  // Live bytes of rows and index leaves in files, approximately, for one storage (0 = all).
  virtual uint64_t ApproximateSize(StorageId storage) const = 0;
  // "rocksdb.levelstats" and the like, for omendb.store_stat().
  virtual std::string Describe() const = 0;
};

}  // namespace omendb
