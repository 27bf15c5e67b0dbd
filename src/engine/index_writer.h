// Writes many entries of an index, in records of a few, and copies whole indexes.
#pragma once

#include "base/index_entry.h"
#include "pg/string_info.h"

namespace omendb {

// Entries are given in ascending order. Trivial; its memory is the context's that
// was current at Start.
inline constexpr uint32 kIndexWriterEntries = 64;
struct IndexWriter {
  struct Item {
    int at, key_size, payload_size;
    TidNumber tid;
    bool removed;
  };
  Relation index;
  StorageId storage;
  uint32 count;
  Item items[kIndexWriterEntries];
  StringInfoData bytes;
  size_t bound, body_bound;
  char* body;
  size_t body_size;
};
void StartIndexWriter(IndexWriter* writer, Relation index, StorageId storage);
void WriteIndexEntry(IndexWriter* writer, const IndexEntry& entry);
void FinishIndexWriter(IndexWriter* writer);

// Copies all entries of a storage into another one.
void CopyIndexEntries(Relation from_relation, StorageId from, Relation to_relation, StorageId to);

// Calls visit(entry, argument) for every entry of an index. The entry's bytes are good for the
// call.
void VisitIndexEntries(Relation index, StorageId storage,
                       void (*visit)(const IndexEntry& entry, void* argument), void* argument);

}  // namespace omendb
