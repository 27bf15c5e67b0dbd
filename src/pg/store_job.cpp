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

// What a job ended with, copied out of shared memory.
struct JobEnd {
  StatusCode code;
  char text[sizeof(StoreJob::text)], detail[sizeof(StoreJob::detail)];
  char hint[sizeof(StoreJob::hint)];
};

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

void TakeEnd(JobEnd* end) {
  StoreJob* job = &g_shared->job;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  end->code = static_cast<StatusCode>(job->failure);
  strlcpy(end->text, job->text, sizeof(end->text));
  strlcpy(end->detail, job->detail, sizeof(end->detail));
  strlcpy(end->hint, job->hint, sizeof(end->hint));
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

[[noreturn]] void Raise(const JobEnd& end, int elevel) {
  GuardFailure failure{SqlStateOf(end.code), end.text, end.detail[0] != '\0' ? end.detail : nullptr,
                       end.hint[0] != '\0' ? end.hint : nullptr};
  RaiseFailure(failure, elevel);
}

bool MayPass(StatusCode code) {
  return code == StatusCode::kDiskFull || code == StatusCode::kIoError ||
         code == StatusCode::kUnavailable || code == StatusCode::kOutOfMemory;
}

}  // namespace

void RunStoreJob(const StoreJobRequest& request) {
  static JobEnd end;
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
  if (end.code != StatusCode::kOk) Raise(end, ERROR);
}

void RunStoreJobInRecovery(const StoreJobRequest& request) {
  static JobEnd end;
  TimestampTz reported = 0;
  for (;;) {
    for (int round = 0; !Ask(request); round++) WaitForWorkerInRecovery(round, Wait::kCompact);
    for (int round = 0; g_shared->job.state != StoreJobState::kDone; round++) {
      WaitForWorkerInRecovery(round, Wait::kCompact);
    }
    TakeEnd(&end);
    if (end.code == StatusCode::kOk) return;
    if (!MayPass(end.code)) Raise(end, FATAL);
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
