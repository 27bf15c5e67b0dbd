// Builds a new index of many entries without the write buffer: packs them into leaves, writes these
// into files, and has the store worker take the files.
//
// Only then the entries are logged. Whoever replays the records puts the entries where the leaves
// are on the server that built them: a standby, but also this server if it starts from a copy that
// was made in between, for a copy that began before the files were taken replays all records, and
// a copy that began afterwards has the leaves. A crash in between leaves an index that no
// transaction has committed.
#pragma once

#include "base/index_entry.h"
#include "pg/server.h"

namespace omendb {

struct IndexLoader;

// REQUIRES: the index is new, and nobody else knows it. Lives as long as `owner`; its files go
// with it.
IndexLoader* StartIndexLoader(Relation index, StorageId storage, MemoryContext owner);
// REQUIRES: ascending by (key, TID).
void LoadIndexEntry(IndexLoader* loader, const IndexEntry& entry);
void FinishIndexLoader(IndexLoader* loader);

}  // namespace omendb
