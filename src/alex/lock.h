// The version-and-lock words of nodes. Writers hold them, readers only look. Nothing here makes a
// system call but sched_yield.
#pragma once

#include <sched.h>

#include "alex/layout.h"

namespace omendb::alex {

inline constexpr uint32_t kLocked = 1;
inline constexpr uint32_t kObsolete = 2;
inline constexpr uint32_t kVersionStep = 4;

class Backoff {
 public:
  void Wait() {
    if (++rounds_ < 32) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      sched_yield();
    }
  }

 private:
  int rounds_ = 0;
};

inline bool TryLock(uint32_t& word) {
  std::atomic_ref<uint32_t> ref(word);
  uint32_t value = ref.load(std::memory_order_relaxed);
  return (value & (kLocked | kObsolete)) == 0 &&
         ref.compare_exchange_strong(value, value | kLocked, std::memory_order_acquire);
}
// False if the node is obsolete: its content lives elsewhere, start again.
inline bool Lock(uint32_t& word) {
  for (Backoff backoff;; backoff.Wait()) {
    if (TryLock(word)) return true;
    if (Load(word) & kObsolete) return false;
  }
}
inline void UnlockUnchanged(uint32_t& word) { Store(word, Load(word) & ~kLocked); }
inline void Unlock(uint32_t& word) { Store(word, (Load(word) & ~kLocked) + kVersionStep); }
inline void UnlockObsolete(uint32_t& word) {
  Store(word, ((Load(word) & ~kLocked) + kVersionStep) | kObsolete);
}

// For readers: waits while the node is locked, false if it is obsolete.
inline bool ReadVersion(const uint32_t& word, uint32_t* version) {
  for (Backoff backoff;; backoff.Wait()) {
    *version = Load(word);
    if (*version & kObsolete) return false;
    if ((*version & kLocked) == 0) return true;
  }
}
// True if nothing changed since ReadVersion; what was read with Load may be used.
inline bool Unchanged(const uint32_t& word, uint32_t version) { return Load(word) == version; }

}  // namespace omendb::alex

#include "base/pure.h"
