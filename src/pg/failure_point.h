// Points at which a test can make a server process kill itself (omendb.failure_point).
#pragma once

#include "pg/server.h"

namespace omendb {

// Dies by SIGKILL here if the setting names this point: `name`, or `name:3` for the third visit.
// `name:sleep` and `name:sleep=2000` (ms) hold the process up instead. Any thread.
void FailurePoint(const char* name);

// Takes the setting over for FailurePoint. Main thread, after every (re)read of the configuration.
void LoadFailurePoint();

}  // namespace omendb
