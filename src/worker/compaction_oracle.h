// What compaction may believe about transactions. RocksDB's threads ask; they only read memory and
// leave a question behind, which the store worker's main thread carries to the guard and back.
//
// Any thread: Horizon, Resolve. Main thread: ExchangeWithGuard.
#pragma once

#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/types.h"

namespace omendb {

class CompactionOracle : public TransactionOracle {
 public:
  FullXid Horizon() const override;
  Verdict Resolve(FullXid xid) const override;

  // Takes over the guard's answers and hands it the next questions.
  void ExchangeWithGuard();
  uint64_t wanted() const;

 private:
  mutable std::mutex mutex_;
  mutable std::unordered_set<FullXid> wanted_;
  std::unordered_map<FullXid, Verdict> known_;
};

}  // namespace omendb
