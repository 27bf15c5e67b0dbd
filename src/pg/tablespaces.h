// Which tablespaces there are, for code that has no catalog at hand.
#pragma once

#include "pg/server.h"

extern "C" {
#include "nodes/pg_list.h"
}

namespace omendb {

// OIDs of those that may have files of databases: pg_default, and what pg_tblspc has an entry for.
// NIL if that cannot be read.
List* TablespaceOids();

}  // namespace omendb
