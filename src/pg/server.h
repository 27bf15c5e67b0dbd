// PostgreSQL's headers, as C. Server rooms include this after every C++ header.
#pragma once

// Pure headers may come after this one here: their check is for the files of pure rooms.
#include "base/pure.h"

extern "C" {
#include "postgres.h"
// after postgres.h
#include "access/xlogdefs.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/block.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"
#include "storage/relfilenode.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"
}

// The server's macro names a C type in a way that C++ refuses.
#undef LSN_FORMAT_ARGS
#define LSN_FORMAT_ARGS(lsn) (static_cast<uint32>((lsn) >> 32)), (static_cast<uint32>(lsn))
