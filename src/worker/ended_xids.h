// Verdicts of all transactions of a range that have ended, whoever made them: a bit for each, read
// from clog beforehand, since RocksDB's threads cannot look there.
#pragma once

#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace omendb {

class EndedXids {
 public:
  // REQUIRES: all transactions in [low, high) have ended. What clog may have forgotten is left out.
  EndedXids(FullXid low, FullXid high);

  // Store worker, main thread: reads a little more, *done when all is read. Then the commit records
  // of the committed ones are on disk (in recovery: who asked has seen to it). Never ereports.
  Status ReadOn(bool* done);

  // Any thread, once all is read.
  bool Covers(FullXid xid) const { return xid >= low_ && xid < high_; }
  Verdict VerdictOf(FullXid xid) const {
    const FullXid i = xid - low_;
    return committed_[i / 64] >> (i % 64) & 1 ? Verdict::kCommitted : Verdict::kAborted;
  }

 private:
  FullXid low_, high_, next_;
  Lsn commit_lsn_ = 0;
  std::vector<uint64_t> committed_;
};

}  // namespace omendb
