// The forward path of the resource manager: one critical section that inserts the WAL record and
// applies it to the write buffer. Redo calls the same Apply.
//
// Unlogged and temporary relations take the same way without a record, with LSNs from the server's
// counter for unlogged relations.
#pragma once

#include "base/index_entry.h"
#include "base/types.h"
#include "pg/write_gate.h"

namespace omendb {

struct ImageToLog {
  BlockNo block;
  Slice section;   // one row image section (block/row_image.h)
  bool new_block;  // first change ever made to the block
};

// Largest section LogAndApplyImages takes, and largest sum of one call: keeps records bounded.
inline constexpr size_t kMaxRecordPayload = 1u << 20;
// Largest row of one record: PostgreSQL writes records of up to 4 GB, but cannot read back one that
// takes more than an allocation of 1 GB with what decoding adds.
inline constexpr size_t kMaxRecordRow = size_t{1000} << 20;

// One version of one row. meta.lsn is filled in. Returns the LSN.
// REQUIRES: the stripe lock, held exclusively; a ticket with BoundForVersion(payload.size()).
Lsn LogAndApplyVersion(WriteTicket* ticket, Relation relation, StorageId storage, BlockNo block,
                       SlotNo slot, VersionMeta* meta, Slice payload, bool new_block);

// Batches of freshly inserted rows in blocks that only this backend inserts into: takes the stripe
// locks itself. REQUIRES: a ticket with the sum of BoundForImage; count <= 16.
Lsn LogAndApplyImages(WriteTicket* ticket, Relation relation, StorageId storage,
                      const ImageToLog* images, int count, FullXid xid, CommandNo cid);

// An update that moves a row to a new TID: both versions in one record, both stripe locks held.
// old_meta.kind is kMove; its payload is made here. Bound: BoundForVersion(8) +
// BoundForVersion(row).
Lsn LogAndApplyMove(WriteTicket* ticket, Relation relation, StorageId storage, BlockNo old_block,
                    SlotNo old_slot, VersionMeta* old_meta, BlockNo new_block_no, SlotNo new_slot,
                    VersionMeta* new_meta, Slice row, bool new_block);

// Entries of an index, sorted by key, in the order in which they are to count. Bound: the sum of
// Segment::BoundForIndexEntry. `body` has room for the sum of IndexEntryBound. The caller sees to
// it that no two sessions write the same (key, tid) at once.
void LogAndApplyIndexEntries(WriteTicket* ticket, Relation index, StorageId storage,
                             const IndexEntry* entries, uint32 count, char* body);

// The two halves of it, for who has reason to take them apart (pending_entries.h). prefix: as
// IndexPrefix says before the critical section. Entries come encoded to the record.
void ApplyIndexEntries(WriteTicket* ticket, StorageId storage, Slice prefix,
                       const IndexEntry* entries, uint32 count);
void LogEncodedIndexEntries(StorageId storage, uint32 count, Slice bytes);

// The same for entries that are in the store already, which the write buffer need not hold: what a
// standby, or a server that starts from an older backup, has to put there. Nothing for indexes
// whose changes need no WAL.
void LogIndexEntries(Relation index, StorageId storage, const IndexEntry* entries, uint32 count,
                     char* body);

// Makes a standby cancel queries that might want rows which nobody at or after `oldest` can see.
// Before VACUUM removes their index entries; after an index was built or a table copied without
// them, before the commit. Nothing for unlogged relations.
void LogIndexCleanup(Relation relation, FullXid oldest);

// Before the store is made to need clog no more for transactions before `limit`; on disk when it
// returns. Nothing for unlogged relations. REQUIRES: all of them have ended.
void LogFreeze(Relation relation, StorageId storage, FullXid limit);

}  // namespace omendb
