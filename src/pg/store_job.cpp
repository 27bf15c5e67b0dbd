#include "pg/store_job.h"

#include "pg/store_request.h"
#include "pg/write_buffer.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

void Fill(void* argument) {
  const auto* asked = static_cast<const StoreJobRequest*>(argument);
  g_shared->job.storage = asked->storage;
  g_shared->job.resolve_below = asked->resolve_below;
}

bool MayPass(StatusCode code) {
  return code == StatusCode::kDiskFull || code == StatusCode::kIoError ||
         code == StatusCode::kUnavailable || code == StatusCode::kOutOfMemory;
}

}  // namespace

void RunStoreJob(StoreJobRequest request) {
  bool begun;
  RunStoreRequest(&g_shared->job.request, Fill, &request, Wait::kCompact, &begun);
}

void RunStoreJobInRecovery(StoreJobRequest asked) {
  StoreRequest* request = &g_shared->job.request;
  RequestEnd end;
  TimestampTz reported = 0;
  for (;;) {
    for (int round = 0; !AskStoreWorker(request, Fill, &asked); round++) {
      WaitForWorkerInRecovery(round, Wait::kCompact);
    }
    for (int round = 0; request->state != RequestState::kDone; round++) {
      WaitForWorkerInRecovery(round, Wait::kCompact);
    }
    TakeRequestEnd(request, &end);
    if (end.code == StatusCode::kOk) return;
    if (!MayPass(end.code)) RaiseRequestFailure(end, FATAL);
    TimestampTz now = GetCurrentTimestamp();
    if (TimestampDifferenceExceeds(reported, now, 60 * 1000)) {
      ereport(LOG, (errmsg("recovery waits until files of the omendb store can be rewritten"),
                    errdetail("%s: %s", end.text.message, end.text.detail)));
      reported = now;
    }
    for (int round = 0; round < 200; round++) WaitForWorkerInRecovery(round, Wait::kCompact);
  }
}

}  // namespace omendb
