// What a reader sees of the write buffer: the segments that are not yet in the store, newest first,
// kept from being reused as long as the view is pinned.
//
// Protocol (reader)                        (store worker, after an ingest)
//   1. publish own pin                       1. publish the new generation
//   2. copy the list of live segments        2. take the segment off the list
//   3. read the generation                   3. wait until no pin is older than that
//   4. store reader at >= that generation    4. reset the segment
// So whatever is in no listed segment is in the store at the generation that was read.
//
// A pin is one word in shared memory. It is cleared by ReadUnpin, at the end of every
// (sub)transaction abort and at exit; an ERROR between pin and unpin leaves no pin behind. Pins do
// not nest. Hold one for the resolution of a block or a row, never while waiting for another
// transaction.
#pragma once

#include "buffer/segment.h"
#include "pg/settings.h"

namespace omendb {

struct ReadView {
  int count;  // live segments, newest (active) first
  Segment segments[kSegmentCount];
  uint64_t generation;  // of the store that completes them
  uint64_t newest_sequence;  // of segments[0]
};

// ERROR object_not_in_prerequisite_state if the store is not open (its reason as detail); waits
// while the store worker is still opening it.
void ReadPin(ReadView* view);
void ReadUnpin();

// The first half of ReadPin: returns once the store is open and its storages are known, else ERROR.
void EnsureStoreOpen();
// Does what the store worker does at start, once, where there is no worker. (Worker room.)
void OpenStoreInSingleUserMode();

// Tells the store worker which generation this session's ReaderStore stands at; 0 = none is open.
// Sessions that hold back the disk space of deleted files get an invalidation of the relation below
// and PROCSIG_CATCHUP_INTERRUPT to take notice of it.
void ReadNoteReaderGeneration(uint64_t generation);
// No relation has this id: its invalidation says only this, also to sessions in a transaction.
inline constexpr Oid kOldFilesInvalidation = 1;

// Locks held by whoever opens or moves on a ReaderStore (shared) or unlinks files (exclusive).
void StoreOpenersLock();
void StoreOpenersUnlock();

const char* StorePath();  // absolute

}  // namespace omendb
