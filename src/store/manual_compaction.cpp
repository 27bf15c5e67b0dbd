#include "store/manual_compaction.h"

#include <exception>

#include "store/rocksdb_status.h"
#include "store/signal_mask.h"
#include "base/pure.h"

namespace omendb {

ManualCompaction::ManualCompaction(rocksdb::DB* db,
                                   const std::vector<rocksdb::ColumnFamilyHandle*>& handles,
                                   std::vector<KeyRange> ranges, BottomLevel bottom,
                                   std::function<uint64_t()> passed_blocks)
    : db_(db),
      handles_(handles),
      ranges_(std::move(ranges)),
      bottom_(bottom),
      passed_blocks_(std::move(passed_blocks)) {
  // The thread, and those that it starts, take no signals: they are for the owner.
  SignalBlock block;
  thread_ = std::thread([this] { Run(); });
}

Status ManualCompaction::Wait() {
  if (thread_.joinable()) thread_.join();
  return status_;
}

void ManualCompaction::Run() {
  try {
    for (const KeyRange& range : ranges_) {
      status_ = Compact(range);
      if (!status_.ok()) break;
    }
  } catch (const std::exception& e) {
    status_ = Status::Internal(e.what());
  }
  ended_.store(true, std::memory_order_release);
}

Status ManualCompaction::Compact(const KeyRange& range) {
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.canceled = &canceled_;
  options.bottommost_level_compaction = bottom_ == BottomLevel::kRewrite
                                            ? rocksdb::BottommostLevelCompaction::kForceOptimized
                                            : rocksdb::BottommostLevelCompaction::kSkip;
  const bool all = range.low.empty() && range.high.empty();
  const rocksdb::Slice low(range.low), high(range.high);
  rocksdb::Status s;
  uint64_t passed;
  do {  // each damaged block costs one attempt
    passed = passed_blocks_();
    s = db_->CompactRange(options, handles_[range.family], all ? nullptr : &low,
                          all ? nullptr : &high);
  } while (s.IsCorruption() && passed_blocks_() > passed);
  if (s.ok()) return Status::Ok();
  if (canceled_.load()) {
    return Status::Make(StatusCode::kUnavailable, "the compaction was cancelled", s.ToString());
  }
  return FromRocksDb(s, "could not compact the omendb store");
}

}  // namespace omendb
