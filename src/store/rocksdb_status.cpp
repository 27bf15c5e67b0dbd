#include "store/rocksdb_status.h"

#include <cerrno>
#include <cstring>

#include "base/pure.h"

namespace omendb {

bool IsDiskFull(const rocksdb::Status& status) {
  if (status.IsNoSpace()) return true;
  if (!status.IsIOError()) return false;
  // Only ENOSPC has a subcode; a quota or a file size limit is the same to whoever waits for room.
  const std::string text = status.ToString();
  for (int error : {ENOSPC, EDQUOT, EFBIG}) {
    if (text.find(strerror(error)) != std::string::npos) return true;
  }
  return false;
}

Status FromRocksDb(const rocksdb::Status& status, const std::string& message) {
  const std::string text = status.ToString();
  if (IsDiskFull(status)) {
    return Status::Make(StatusCode::kDiskFull, message + ": no space left on the device", text,
                        "Free space on the file system of the data directory; writing resumes by "
                        "itself.");
  }
  if (status.IsCorruption()) {
    return Status::Make(StatusCode::kCorruption, message + ": damaged file", text,
                        "Restore the data directory from a backup.");
  }
  if (status.IsMemoryLimit()) return Status::Make(StatusCode::kOutOfMemory, message, text);
  if (status.IsIOError() || status.IsPathNotFound()) return Status::IoError(message, text);
  return Status::Internal(message, text);
}

}  // namespace omendb
