// What the storage table writes to the WAL; the functions stand in the WAL room. Each returns the
// end of its record. REQUIRES: critical section, a write ticket, StorageTableLock exclusively.
#pragma once

#include "pg/storage_directory.h"

namespace omendb {

Lsn LogStorageRegister(const StorageIdentity& identity, const Column* columns, uint32 column_count);
Lsn LogStorageBlocks(StorageId storage, uint32 blocks);
Lsn LogStorageDrop(StorageId storage);

}  // namespace omendb
