// CRC-32C (Castagnoli), with the processor's instruction where there is one.
#pragma once

#include "base/types.h"

namespace omendb {

// Extends `crc` (0 to start) over data.
uint32_t Crc32c(uint32_t crc, Slice data);

}  // namespace omendb
