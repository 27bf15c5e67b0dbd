// Asking something of the store worker, and waiting until it is done.
#pragma once

#include "base/status.h"
#include "pg/shared_state.h"

namespace omendb {

// Who asks. False: somebody else's is not done yet. `fill` says what is asked, under a lock.
bool AskStoreWorker(StoreRequest* request, void (*fill)(void* argument), void* argument);
// REQUIRES: it is done. How it ended; the request is free again.
struct RequestEnd {
  StatusCode code;
  FailureText text;
};
void TakeRequestEnd(StoreRequest* request, RequestEnd* end);
[[noreturn]] void RaiseRequestFailure(const RequestEnd& end, int elevel);
// All of it for sessions: waits its turn, then until it is done. Interruptible: if the store worker
// has begun with it, it is abandoned then. ERROR if it fails. *begun: whether the store worker has
// seen it, also after an error.
void RunStoreRequest(StoreRequest* request, void (*fill)(void* argument), void* argument, Wait wait,
                     bool* begun);

// Store worker, main thread. Somebody waits for it, or it has begun.
inline bool IsAsked(const StoreRequest& request) {
  RequestState state = request.state;
  return state == RequestState::kAsked || state == RequestState::kTaken;
}
// True: begin with it.
bool TakeStoreRequest(StoreRequest* request);
// REQUIRES: it was taken. Tells who asked.
void EndStoreRequest(StoreRequest* request, const Status& status);
// At its start: what a store worker before it had begun with is asked again.
void AskAgain(StoreRequest* request);

}  // namespace omendb
