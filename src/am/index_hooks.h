// What makes the server treat indexes of the method alex as it treats btree's: constraints, foreign
// keys, ON CONFLICT and the planner.
#pragma once

#include "pg/server.h"

namespace omendb {

// Called once, while shared_preload_libraries are loaded, before the settings can be used.
void InstallIndexHooks();

// Whether an index has the access method alex, whatever rd_rel->relam says at the moment.
bool IsAlexIndex(Relation index);

// For ambuild: gives a unique index btree's operator classes in pg_index, since foreign keys look
// at the method of a key's operator class, and has this session's relcache entry rebuilt. Other
// indexes stay as they are. `index` keeps its address, but not what it points to.
void UseBtreeOpclasses(Relation index);

}  // namespace omendb
