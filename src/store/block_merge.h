// How values of one row block become one value, and what compaction throws away.
//
// A block value is a sequence of sections, so for a reader merging is appending. The primary's
// merges run in compaction, where versions that nobody needs any more are folded away.
#pragma once

#include <rocksdb/compaction_filter.h>
#include <rocksdb/merge_operator.h>

#include <memory>
#include <string>

#include "store/primary_store.h"
#include "base/pure.h"

namespace omendb {

// "block 3 of storage 1", for messages; any other key in hexadecimal.
std::string DescribeBlockKey(Slice key);

// For secondary instances: appends.
std::shared_ptr<rocksdb::MergeOperator> NewAppendOperator();

// For the primary: folds with options.oracle. What cannot be folded (a damaged section) is appended
// instead and reported through options.log: the damage stays in that one block, whose reader finds
// it, and compaction goes on.
std::shared_ptr<rocksdb::MergeOperator> NewFoldOperator(const StoreOptions& options);

// For the primary: drops rows of dropped storages and blocks that nothing is left of, and folds
// base values again that may have become simpler since they were written.
std::unique_ptr<rocksdb::CompactionFilter> NewGarbageFilter(const StoreOptions& options);

}  // namespace omendb
