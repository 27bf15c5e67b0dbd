// Threads inherit the signal mask of whoever starts them, and RocksDB starts threads in more calls
// than one would guess (open, ingest, catch-up). A PostgreSQL signal handler must never run on one.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "base/pure.h"

namespace omendb {

// Blocks all signals for its lifetime, but for those that the running instruction itself causes:
// blocked, these would kill the process instead of reaching their handler.
class SignalBlock {
 public:
  SignalBlock() {
    sigset_t all;
    sigfillset(&all);
    for (int cause : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      sigdelset(&all, cause);
    }
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalBlock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_;
};

}  // namespace omendb
