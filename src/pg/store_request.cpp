#include "pg/store_request.h"

#include "pg/guard.h"
#include "pg/store_failure.h"

extern "C" {
#include "storage/ipc.h"
}

namespace omendb {
namespace {

// What AbandonRequest is to know.
struct Waiting {
  StoreRequest* request;
  bool* begun;
};

void AbandonRequest(int, Datum argument) {
  auto* waiting = reinterpret_cast<Waiting*>(DatumGetPointer(argument));
  StoreRequest* request = waiting->request;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  *waiting->begun = request->state != RequestState::kAsked;
  if (request->state == RequestState::kTaken) {
    request->abandoned = true;
  } else {
    request->state = RequestState::kFree;
  }
  LWLockRelease(StoreTextLock());
  WakeStoreWorker();
  ConditionVariableBroadcast(&g_shared->store_changed);
}

void AwaitChange(Wait wait) {
  ConditionVariableTimedSleep(&g_shared->store_changed, 1000, WaitEventOf(wait));
}

}  // namespace

bool AskStoreWorker(StoreRequest* request, void (*fill)(void* argument), void* argument) {
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  bool free = request->state == RequestState::kFree;
  if (free) {
    fill(argument);
    request->abandoned = false;
    request->state = RequestState::kAsked;
  }
  LWLockRelease(StoreTextLock());
  if (free) WakeStoreWorker();
  return free;
}

void TakeRequestEnd(StoreRequest* request, RequestEnd* end) {
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  *end = {static_cast<StatusCode>(request->failure), request->failure_text};
  request->state = RequestState::kFree;
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

void RaiseRequestFailure(const RequestEnd& end, int elevel) {
  const FailureText& text = end.text;
  GuardFailure failure{SqlStateOf(end.code), text.message,
                       text.detail[0] != '\0' ? text.detail : nullptr,
                       text.hint[0] != '\0' ? text.hint : nullptr};
  RaiseFailure(failure, elevel);
}

void RunStoreRequest(StoreRequest* request, void (*fill)(void* argument), void* argument, Wait wait,
                     bool* begun) {
  Waiting waiting{request, begun};
  *begun = false;
  ConditionVariablePrepareToSleep(&g_shared->store_changed);
  while (!AskStoreWorker(request, fill, argument)) AwaitChange(wait);
  PG_ENSURE_ERROR_CLEANUP(AbandonRequest, PointerGetDatum(&waiting));
  {
    while (request->state != RequestState::kDone) AwaitChange(wait);
  }
  PG_END_ENSURE_ERROR_CLEANUP(AbandonRequest, PointerGetDatum(&waiting));
  ConditionVariableCancelSleep();
  *begun = true;
  RequestEnd end;
  TakeRequestEnd(request, &end);
  if (end.code != StatusCode::kOk) RaiseRequestFailure(end, ERROR);
}

bool TakeStoreRequest(StoreRequest* request) {
  if (request->state != RequestState::kAsked) return false;
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  bool asked = request->state == RequestState::kAsked;
  if (asked) request->state = RequestState::kTaken;
  LWLockRelease(StoreTextLock());
  return asked;
}

void EndStoreRequest(StoreRequest* request, const Status& status) {
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  request->failure = static_cast<uint32_t>(status.code());
  SetFailureText(&request->failure_text, status);
  request->state = request->abandoned ? RequestState::kFree : RequestState::kDone;
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

void AskAgain(StoreRequest* request) {
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  if (request->state == RequestState::kTaken) {
    request->state = request->abandoned ? RequestState::kFree : RequestState::kAsked;
  }
  LWLockRelease(StoreTextLock());
  ConditionVariableBroadcast(&g_shared->store_changed);
}

}  // namespace omendb
