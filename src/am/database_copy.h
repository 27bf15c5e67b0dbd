// CREATE DATABASE ... TEMPLATE: the server copies files, this the rows of omendb tables.
#pragma once

#include "pg/server.h"

namespace omendb {

// Copies what every omendb table of the template holds, under the same relfilenodes, once the
// server has copied the files. If that fails, nothing is left of the new database: neither rows nor
// files. REQUIRES: within CREATE DATABASE, which keeps everybody else out of both databases.
void CopyDatabaseRows(Oid source, Oid created);

// Makes the store forget a database that is no more. Never fails: nullptr, or why rows may be left.
const char* TryForgetDatabase(Oid database);

}  // namespace omendb
