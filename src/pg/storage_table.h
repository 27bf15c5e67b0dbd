// Which storage a relfilenode has, its layout, and how many blocks it has given out.
//
// A table in shared memory (omendb.max_storages entries, an arena for layouts); the store's meta
// family has a copy as of the last flush and WAL what came later. A relation gets its storage from
// its first writer; a relation without one is empty.
#pragma once

#include "base/types.h"
#include "pg/server.h"
#include "pg/storage_directory.h"

extern "C" {
#include "access/tupdesc.h"
}

namespace omendb {

// The layout of a tuple descriptor, one column for each attribute (dropped ones too).
void ColumnsOf(TupleDesc descriptor, Column* columns);

// The node under which a storage is known. ALTER DATABASE ... SET TABLESPACE moves the relations in
// a database's default tablespace without a word to us, so these are known without it (spcNode 0).
RelFileNode StorageNode(const RelFileNode& node);

// Storage of a relation, 0 if it never had a row. Remembered per session by relfilenode; the caller
// may ask often.
StorageId StorageOf(Relation relation);
// As above, but registers one (WAL-logged unless the relation is temporary or unlogged), and makes
// its layout cover the relation's attributes. ERROR program_limit_exceeded when the table is full,
// with the GUC named. Must be called outside critical sections, before WriteGateEnter, with an xid.
StorageId StorageForWrite(Relation relation);
// A relfilenode was newly created: whatever was known by its name belongs to a dead relation.
void StorageForgetNode(const RelFileNode* node, BackendId backend);
// TRUNCATE in the transaction that created the relation: the storage is replaced by none.
void StorageTruncate(Relation relation);

// Takes the next block number that nobody ever had. WAL-logged ahead in steps (unless unlogged).
// ERROR program_limit_exceeded at kMaxBlocks.
BlockNo StorageTakeBlock(Relation relation, StorageId storage);
// Places that a session took and did not use up (the rest of a block, from a slot on) go to whoever
// inserts next: sessions that live for a few rows would otherwise leave a block each. What does not
// fit is forgotten; a server restart forgets all. False: there is none.
bool StorageTakeSparePlace(StorageId storage, BlockNo* block, uint32_t* next_slot);
// Called at session end too: does not ereport.
void StorageGiveSparePlace(StorageId storage, BlockNo block, uint32_t next_slot);

// Blocks given out so far: relation_size / BLCKSZ.
BlockNo StorageBlockCount(StorageId storage);
// The storage's entry in the shared table, or nullptr: good for as long as the caller's lock on the
// relation keeps it from being dropped. For its atomic fields only.
struct StorageEntry* SharedEntryOf(StorageId storage);
// For planner estimates: bytes in the store as of the last flush, 0 if unknown.
uint64_t StorageBytes(StorageId storage);

// Blocks from here on have no marks in the visibility map (visibility_map.h). kMarkedEndUnknown
// until somebody settles it; it only grows afterwards. 0 for a relation without a storage.
uint32 StorageMarkedEnd(Relation relation);
// If it is still unknown, it is `end`. Returns what it is.
uint32 StorageSettleMarkedEnd(Relation relation, uint32 end);
// REQUIRES: it is not unknown.
void StorageRaiseMarkedEnd(Relation relation, uint32 end);

// DROP DATABASE: the sweep does not take the absence of a whole directory for a drop.
void StorageForgetDatabase(Oid database);

// Storages of a database that copies of it need too, temporary ones left out: the first one whose
// number in the table is at least *at, which is moved behind it. False: there is none.
struct StorageIdentity;
bool NextStorageOfDatabase(Oid database, uint32_t* at, StorageIdentity* identity);

// Registers a storage for a node that has none, as a copy of another one: the same layout, and the
// same block numbers count as given out. REQUIRES: as for StorageForWrite.
StorageId StorageRegisterCopy(const RelFileNode& node, BackendId backend, char persistence,
                              StorageId source);
// The layout of a storage. `columns` has room for kMaxColumns. Returns how many there are.
uint32_t StorageLayout(StorageId storage, Column* columns);

}  // namespace omendb
