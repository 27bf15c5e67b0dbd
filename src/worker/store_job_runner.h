// Does what pg/store_job.h asks for, a step at a time between the flushes of the store worker.
#pragma once

#include <memory>

#include "store/primary_store.h"
#include "worker/compaction_oracle.h"

namespace omendb {

// Store worker, main thread. Step until TakeEnd; if has_new_files, the caller sees to it in between
// that readers use them (or calls Fail).
class StoreJobRunner {
 public:
  explicit StoreJobRunner(CompactionOracle* oracle) : oracle_(oracle) {}

  Status Step(PrimaryStore* store);
  bool has_new_files() const { return phase_ == Phase::kNewFiles; }
  void Cancel();
  void Fail(const Status& status);
  // True once, when the job has ended and whoever asked for it has been told.
  bool TakeEnd(Status* status);
  // How long the worker may sleep.
  long PauseMs(long idle) const;

 private:
  enum class Phase { kIdle, kLook, kRead, kCompact, kNewFiles, kEnded };

  void Begin();
  Status Look(PrimaryStore* store);
  Status Read(PrimaryStore* store);
  Status AwaitCompaction(PrimaryStore* store);

  CompactionOracle* const oracle_;
  Phase phase_ = Phase::kIdle;
  StorageId storage_ = 0;
  FullXid resolve_below_ = 0;
  int passes_ = 0;
  bool cancelled_ = false;
  std::shared_ptr<EndedXids> ended_;
  Status end_;
};

}  // namespace omendb
