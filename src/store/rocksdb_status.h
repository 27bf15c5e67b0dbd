// RocksDB's errors in the words that reach a user.
#pragma once

#include <rocksdb/status.h>

#include <string>

#include "base/status.h"
#include "base/pure.h"

namespace omendb {

// kDiskFull, kCorruption, kIoError or kInternal; `message` says what could not be done, RocksDB's
// text becomes the detail. REQUIRES: !status.ok().
Status FromRocksDb(const rocksdb::Status& status, const std::string& message);

// True for "no space left" in any of its spellings: only waiting (and freeing space) helps.
bool IsDiskFull(const rocksdb::Status& status);

inline Status ReadError(const rocksdb::Status& status) {
  return FromRocksDb(status, "could not read from the omendb store");
}
inline Status WriteError(const rocksdb::Status& status) {
  return FromRocksDb(status, "could not write to the omendb store");
}

}  // namespace omendb
