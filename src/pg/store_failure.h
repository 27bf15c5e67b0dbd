// Why the store is not open, or why it takes no flush: published by the store worker, raised by
// whoever needed it.
#pragma once

#include "base/status.h"
#include "pg/server.h"

namespace omendb {

// Text longer than the shared memory for it is cut.
struct FailureText;
void SetFailureText(FailureText* text, const Status& status);

// Store worker.
void PublishStoreFailure(const Status& status);
void PublishWriteFailure(const Status& status);  // ok: the store takes flushes again

// True if what keeps the store from being opened may go away by itself: the worker tries again.
bool StoreFailureMayPass();
void ReportStoreFailure(int elevel);
[[noreturn]] void RaiseStoreFailure(int elevel);
[[noreturn]] void RaiseWriteFailure();

}  // namespace omendb
