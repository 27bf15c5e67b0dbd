// The resource manager: its callbacks, and the one of the server's that it wraps.
#pragma once

#include "pg/server.h"

extern "C" {
#include "access/xlogreader.h"
#include "lib/stringinfo.h"
}

namespace omendb {

// REQUIRES: shared_preload_libraries is being processed. Also wraps the redo of XLOG records, so
// that the write buffer is in the store before a checkpoint is replayed: only then may a
// restartpoint let recovery start behind what the buffer held.
void InstallResourceManager();

// redo.cpp
void RedoRecord(XLogReaderState* record);
void RedoStart();
void RedoEnd();
// desc.cpp
void DescribeRecord(StringInfo out, XLogReaderState* record);
const char* IdentifyRecord(uint8 info);

}  // namespace omendb
