// A backend's view of the store's files: reads only, and of an SST uses what lies behind its data
// blocks where it is mapped, so that processes share the pages of index and filter and have no
// copies of their own. Data blocks are copied: the first time from a region of 64 kB with pread,
// one system call for a whole block, where a mapping would take a fault every few pages (measured
// for 12 kB that nobody has in memory: 146 us against 260 to 830), and later from the mapping.
#pragma once

#include <rocksdb/env.h>

#include <memory>

#include "store/store_place.h"
#include "base/pure.h"

namespace omendb {

// One for the process, never destroyed: poisoned instances refer to it for ever.
rocksdb::Env* ReaderEnv();

// Where the data block begins that this thread read last through the environment above.
StorePlace LastDataBlock();
// Copies what lies so many bytes behind a place, past RocksDB, from the mapping. False if this
// process has not opened the file, has not read there before and it is not in memory, or there is
// nothing, or a fault.
[[nodiscard]] bool CopyMappedAt(StorePlace place, uint64_t skip, size_t n, char* to);

}  // namespace omendb
