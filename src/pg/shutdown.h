// Tells a worker that was terminated by itself from a server that shuts down.
#pragma once

namespace omendb {

// True once the postmaster was told to stop: it says so in its lock file before it signals anybody.
// (Not when recovery ends the server at its target.) Reads the file at every call.
bool ServerIsStopping();

}  // namespace omendb
