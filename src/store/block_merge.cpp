#include "store/block_merge.h"

#include <new>
#include <vector>

#include "base/coding.h"
#include "block/block_value.h"
#include "block/fold.h"
#include "block/row_image.h"
#include "block/unresolved.h"
#include "key/block_key.h"
#include "store/append_operator.h"
#include "store/families.h"
#include "store/fold_report.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr char kOperatorName[] = "omendb.block";

// Copies of values at 8-aligned addresses: RocksDB's are wherever its blocks have them.
class AlignedValues {
 public:
  explicit AlignedValues(size_t total, size_t count) {
    words_.resize(total / 8 + count);
    values_.reserve(count);
  }
  void Add(const rocksdb::Slice& value) {
    char* to = reinterpret_cast<char*>(words_.data() + used_);
    std::memcpy(to, value.data(), value.size());
    values_.emplace_back(to, value.size());
    used_ += (value.size() + 7) / 8;
  }
  const std::vector<Slice>& values() const { return values_; }

 private:
  std::vector<uint64_t> words_;
  size_t used_ = 0;
  std::vector<Slice> values_;
};

class FoldOperator : public AppendOperator {
 public:
  explicit FoldOperator(const StoreOptions& options)
      : AppendOperator(kOperatorName), options_(options) {}

  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override {
    if (options_.failure_point) options_.failure_point("compaction_fold");
    if (Fold(in.key, in.existing_value, in.operand_list, FoldScope::kWhole, &out->new_value)) {
      return true;
    }
    return AppendOperator::FullMergeV2(in, out);
  }

  // A single operand above the bottom level: its verdicts can be noted where it stands. A file that
  // spans storages need not reach the bottom whatever is compacted.
  bool AllowSingleOperand() const override { return true; }

  // False leaves the operands as they are, each on its own.
  bool PartialMergeMulti(const rocksdb::Slice& key, const std::deque<rocksdb::Slice>& operands,
                         std::string* merged, rocksdb::Logger*) const override {
    if (operands.size() == 1 && !HasUnresolved(operands[0])) return false;
    return Fold(key, nullptr, operands, FoldScope::kPartial, merged);
  }

 private:
  static bool HasUnresolved(const rocksdb::Slice& operand) {
    try {
      AlignedValues values(operand.size(), 1);
      values.Add(operand);
      FullXid oldest;
      return OldestUnresolvedXid(values.values()[0], &oldest).ok() && oldest != kNoUnresolvedXid;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  template <typename Operands>
  bool Fold(const rocksdb::Slice& key, const rocksdb::Slice* base, const Operands& operands,
            FoldScope scope, std::string* folded) const {
    return FoldOrReport(options_, DescribeBlockKey, key, folded, [&] {
      size_t total = base != nullptr ? base->size() : 0;
      for (const rocksdb::Slice& operand : operands) total += operand.size();
      AlignedValues values(total, operands.size() + 1);
      if (base != nullptr) values.Add(*base);
      for (const rocksdb::Slice& operand : operands) values.Add(operand);
      return FoldBlock(values.values(), scope, *options_.oracle, folded);
    });
  }

  const StoreOptions options_;
};

// False only if a fold would change nothing: one folded image whose rows are all frozen.
bool MayBecomeSimpler(Slice value) {
  if (value.size() < kSectionHeaderSize) return false;  // damaged: its reader will tell
  const uint8_t type = static_cast<uint8_t>(value[1]);
  const uint32_t size = LoadFixed<uint32_t>(value.data() + 4);
  const uint16_t flags = LoadFixed<uint16_t>(value.data() + 2);
  if (type != kSectionRowImage || size != value.size() || (flags & kSectionFolded) == 0)
    return true;
  RowImage image;
  return RowImage::Open(value, &image).ok() && !image.all_frozen();
}

class GarbageFilter : public rocksdb::CompactionFilter {
 public:
  explicit GarbageFilter(const StoreOptions& options) : options_(options) {}
  const char* Name() const override { return "omendb.garbage"; }

  Decision FilterV2(int, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice& value,
                    std::string* new_value, std::string*) const override {
    StorageId storage;
    BlockNo block;
    if (!ParseBlockKey(FromRocksDb(key), &storage, &block) || storage == 0) return Decision::kKeep;
    if (options_.is_dropped && options_.is_dropped(storage)) return Decision::kRemove;
    if (type != ValueType::kValue) return Decision::kKeep;
    if (value.empty()) return Decision::kRemove;
    try {
      AlignedValues aligned(value.size(), 1);
      aligned.Add(value);
      if (!MayBecomeSimpler(aligned.values()[0])) return Decision::kKeep;
      new_value->clear();
      // A value that cannot be folded stays as it is: whoever reads the block reports it.
      Status status = FoldBlock(aligned.values(), FoldScope::kWhole, *options_.oracle, new_value);
      if (!status.ok() || value == *new_value) return Decision::kKeep;
    } catch (const std::bad_alloc&) {
      return Decision::kKeep;
    }
    return new_value->empty() ? Decision::kRemove : Decision::kChangeValue;
  }

 private:
  const StoreOptions options_;
};

}  // namespace

std::string DescribeBlockKey(Slice key) {
  StorageId storage;
  BlockNo block;
  if (!ParseBlockKey(key, &storage, &block)) return "key " + ToRocksDb(key).ToString(true);
  return "block " + std::to_string(block) + " of storage " + std::to_string(storage);
}

std::shared_ptr<rocksdb::MergeOperator> NewAppendOperator() {
  return std::make_shared<AppendOperator>(kOperatorName);
}

std::shared_ptr<rocksdb::MergeOperator> NewFoldOperator(const StoreOptions& options) {
  return std::make_shared<FoldOperator>(options);
}

std::unique_ptr<rocksdb::CompactionFilter> NewGarbageFilter(const StoreOptions& options) {
  return std::make_unique<GarbageFilter>(options);
}

}  // namespace omendb
