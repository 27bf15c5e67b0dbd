#include "pg/failure_point.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "pg/settings.h"

namespace omendb {
namespace {

// RocksDB's threads read what the main thread sets; the setting's own string is freed on a change.
struct Armed {
  char name[64];
  long count;  // dies at the count-th visit
  long sleep_ms;  // 0 = dies
};
Armed g_armed[2];
std::atomic<const Armed*> g_current{nullptr};
std::atomic<long> g_visits{0};
char g_loaded[96];

}  // namespace

void LoadFailurePoint() {
  const char* setting = g_failure_point ? g_failure_point : "";
  if (strncmp(setting, g_loaded, sizeof(g_loaded)) == 0) return;
  strlcpy(g_loaded, setting, sizeof(g_loaded));
  if (setting[0] == '\0') {
    g_current = nullptr;
    return;
  }
  Armed* armed = g_current.load() == &g_armed[0] ? &g_armed[1] : &g_armed[0];
  strlcpy(armed->name, setting, sizeof(armed->name));
  armed->count = 1;
  armed->sleep_ms = 0;
  if (char* colon = strchr(armed->name, ':')) {
    *colon = '\0';
    if (strncmp(colon + 1, "sleep", 5) == 0) {
      armed->sleep_ms = colon[6] == '=' ? strtol(colon + 7, nullptr, 10) : 500;
    } else {
      armed->count = strtol(colon + 1, nullptr, 10);
    }
  }
  g_visits = 0;
  g_current = armed;
}

void FailurePoint(const char* name) {
  const Armed* armed = g_current.load(std::memory_order_relaxed);
  if (armed == nullptr) return;
  if (strcmp(armed->name, name) != 0) return;
  if (armed->sleep_ms > 0) {
    timespec left{armed->sleep_ms / 1000, (armed->sleep_ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
      // the setting was changed meanwhile: the signal is no reason to go on
    }
    return;
  }
  if (g_visits.fetch_add(1) + 1 >= armed->count) kill(getpid(), SIGKILL);
}

}  // namespace omendb
