// Sessions keep the files that they have open, also after these were deleted. When that holds back
// much disk space, they are told to move on.
#pragma once

#include <cstdint>

namespace omendb {

// Store worker: bytes were unlinked; who stands at `generation` or later does not hold them.
void NoteUnlinked(uint64_t bytes, uint64_t generation);
void WakeSessionsThatHoldFiles();

}  // namespace omendb
