#include "worker/compaction_oracle.h"

#include "pg/shared_state.h"

namespace omendb {
namespace {

// Verdicts never change, so forgetting them costs a second question only. A compaction that asks
// more than this does without the rest: the next one will know.
constexpr size_t kMostKnown = 1 << 20;
constexpr size_t kMostWanted = 1 << 20;

}  // namespace

FullXid CompactionOracle::Horizon() const {
  return g_shared->horizon.load(std::memory_order_acquire);
}

Verdict CompactionOracle::Resolve(FullXid xid) const {
  if (xid == kFrozenXid) return Verdict::kCommitted;
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_ != nullptr && ended_->Covers(xid)) return ended_->VerdictOf(xid);
  auto it = known_.find(xid);
  if (it != known_.end()) return it->second;
  if (wanted_.size() < kMostWanted) wanted_.insert(xid);
  return Verdict::kUnknown;
}

uint64_t CompactionOracle::wanted() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return wanted_.size();
}

void CompactionOracle::SetEnded(std::shared_ptr<const EndedXids> ended) {
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = std::move(ended);
}

void CompactionOracle::ExchangeWithGuard() {
  OracleMailbox* mailbox = &g_shared->oracle;
  if (mailbox->state == OracleState::kAsked) return;
  std::lock_guard<std::mutex> lock(mutex_);
  if (mailbox->state == OracleState::kAnswered) {
    if (known_.size() > kMostKnown) known_.clear();
    for (uint32_t i = 0; i < mailbox->count; i++) {
      // Whoever still runs is asked about again when a compaction meets it again.
      wanted_.erase(mailbox->xids[i]);
      if (mailbox->verdicts[i] != Verdict::kUnknown) {
        known_[mailbox->xids[i]] = mailbox->verdicts[i];
      }
    }
    mailbox->state = OracleState::kIdle;
  }
  if (wanted_.empty()) return;
  uint32_t count = 0;
  for (FullXid xid : wanted_) {
    if (count == kOracleRequestSize) break;
    mailbox->xids[count++] = xid;
  }
  mailbox->count = count;
  mailbox->state = OracleState::kAsked;
}

}  // namespace omendb
