#include "pg/guard.h"

namespace omendb {
namespace {

const char* CopyText(const std::string& text) noexcept {
  if (text.empty()) return nullptr;
  auto* copy = static_cast<char*>(
      MemoryContextAllocExtended(CurrentMemoryContext, text.size() + 1, MCXT_ALLOC_NO_OOM));
  if (copy == nullptr) return "out of memory while reporting an error";
  memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace

int SqlStateOf(StatusCode code) {
  switch (code) {
    case StatusCode::kCorruption:
      return ERRCODE_DATA_CORRUPTED;
    case StatusCode::kIoError:
      return ERRCODE_IO_ERROR;
    case StatusCode::kDiskFull:
      return ERRCODE_DISK_FULL;
    case StatusCode::kLimitExceeded:
      return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
    case StatusCode::kOutOfMemory:
      return ERRCODE_OUT_OF_MEMORY;
    case StatusCode::kUnavailable:
      return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
    default:
      return ERRCODE_INTERNAL_ERROR;
  }
}

GuardFailure CaptureStatus(const Status& status) noexcept {
  return GuardFailure{SqlStateOf(status.code()), CopyText(status.message()),
                      CopyText(status.detail()), CopyText(status.hint())};
}

GuardFailure CaptureText(int sqlstate, const char* message) noexcept {
  try {
    return GuardFailure{sqlstate, CopyText(message), nullptr, nullptr};
  } catch (...) {
    return GuardFailure{sqlstate, "out of memory while reporting an error", nullptr, nullptr};
  }
}

void RaiseFailure(const GuardFailure& failure, int elevel) {
  ereport(elevel, (errcode(failure.sqlstate),
                   errmsg("%s", failure.message ? failure.message : "unknown failure"),
                   failure.detail ? errdetail("%s", failure.detail) : 0,
                   failure.hint ? errhint("%s", failure.hint) : 0));
  pg_unreachable();
}

}  // namespace omendb
