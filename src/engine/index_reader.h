// Reads the entries of an index in order, in batches that are copied out: from the write buffer's
// segments and from the leaves in the store, the newest word on each (key, TID) counting.
//
// A batch is one look: the read view is pinned while it is collected and never between batches. So
// a scan holds nothing back, and each batch starts again behind the last entry of the one before.
// Entries that are there all the time are found exactly once; what comes or goes meanwhile may or
// may not be seen, as the server's rules for index scans allow.
#pragma once

#include "base/index_entry.h"
#include "pg/server.h"

namespace omendb {

// Owned by a memory context, closed by it or by CloseIndexReader.
struct IndexReader;
IndexReader* OpenIndexReader(Relation index, StorageId storage, MemoryContext owner);
void CloseIndexReader(IndexReader* reader);

// Where a batch starts and where it ends at the latest.
struct IndexSpan {
  Slice low;   // keys from here on; empty: all
  Slice high;  // keys before this; only if !high_unbounded
  bool high_unbounded;
  bool after_position;  // continue behind (or, backward, before) this entry instead of at an end
  Slice key;
  TidNumber tid;
};

// Collects up to `limit` entries; forward from the low end, backward from the high end. The entries
// are numbered from 0 in the order of the walk and stay where they are until the next call.
// *complete: the span has no more. ERROR data_corrupted names the index.
int ReadIndexBatch(IndexReader* reader, const IndexSpan& span, bool backward, int limit,
                   bool* complete);
// Entry of the last batch.
IndexEntry BatchEntry(const IndexReader* reader, int number);

// For uniqueness: what the newest segment says of a key, as a number that changes whenever an entry
// of the key is added to it. `segment`: which one that was. `removals`: of any entries: heap may use
// the TID of one again, and the same key with it.
struct KeyFingerprint {
  uint64_t segment;
  uint64_t removals;
  uint64_t value;
  friend bool operator==(const KeyFingerprint&, const KeyFingerprint&) = default;
};
// Of the segment with which the last batch was read, taken before it was read.
KeyFingerprint BatchFingerprint(const IndexReader* reader);
// Asks the next batches to take it, for this key (empty: no more).
void WatchKey(IndexReader* reader, Slice key);
// Of the active segment now. REQUIRES: a write ticket.
KeyFingerprint CurrentFingerprint(StorageId storage, Slice key);

}  // namespace omendb
