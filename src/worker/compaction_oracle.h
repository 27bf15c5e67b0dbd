// What compaction may believe about transactions. RocksDB's threads ask; they only read memory and
// leave a question behind, which the store worker's main thread carries to the guard and back.
//
// Any thread: Horizon, Resolve. Main thread: ExchangeWithGuard, SetEnded.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/types.h"
#include "worker/ended_xids.h"

namespace omendb {

class CompactionOracle : public TransactionOracle {
 public:
  FullXid Horizon() const override;
  Verdict Resolve(FullXid xid) const override;

  // Takes over the guard's answers and hands it the next questions.
  void ExchangeWithGuard();
  uint64_t wanted() const;
  // Transactions that need no question, nullptr = none.
  void SetEnded(std::shared_ptr<const EndedXids> ended);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const EndedXids> ended_;
  mutable std::unordered_set<FullXid> wanted_;
  std::unordered_map<FullXid, Verdict> known_;
};

}  // namespace omendb
