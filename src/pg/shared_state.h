// Everything that the server's processes share besides the contents of the segments: one struct in
// shared memory, made by the postmaster, zeroed again after a crash.
//
// Lock order: freeze queue, freeze, stripe, storage table, WAL insertion. Store openers and store
// text are taken alone. Atomics say below who changes them.
#pragma once

#include <atomic>

#include "buffer/segment.h"
#include "pg/settings.h"

extern "C" {
#include "access/xlogdefs.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
}

namespace omendb {

enum class StoreState : uint32_t { kStarting, kOpen, kFailed };

// A segment's life: free -> active -> frozen -> judged -> free. Who moves it on:
//   active: whoever freezes its predecessor, under the freeze lock
//   frozen: likewise
//   judged: the guard; in recovery the startup process, which froze it
//   free:   the store worker
enum class SegmentState : uint32_t { kFree, kActive, kFrozen, kJudged };

struct SegmentSlot {
  std::atomic<SegmentState> state;
  std::atomic<uint64_t> sequence;  // grows by one with every activation, from 1
  void* memory;
};

inline constexpr uint64_t kNoPin = 0;

// One per process that can read. On a cache line of its own: every read writes it.
struct alignas(64) SessionSlot {
  std::atomic<uint64_t> pin;  // list epoch at the pin, kNoPin = none
  std::atomic<uint64_t>
      reader_generation;  // of the ReaderStore that the session has open, 0 = none
  std::atomic<bool> in_backup;  // between pg_backup_start and pg_backup_stop
  std::atomic<uint64_t> shown_round;  // of what an index-only scan shows, 0 = nothing; own session
};

// Asks the guard for verdicts on behalf of compaction. One request at a time.
enum class OracleState : uint32_t { kIdle, kAsked, kAnswered };
inline constexpr uint32_t kOracleRequestSize = 1024;
struct OracleMailbox {
  std::atomic<OracleState> state;  // kAsked: by the store worker; kAnswered: by the guard
  uint32_t count;
  FullXid xids[kOracleRequestSize];
  Verdict verdicts[kOracleRequestSize];
};

// A Status as processes show it to each other.
struct FailureText {
  char message[256], detail[512], hint[256];
};

// Something that is asked of the store worker, by one process at a time (store_request.h). What it
// is stands behind it, and stays as it is while the request is not free. Store text lock.
enum class RequestState : uint32_t { kFree, kAsked, kTaken, kDone };
struct StoreRequest {
  std::atomic<RequestState> state;  // kTaken, kDone: by the store worker, else by who asks
  std::atomic<bool> abandoned;      // who asked is gone
  uint32_t failure;                 // StatusCode
  FailureText failure_text;
};

// What takes the store worker long and is done while flushes go on (store_job.h).
struct StoreJob {
  StoreRequest request;
  StorageId storage;      // 0 = all
  FullXid resolve_below;  // 0 = compact it
};

// Files of a new index that are to be taken into the store (leaf_ingest.h).
struct LeafIngest {
  StoreRequest request;
  StorageId storage;
  uint32_t files;
  uint8_t prefix_size;  // of all keys
  char prefix[kIndexPrefixRoom];
};

// Figures for the stat functions; changed by whoever does what they count.
struct Counters {
  std::atomic<uint64_t> flushes, flushed_bytes, flushed_blocks;
  std::atomic<uint64_t> stalls, stalled_us, delayed_us;  // writers: buffer full, compaction debt
  std::atomic<uint64_t> checkpoints, judged_xids, swept_storages, unlinked_files;
};

struct SharedState {
  // Live segments, newest first, as one word (see LiveList): a copy is always consistent.
  std::atomic<uint64_t> live;
  std::atomic<uint64_t> list_epoch;   // from 1; store worker, after taking a segment off the list
  std::atomic<uint64_t> generation;   // store worker, before taking a segment off the list
  std::atomic<uint64_t> durable_lsn;  // store worker
  std::atomic<uint64_t> flushed_sequence;  // store worker: all segments up to it are in the store

  // Of the last checkpoint: once the segments up to the sequence are in the store, so is everything
  // up to the LSN. Guard; startup process in recovery. See DurableOnceFlushed.
  std::atomic<uint64_t> checkpoint_sequence, checkpoint_redo;

