// A data directory that was restored from a backup: noticed by its backup label, remembered until
// its store was opened.
#pragma once

#include "pg/server.h"

namespace omendb {

// In the postmaster, before recovery renames the label. True if this is a copy whose store was not
// opened yet. *redo: where recovery of the copy began or begins, 0 if it is not known.
bool NoteRestoredBackup(XLogRecPtr* redo);
// The store was opened.
void ForgetRestoredBackup();

}  // namespace omendb
