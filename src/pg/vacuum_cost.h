// What VACUUM reads past the buffer manager counts for its delay (vacuum_cost_limit) as well.
#pragma once

#include "pg/server.h"

extern "C" {
#include "miscadmin.h"
}

namespace omendb {

// As a page that was not in shared buffers. Nothing outside of VACUUM.
inline void ChargePageRead() {
  if (VacuumCostActive) VacuumCostBalance += VacuumCostPageMiss;
}

}  // namespace omendb
