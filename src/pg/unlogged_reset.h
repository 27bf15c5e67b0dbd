// The server empties unlogged relations when it starts after a crash. It does so by itself and at
// once; the store may be opened later, even only after a clean stop, and must learn of it then.
#pragma once

namespace omendb {

// In the postmaster. `clean`: nothing makes the server go through recovery now. True if the store
// has still to drop the unlogged rows that it has.
bool NoteUnloggedReset(bool clean);
// The drop is in the store. False: it could not be noted, and the reason is in the log.
bool ForgetUnloggedReset();

}  // namespace omendb
