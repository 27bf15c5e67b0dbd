// The server's hooks that the access methods need.
#pragma once

namespace omendb {

// Called once, while shared_preload_libraries are loaded.
void InstallAmHooks();

}  // namespace omendb
