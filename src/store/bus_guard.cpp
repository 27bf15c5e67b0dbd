#include "store/bus_guard.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/pure.h"

namespace omendb {

// The handler may run while another thread adds a range, so nodes are reached without a lock and
// are never freed, only used again.
struct MappedRangeNode {
  std::atomic<uintptr_t> begin{0}, end{0};
  MappedRangeNode* next = nullptr;
};

namespace {

std::atomic<MappedRangeNode*> all_nodes{nullptr};

struct FreeNodes {
  std::mutex mutex;
  std::vector<MappedRangeNode*> nodes;
};
FreeNodes& free_nodes() {
  static FreeNodes* const free_nodes = new FreeNodes;  // outlives the destructors of statics
  return *free_nodes;
}

thread_local internal::BusTarget* current_target = nullptr;
struct sigaction handler_before;

bool IsOurs(uintptr_t address) {
  for (MappedRangeNode* node = all_nodes.load(std::memory_order_acquire); node != nullptr;
       node = node->next) {
    const uintptr_t begin = node->begin.load(std::memory_order_relaxed);
    if (begin != 0 && address >= begin && address < node->end.load(std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  if (current_target != nullptr && IsOurs(reinterpret_cast<uintptr_t>(info->si_addr))) {
    siglongjmp(current_target->place, 1);
  }
  if (handler_before.sa_flags & SA_SIGINFO) {
    handler_before.sa_sigaction(signal, info, context);
  } else if (handler_before.sa_handler == SIG_DFL || handler_before.sa_handler == SIG_IGN) {
    // The instruction runs again, or the signal comes again, and now kills the process as it would
    // have without us.
    ::signal(signal, SIG_DFL);
    if (info->si_code <= 0) raise(signal);
  } else {
    handler_before.sa_handler(signal);
  }
}

}  // namespace

void InstallBusHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    // Not deferred: the handler is left by a jump that restores no mask.
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &handler_before);
  });
}

void SkipCleanUpAtExit() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Handlers run in reverse order of registration: this one before RocksDB's.
    on_exit(
        [](int status, void*) {
          fflush(nullptr);
          _exit(status);
        },
        nullptr);
  });
}

MappedRange::MappedRange(const void* begin, size_t size) {
  FreeNodes& free = free_nodes();
  std::lock_guard<std::mutex> lock(free.mutex);
  if (free.nodes.empty()) {
    node_ = new MappedRangeNode;
    node_->next = all_nodes.load(std::memory_order_relaxed);
    all_nodes.store(node_, std::memory_order_release);
  } else {
    node_ = free.nodes.back();
    free.nodes.pop_back();
  }
  node_->end.store(reinterpret_cast<uintptr_t>(begin) + size, std::memory_order_relaxed);
  node_->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
}

MappedRange::~MappedRange() {
  FreeNodes& free = free_nodes();
  std::lock_guard<std::mutex> lock(free.mutex);
  node_->begin.store(0, std::memory_order_relaxed);
  free.nodes.push_back(node_);
}

namespace internal {
BusTarget::BusTarget() : outer_(current_target) { current_target = this; }
BusTarget::~BusTarget() { current_target = outer_; }
}  // namespace internal

}  // namespace omendb
