// The write buffer as its managers see it: freezing, and waiting for the store.
#pragma once

#include "buffer/segment.h"
#include "pg/server.h"

namespace omendb {

enum class Wait;

enum class Freeze {
  kDone,           // or nothing to freeze
  kNoFreeSegment,  // the store worker has to give one back first
};

// Freezes the active segment and activates a free one.
// only_sequence: only if the active segment still is that one (0 = whichever).
// close: no further writer is admitted; needs no free segment.
// wait_for: sequence that has to be in the store for all that was written until now to be there.
// REQUIRES: no ticket held.
struct FreezeRequest {
  uint64_t only_sequence = 0;
  bool close = false;
};
Freeze FreezeActiveSegment(const FreezeRequest& request, uint64_t* wait_for);

// For sessions: brings everything written until now into the store. Interruptible; ERROR if the
// store cannot be written.
void FlushWriteBuffer();
// Asks the store worker to forget dropped storages as far as all segments that may hold rows of
// them are in the store, after looking for relations that are gone if `sweep`. Done when
// g_shared->reclaim_done has reached what is returned.
uint64_t RequestReclaim(bool sweep);
// One step of such a wait, on the condition variable that flushes signal.
void SleepUntilFlushed();

// Whoever flushes for a checkpoint: all that ends at or before `lsn` is in the segments up to
// `sequence`. Has the WAL up to there on disk first: a store must not be ahead of it.
void NoteCheckpointRedo(XLogRecPtr lsn, uint64_t sequence);
// Store worker: up to where the store is complete, as far as checkpoints told, once the segments up
// to `sequence` are in it.
XLogRecPtr DurableOnceFlushed(uint64_t sequence);

// Under the exclusive freeze lock. Arming fails if the store worker is about to exit.
bool ArmWriteBuffer();
// Closes the buffer if it is empty; false if it is not.
bool CloseWriteBufferIfEmpty();
bool WriteBufferIsEmpty();  // a snapshot; exact under the freeze lock, exclusive

// For the startup process: a reservation in the active segment, however long it takes.
Segment ReserveInRecovery(size_t bytes);
// For the startup process: brings everything applied so far into the store.
void FlushInRecovery(const char* failure_point);
// As above, before a checkpoint record at `lsn` is replayed.
void FlushForRestartpoint(XLogRecPtr lsn);
// For the startup process: makes room in the storage table. sweep: consistency was reached.
void ReclaimStoragesInRecovery(bool sweep);
// For the startup process, in a loop that waits for the store worker: sees that there is one, sleeps a
// little, minds interrupts. round counts from 0.
void WaitForWorkerInRecovery(int round, Wait wait);
// For the startup process: waits until the store is open or opening it failed. fatal_if_failed:
// only a failure that cannot pass counts, and is FATAL.
void WaitForStoreInRecovery(bool fatal_if_failed);

}  // namespace omendb
