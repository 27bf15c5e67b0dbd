#include "store/leaf_merge.h"

#include <vector>

#include "block/leaf_fold.h"
#include "key/leaf_key.h"
#include "store/append_operator.h"
#include "store/families.h"
#include "store/fold_report.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr char kOperatorName[] = "omendb.leaf";

class LeafFoldOperator : public AppendOperator {
 public:
  explicit LeafFoldOperator(const StoreOptions& options)
      : AppendOperator(kOperatorName), options_(options) {}

  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override {
    if (options_.failure_point) options_.failure_point("compaction_fold");
    const bool folded = FoldOrReport(options_, DescribeLeafKey, in.key, &out->new_value, [&] {
      std::vector<Slice> values;
      values.reserve(in.operand_list.size() + 1);
      if (in.existing_value != nullptr) values.push_back(FromRocksDb(*in.existing_value));
      for (const rocksdb::Slice& operand : in.operand_list) values.push_back(FromRocksDb(operand));
      return FoldLeafValues(values, &out->new_value);
    });
    return folded || AppendOperator::FullMergeV2(in, out);
  }

  bool PartialMergeMulti(const rocksdb::Slice&, const std::deque<rocksdb::Slice>& operands,
                         std::string* merged, rocksdb::Logger*) const override {
    merged->clear();
    for (const rocksdb::Slice& operand : operands) merged->append(operand.data(), operand.size());
    return true;
  }

 private:
  const StoreOptions options_;
};

class LeafFilter : public rocksdb::CompactionFilter {
 public:
  explicit LeafFilter(const StoreOptions& options) : options_(options) {}
  const char* Name() const override { return "omendb.leaf"; }

  Decision FilterV2(int, const rocksdb::Slice& key, ValueType, const rocksdb::Slice&, std::string*,
                    std::string*) const override {
    StorageId storage;
    Slice low;
    if (!ParseLeafKey(FromRocksDb(key), &storage, &low) || storage == 0) return Decision::kKeep;
    return options_.is_dropped && options_.is_dropped(storage) ? Decision::kRemove
                                                               : Decision::kKeep;
  }

 private:
  const StoreOptions options_;
};

}  // namespace

std::string DescribeLeafKey(Slice key) {
  StorageId storage;
  Slice low;
  if (!ParseLeafKey(key, &storage, &low)) return "key " + ToRocksDb(key).ToString(true);
  // Enough to tell leaves apart; a key may have 8 kB.
  constexpr size_t kShown = 32;
  return "leaf \"" + ToRocksDb(low.substr(0, kShown)).ToString(true) +
         (low.size() > kShown ? "..." : "") + "\" of storage " + std::to_string(storage);
}

std::shared_ptr<rocksdb::MergeOperator> NewLeafAppendOperator() {
  return std::make_shared<AppendOperator>(kOperatorName);
}

std::shared_ptr<rocksdb::MergeOperator> NewLeafFoldOperator(const StoreOptions& options) {
  return std::make_shared<LeafFoldOperator>(options);
}

std::unique_ptr<rocksdb::CompactionFilter> NewLeafFilter(const StoreOptions& options) {
  return std::make_unique<LeafFilter>(options);
}

}  // namespace omendb