  SegmentSlot segments[kSegmentCount];
  std::atomic<int> active;  // index, -1 = none; under the freeze lock, exclusive
  uint64_t next_sequence;   // under the freeze lock, exclusive

  std::atomic<bool> freeze_wanted;  // under the freeze queue lock
  std::atomic<bool> armed;          // guard; under the freeze lock, exclusive
  std::atomic<bool> closed;         // guard; under the freeze lock, exclusive
  std::atomic<bool> store_exiting;  // store worker; under the freeze lock, exclusive
  bool drop_unlogged;  // the server emptied unlogged relations, the store has not yet; postmaster
  // This is a copy whose store was not opened yet: set by the postmaster, cleared by the store worker.
  std::atomic<bool> from_backup;
  XLogRecPtr restored_redo;  // where recovery of that copy begins

  std::atomic<StoreState> store_state;  // store worker
  std::atomic<uint32_t> open_failure;   // store worker: StatusCode of the last one; see kFailed
  std::atomic<bool> storages_loaded;    // store worker: the storage table is complete
  std::atomic<uint32_t> write_failure;  // StatusCode of the last failed flush, 0 = none
  FailureText failure_text;      // store text lock
  char store_description[2048];  // store text lock

  std::atomic<uint32_t> delay_us_per_mb;  // store worker: what writers owe compaction
  std::atomic<uint64_t> level0_files, pending_bytes, obsolete_files, obsolete_bytes;
  std::atomic<bool> compacting;
  StoreJob job;
  LeafIngest leaf_ingest;

  std::atomic<bool> leaf_maps_wanted;  // some storage's leaves.state is kWanted
  std::atomic<uint64_t> reclaim_requested, reclaim_done;  // see RequestReclaim
  std::atomic<bool> reclaim_sweep;

  std::atomic<FullXid> horizon;  // guard; only grows
  std::atomic<uint64_t> mark_rounds;  // who marks blocks as seen by all; see shown_entries.h
  OracleMailbox oracle;
  std::atomic<uint64_t> wanted_xids;    // store worker: questions not yet answered
  std::atomic<uint64_t> drops_pending;  // dropped storages whose rows are still in the store

  // Wait: room in the buffer, admission, a flush | the store's state.
  ConditionVariable buffer_space, store_changed;
  std::atomic<Latch*> store_latch, guard_latch;

  Counters counters;

  SessionSlot* sessions;  // SessionSlotCount() of them
};

extern SharedState* g_shared;

// In the order in which they are taken.
LWLock* FreezeQueueLock();
LWLock* FreezeLock();
LWLock* StorageTableLock();
LWLock* StoreOpeners();
LWLock* StoreTextLock();
LWLock* StripeLocks(int index);
inline constexpr int kStripes = 256;

// PostgreSQL 15 can name no wait of an extension except on a lock. So our waits on condition
// variables and latches show as waits on lock tranches that no lock belongs to.
enum class Wait {
  kBufferSpace,     // OmenDBBufferFull
  kStoreOpen,       // OmenDBStoreOpen
  kFlush,           // OmenDBFlush
  kArmed,           // OmenDBAdmission
  kCompactionDebt,  // OmenDBCompactionDelay
  kCompact,         // OmenDBCompact
  kIngest,          // OmenDBIngest
  kWorkerIdle,      // OmenDBWorkerIdle
  kPins,            // OmenDBReadPins
  kShownEntries,    // OmenDBShownEntries
  kCount,
};
uint32 WaitEventOf(Wait wait);

void InstallSharedStateHooks();

int SessionSlotCount();
SessionSlot* OwnSessionSlot();

// LiveList: count in the lowest byte, above it the segments' indexes, newest first.
inline int LiveCount(uint64_t list) { return static_cast<int>(list & 0xff); }
inline int LiveAt(uint64_t list, int i) { return static_cast<int>((list >> (8 * (i + 1))) & 0xff); }

inline Segment SegmentAt(int index) { return Segment::Attach(g_shared->segments[index].memory); }

void WakeStoreWorker();
void WakeGuard();

}  // namespace omendb
