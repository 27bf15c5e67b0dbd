#include "worker/store_job_runner.h"

#include "pg/store_request.h"

namespace omendb {
namespace {

// One does it. A compaction of RocksDB's own that was under way when the verdicts became known may
// need another.
constexpr int kMostPasses = 5;

Status Cancelled() {
  return Status::Make(StatusCode::kUnavailable, "the compaction of the omendb store was cancelled");
}

}  // namespace

Status StoreJobRunner::Step(PrimaryStore* store) {
  if (phase_ == Phase::kIdle) Begin();
  if (phase_ == Phase::kIdle) return Status::Ok();
  if (g_shared->job.request.abandoned) cancelled_ = true;
  if (cancelled_ && phase_ != Phase::kCompact) return Cancelled();
  switch (phase_) {
    case Phase::kLook:
      return Look(store);
    case Phase::kRead:
      return Read(store);
    case Phase::kCompact:
      return AwaitCompaction(store);
    default:
      return Status::Ok();
  }
}

void StoreJobRunner::Begin() {
  if (!TakeStoreRequest(&g_shared->job.request)) return;
  storage_ = g_shared->job.storage;
  resolve_below_ = g_shared->job.resolve_below;
  passes_ = 0;
  cancelled_ = false;
  phase_ = Phase::kLook;
}

Status StoreJobRunner::Look(PrimaryStore* store) {
  if (resolve_below_ == 0) {
    OMENDB_RETURN_IF_ERROR(store->StartCompaction(storage_, 0));
    phase_ = Phase::kCompact;
    return Status::Ok();
  }
  FullXid oldest;
  OMENDB_RETURN_IF_ERROR(store->OldestUnresolved(storage_, &oldest));
  if (oldest >= resolve_below_) {
    phase_ = Phase::kNewFiles;
    return Status::Ok();
  }
  if (passes_++ == kMostPasses) {
    return Status::Internal(
        "could not resolve all transactions that rows of the omendb store were written by",
        "Storage " + std::to_string(storage_) + " still has versions of transaction " +
            std::to_string(oldest) + " or later.");
  }
  if (ended_ == nullptr || !ended_->Covers(oldest)) {
    ended_ = std::make_shared<EndedXids>(oldest, resolve_below_);
  }
  phase_ = Phase::kRead;
  return Status::Ok();
}

Status StoreJobRunner::Read(PrimaryStore* store) {
  bool done = false;
  OMENDB_RETURN_IF_ERROR(ended_->ReadOn(&done));
  if (!done) return Status::Ok();
  oracle_->SetEnded(ended_);
  OMENDB_RETURN_IF_ERROR(store->StartCompaction(storage_, resolve_below_));
  phase_ = Phase::kCompact;
  return Status::Ok();
}

Status StoreJobRunner::AwaitCompaction(PrimaryStore* store) {
  if (cancelled_) store->CancelCompaction();
  Status status;
  if (!store->CompactionEnded(&status)) return Status::Ok();
  if (cancelled_) return Cancelled();
  // A flush that had to open the store anew ended it.
  if (status.code() == StatusCode::kUnavailable && resolve_below_ != 0) status = Status::Ok();
  OMENDB_RETURN_IF_ERROR(status);
  phase_ = resolve_below_ != 0 ? Phase::kLook : Phase::kEnded;
  return Status::Ok();
}

void StoreJobRunner::Cancel() {
  if (phase_ != Phase::kIdle) cancelled_ = true;
}

// REQUIRES: no compaction runs: Step fails only where none does.
void StoreJobRunner::Fail(const Status& status) {
  phase_ = Phase::kEnded;
  end_ = status;
}

bool StoreJobRunner::TakeEnd(Status* status) {
  if (phase_ == Phase::kNewFiles) phase_ = Phase::kEnded;
  if (phase_ != Phase::kEnded) return false;
  oracle_->SetEnded(nullptr);
  ended_.reset();
  *status = std::exchange(end_, Status::Ok());
  phase_ = Phase::kIdle;
  EndStoreRequest(&g_shared->job.request, *status);
  return true;
}

long StoreJobRunner::PauseMs(long idle) const {
  if (phase_ == Phase::kIdle) return idle;
  constexpr long kWhileCompacting = 5;
  return phase_ == Phase::kCompact ? kWhileCompacting : 0;
}

}  // namespace omendb
