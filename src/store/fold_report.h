// What merge operators do with values that cannot be folded.
#pragma once

#include <rocksdb/slice.h>

#include <new>
#include <string>

#include "base/status.h"
#include "store/families.h"
#include "store/primary_store.h"
#include "base/pure.h"

namespace omendb {

// True if fold() has put the folded value into *folded. Else that is empty, and options.log has
// been told; describe(key) names the value.
template <typename Fold>
bool FoldOrReport(const StoreOptions& options, std::string (*describe)(Slice key),
                  const rocksdb::Slice& key, std::string* folded, const Fold& fold) {
  Status status;
  folded->clear();
  try {
    status = fold();
  } catch (const std::bad_alloc&) {
    status = Status::Make(StatusCode::kOutOfMemory, "out of memory");
  }
  if (status.ok()) return true;
  folded->clear();
  if (options.log) {
    options.log(LogLevel::kWarning, "could not fold " + describe(FromRocksDb(key)) +
                                        ", kept it unfolded: " + status.message() +
                                        (status.detail().empty() ? "" : ": " + status.detail()));
  }
  return false;
}

}  // namespace omendb
