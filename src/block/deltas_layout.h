// Fixed part of a deltas section's body, drawn in deltas.cpp.
#pragma once

#include "base/types.h"

namespace omendb {

struct DeltasHeader {
  uint32_t entries;
  uint16_t columns;
  uint16_t reserved;
};
static_assert(sizeof(DeltasHeader) == 8);

}  // namespace omendb
