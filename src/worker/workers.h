// The two background workers.
#pragma once

namespace omendb {

// REQUIRES: shared_preload_libraries is being processed.
void RegisterWorkers();

}  // namespace omendb
