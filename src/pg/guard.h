// The wall between C++ and the server: runs C++ code that may throw or return a Status, lets every
// destructor run, and only then raises.
//
// Inside `Guarded` no PostgreSQL function that can ereport may be called; outside it no local may
// have a destructor. So a longjmp never skips a destructor and no exception reaches C.
#pragma once

#include <exception>
#include <new>
#include <utility>

#include "base/status.h"
#include "pg/server.h"

namespace omendb {

// What is left of a failure once the C++ objects are gone: text in palloc'd memory.
struct GuardFailure {
  int sqlstate;
  const char* message;
  const char* detail;  // or nullptr
  const char* hint;    // or nullptr
};

int SqlStateOf(StatusCode code);
// Copies the texts into CurrentMemoryContext (no ereport: falls back to a fixed text without
// memory).
GuardFailure CaptureStatus(const Status& status) noexcept;
GuardFailure CaptureText(int sqlstate, const char* message) noexcept;
[[noreturn]] void RaiseFailure(const GuardFailure& failure, int elevel);

// Runs callable() -> Status and raises its failure as ERROR. REQUIRES: no locals with destructors
// in the calling frame.
template <typename Callable>
void Guarded(Callable&& callable) {
  GuardFailure failure;
  bool failed = false;
  try {
    Status status = std::forward<Callable>(callable)();
    if (!status.ok()) {
      failure = CaptureStatus(status);
      failed = true;
    }
  } catch (const std::bad_alloc&) {
    failure = CaptureText(SqlStateOf(StatusCode::kOutOfMemory), "out of memory");
    failed = true;
  } catch (const std::exception& e) {
    failure = CaptureText(SqlStateOf(StatusCode::kInternal), e.what());
    failed = true;
  } catch (...) {
    failure = CaptureText(SqlStateOf(StatusCode::kInternal), "unknown C++ exception");
    failed = true;
  }
  if (failed) RaiseFailure(failure, ERROR);
}

}  // namespace omendb
