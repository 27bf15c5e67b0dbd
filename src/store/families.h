// How the database is laid out and tuned, for its owner and for its readers alike.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <memory>
#include <string>
#include <vector>

#include "base/types.h"
#include "base/pure.h"

namespace omendb {

// Order of the families in lists of descriptors and handles. RocksDB insists on `default`.
enum Family : int { kDefaultFamily, kRowsFamily, kKeysFamily, kMetaFamily, kFamilies };
inline constexpr Family kOurFamilies[] = {kRowsFamily, kKeysFamily, kMetaFamily};
const char* FamilyName(Family family);

// Folder below the database's in which files are built that it is to ingest. Emptied at every
// opening.
inline constexpr char kStagingFolder[] = "staging";

// What both sides must agree on: table format, comparator, no compression.
rocksdb::ColumnFamilyOptions CommonFamilyOptions(Family family);
// Quiet: no log file, no statistics, no archive of the write-ahead log that nobody writes.
rocksdb::DBOptions CommonDbOptions();

// A store holds all its files open, in its owner and in every reader: lets this process have as
// many as it is allowed to ask for. (The usual soft limit of 1024 is there for programs that call
// select.)
void RaiseFileLimit();
// How many files this process may open.
uint64_t FileLimit();

// Splits compaction output where a storage ends once the file is worth being one. An append to a
// storage then finds no file of the bottom level in its way and is placed there as it is.
std::shared_ptr<rocksdb::SstPartitionerFactory> NewStoragePartitioner();

inline rocksdb::Slice ToRocksDb(Slice slice) { return {slice.data(), slice.size()}; }
inline Slice FromRocksDb(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace omendb
