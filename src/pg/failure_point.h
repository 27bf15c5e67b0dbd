// Points at which a test can make a server process kill itself, wait or fail
// (omendb.failure_point).
#pragma once

#include "pg/server.h"

namespace omendb {

// Dies by SIGKILL here if the setting names this point: `name`, or `name:3` for the third visit.
// `name:sleep` and `name:sleep=2000` (ms) hold the process up instead. Any thread.
void FailurePoint(const char* name);

// True while the setting is `name:hold`: the caller comes back later, and so goes on answering
// signals. Main thread.
bool HeldAtFailurePoint(const char* name);

// An ERROR if the setting is `name:error`. Main thread.
void ErrorAtFailurePoint(const char* name);

// Takes the setting over for the above. Main thread, after every (re)read of the configuration.
void LoadFailurePoint();

// For processes that do not read it again by themselves. Cheap when the setting is empty.
void VisitFailurePoint(const char* name);

// Whether a value of the setting can be understood: a typing error must not make a test pass.
bool IsFailurePoint(const char* setting);

}  // namespace omendb
