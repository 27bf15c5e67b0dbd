#include "pg/store_job.h"

#include "base/status.h"
#include "pg/guard.h"
#include "pg/shared_state.h"
#include "pg/write_buffer.h"

extern "C" {
#include "storage/ipc.h"
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

bool Ask(const StoreJobRequest& request) {
  StoreJob* job = &g_shared->job;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  bool free = job->state == StoreJobState::kFree;
  if (free) {
    job->storage = request.storage;
    job->resolve_below = request.resolve_below;
    job->abandoned = false;
    job->state = StoreJobState::kAsked;
  }
  LWLockRelease(StoreTextLock());
  if (free) WakeStoreWorker();
  return free;
}

void TakeEnd(JobFailure* end) {
  StoreJob* job = &g_shared->job;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  *end = job->failure;
  job->state = StoreJobState::kFree;
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

void Abandon(int, Datum) {
  StoreJob* job = &g_shared->job;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  if (job->state == StoreJobState::kDone) {
    job->state = StoreJobState::kFree;
  } else {
    job->abandoned = true;
  }
  LWLockRelease(StoreTextLock());
  WakeStoreWorker();
  ConditionVariableBroadcast(&g_shared->store_changed);
}

StatusCode CodeOf(const JobFailure& end) { return static_cast<StatusCode>(end.code); }

[[noreturn]] void Raise(const JobFailure& end, int elevel) {
  GuardFailure failure{SqlStateOf(CodeOf(end)), end.text,
                       end.detail[0] != '\0' ? end.detail : nullptr,
                       end.hint[0] != '\0' ? end.hint : nullptr};
  RaiseFailure(failure, elevel);
}

bool MayPass(StatusCode code) {
  return code == StatusCode::kDiskFull || code == StatusCode::kIoError ||
         code == StatusCode::kUnavailable || code == StatusCode::kOutOfMemory;
}

}  // namespace

void SetFailure(JobFailure* failure, const Status& status) {
  failure->code = static_cast<uint32>(status.code());
  strlcpy(failure->text, status.message().c_str(), sizeof(failure->text));
  strlcpy(failure->detail, status.detail().c_str(), sizeof(failure->detail));
  strlcpy(failure->hint, status.hint().c_str(), sizeof(failure->hint));
}

void RaiseIfFailed(const JobFailure& failure) {
  if (CodeOf(failure) != StatusCode::kOk) Raise(failure, ERROR);
}

void RunStoreJob(const StoreJobRequest& request) {
  static JobFailure end;
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (!Ask(request)) {
    ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kCompact));
  }
  PG_ENSURE_ERROR_CLEANUP(Abandon, 0);
  {
    while (g_shared->job.state != StoreJobState::kDone) {
      ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(Wait::kCompact));
    }
  }
  PG_END_ENSURE_ERROR_CLEANUP(Abandon, 0);
  ConditionVariableCancelSleep();
  TakeEnd(&end);
  RaiseIfFailed(end);
}

void RunStoreJobInRecovery(const StoreJobRequest& request) {
  static JobFailure end;
  TimestampTz reported = 0;
  for (;;) {
    for (int round = 0; !Ask(request); round++) WaitForWorkerInRecovery(round, Wait::kCompact);
    for (int round = 0; g_shared->job.state != StoreJobState::kDone; round++) {
      WaitForWorkerInRecovery(round, Wait::kCompact);
    }
    TakeEnd(&end);
    if (CodeOf(end) == StatusCode::kOk) return;
    if (!MayPass(CodeOf(end))) Raise(end, FATAL);
    TimestampTz now = GetCurrentTimestamp();
    if (TimestampDifferenceExceeds(reported, now, 60 * 1000)) {
      ereport(LOG, (errmsg("recovery waits until files of the omendb store can be rewritten"),
                    errdetail("%s: %s", end.text, end.detail)));
      reported = now;
    }
    for (int round = 0; round < 200; round++) WaitForWorkerInRecovery(round, Wait::kCompact);
  }
}

}  // namespace omendb
