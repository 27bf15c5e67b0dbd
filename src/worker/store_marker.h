// A small file outside the store that says that there is one, and how new it is. Without it a store
// whose directory was deleted would come up empty, and one whose files were replaced by older ones
// would come up with older rows.
#pragma once

#include "base/status.h"
#include "base/types.h"

namespace omendb {

bool StoreMarkerExists();
// 0 and 0 if there is no marker, or one that was never filled.
Status ReadStoreMarker(Lsn* lsn, uint64_t* generation);
// Creates it if it is missing. On disk when it returns. The store must be as new by then.
Status WriteStoreMarker(Lsn lsn, uint64_t generation);

}  // namespace omendb
