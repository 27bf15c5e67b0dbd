// Turns a fault in a mapped file into an error.
//
// A read of a mapped page whose file was truncated, or whose disk is gone, raises SIGBUS on the
// reading thread. Within CatchBusError a fault in one of our mappings leaves the call by a jump:
// destructors of what lies between are skipped, so the objects of the call must be given up for
// good, locks and all. Faults elsewhere go to whoever handled SIGBUS before.
#pragma once

#include <setjmp.h>

#include <cstddef>

#include "base/pure.h"

namespace omendb {

// Installs the handler, once in a process. Later installations by others are left alone.
void InstallBusHandler();

// To be called once objects were given up after a fault. RocksDB's own clean-up when the process
// exits would trip over them (its thread-local state still says "in use": an assertion, SIGABRT,
// and with it a restart of the whole server). So exit() then ends the process without going
// further.
void SkipCleanUpAtExit();

// A mapping for the handler to know. Thread-safe.
class MappedRange {
 public:
  MappedRange(const void* begin, size_t size);
  ~MappedRange();
  MappedRange(const MappedRange&) = delete;
  MappedRange& operator=(const MappedRange&) = delete;

 private:
  struct MappedRangeNode* node_;
};

namespace internal {
// Where a fault on this thread jumps to; innermost first.
class BusTarget {
 public:
  BusTarget();
  ~BusTarget();
  sigjmp_buf place;

 private:
  BusTarget* outer_;
};
}  // namespace internal

// Runs call(); false if it was left by a fault. `call` must own nothing that needs a destructor
// other than what the caller gives up then.
template <typename Call>
[[nodiscard]] bool CatchBusError(Call&& call) {
  internal::BusTarget target;
  // The mask needs no saving: the handler blocks nothing.
  if (sigsetjmp(target.place, 0) != 0) return false;
  call();
  return true;
}

}  // namespace omendb
