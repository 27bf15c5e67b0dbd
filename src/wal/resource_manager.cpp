#include "wal/resource_manager.h"

#include "pg/write_buffer.h"
#include "wal/records.h"

extern "C" {
#include "access/xlog_internal.h"
#include "catalog/pg_control.h"
}

namespace omendb {
namespace {

void (*g_xlog_redo)(XLogReaderState*) = nullptr;

void FlushBeforeCheckpointRedo(XLogReaderState* record) {
  uint8 info = XLogRecGetInfo(record) & ~XLR_INFO_MASK;
  if (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_CHECKPOINT_ONLINE) {
    FlushForRestartpoint(record->ReadRecPtr);
  }
  g_xlog_redo(record);
}

const RmgrData kResourceManager = {kResourceManagerName,
                                   RedoRecord,
                                   DescribeRecord,
                                   IdentifyRecord,
                                   RedoStart,
                                   RedoEnd,
                                   nullptr,
                                   nullptr};

}  // namespace

void InstallResourceManager() {
  RegisterCustomRmgr(kResourceManagerId, const_cast<RmgrData*>(&kResourceManager));
  g_xlog_redo = RmgrTable[RM_XLOG_ID].rm_redo;
  RmgrTable[RM_XLOG_ID].rm_redo = FlushBeforeCheckpointRedo;
}

}  // namespace omendb
