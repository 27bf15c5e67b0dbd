// How values of one index leaf become one value. As for row blocks (block_merge.h) a reader appends
// and the primary folds; what is removed from an index was found dead by whoever removed it, so no
// oracle is asked.
#pragma once

#include <rocksdb/compaction_filter.h>
#include <rocksdb/merge_operator.h>

#include <memory>
#include <string>

#include "store/primary_store.h"
#include "base/pure.h"

namespace omendb {

// "leaf 00ab of storage 1", for messages; any other key in hexadecimal.
std::string DescribeLeafKey(Slice key);

// For secondary instances: appends.
std::shared_ptr<rocksdb::MergeOperator> NewLeafAppendOperator();

// For the primary: operands without their base are appended to each other, with it they are folded
// into it. A leaf keeps its bounds, however large it grows: only the flusher splits. What cannot be
// folded (a damaged section) is appended and reported through options.log.
std::shared_ptr<rocksdb::MergeOperator> NewLeafFoldOperator(const StoreOptions& options);

// For the primary: drops leaves of dropped storages.
std::unique_ptr<rocksdb::CompactionFilter> NewLeafFilter(const StoreOptions& options);

}  // namespace omendb
