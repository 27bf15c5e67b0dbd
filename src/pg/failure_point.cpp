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

enum class Action { kDie, kSleep, kHold, kError };

// RocksDB's threads read what the main thread sets; the setting's own string is freed on a change.
struct Armed {
  char name[64];
  Action action;
  long number;  // kDie: at which visit; kSleep: ms
};
Armed g_armed[2];
std::atomic<const Armed*> g_current{nullptr};
std::atomic<long> g_visits{0};
char g_loaded[96];

bool ParseNumber(const char* text, long* number) {
  char* end;
  errno = 0;
  *number = strtol(text, &end, 10);
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *number > 0;
}

bool Parse(const char* setting, Armed* armed) {
  size_t name_size = strspn(setting, "abcdefghijklmnopqrstuvwxyz_");
  if (name_size == 0 || name_size >= sizeof(armed->name)) return false;
  if (strlen(setting) >= sizeof(g_loaded)) return false;
  memcpy(armed->name, setting, name_size);
  armed->name[name_size] = '\0';
  armed->action = Action::kDie;
  armed->number = 1;
  const char* rest = setting + name_size;
  if (rest[0] == '\0') return true;
  if (*rest++ != ':') return false;
  if (strcmp(rest, "hold") == 0) {
    armed->action = Action::kHold;
    return true;
  }
  if (strcmp(rest, "error") == 0) {
    armed->action = Action::kError;
    return true;
  }
  if (strncmp(rest, "sleep", 5) == 0) {
    armed->action = Action::kSleep;
    armed->number = 500;
    return rest[5] == '\0' || (rest[5] == '=' && ParseNumber(rest + 6, &armed->number));
  }
  return ParseNumber(rest, &armed->number);
}

// What the setting names, if it is this point.
const Armed* ArmedAt(const char* name) {
  const Armed* armed = g_current.load(std::memory_order_relaxed);
  return armed != nullptr && strcmp(armed->name, name) == 0 ? armed : nullptr;
}

}  // namespace

bool IsFailurePoint(const char* setting) {
  Armed unused;
  return setting[0] == '\0' || Parse(setting, &unused);
}

void LoadFailurePoint() {
  const char* setting = g_failure_point ? g_failure_point : "";
  if (strncmp(setting, g_loaded, sizeof(g_loaded)) == 0) return;
  strlcpy(g_loaded, setting, sizeof(g_loaded));
  Armed* armed = g_current.load() == &g_armed[0] ? &g_armed[1] : &g_armed[0];
  bool any = Parse(setting, armed);
  g_visits = 0;
  g_current = any ? armed : nullptr;
}

void FailurePoint(const char* name) {
  const Armed* armed = ArmedAt(name);
  if (armed == nullptr) return;
  if (armed->action == Action::kSleep) {
    timespec left{armed->number / 1000, (armed->number % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
      // the setting was changed meanwhile: the signal is no reason to go on
    }
  } else if (armed->action == Action::kDie) {
    if (g_visits.fetch_add(1) + 1 >= armed->number) kill(getpid(), SIGKILL);
  }
}

bool HeldAtFailurePoint(const char* name) {
  const Armed* armed = ArmedAt(name);
  return armed != nullptr && armed->action == Action::kHold;
}

void ErrorAtFailurePoint(const char* name) {
  const Armed* armed = ArmedAt(name);
  if (armed == nullptr || armed->action != Action::kError) return;
  ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("failure point \"%s\" was met", name)));
}

void VisitFailurePoint(const char* name) {
  if (likely(g_failure_point == nullptr || g_failure_point[0] == '\0')) return;
  LoadFailurePoint();
  FailurePoint(name);
}

}  // namespace omendb
