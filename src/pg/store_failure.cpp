#include "pg/store_failure.h"

#include "pg/guard.h"
#include "pg/shared_state.h"

namespace omendb {
namespace {

// Cuts at a character's first byte: half a character would be refused by the client's encoding.
void CopyCut(char* to, size_t size, const std::string& from) {
  size_t length = from.size();
  if (length >= size) {
    length = size - 1;
    while (length > 0 && (static_cast<unsigned char>(from[length]) & 0xc0) == 0x80) length--;
  }
  memcpy(to, from.data(), length);
  to[length] = '\0';
}

void PublishText(const Status& status) {
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  SetFailureText(&g_shared->failure_text, status);
  LWLockRelease(StoreTextLock());
}

void ReadText(FailureText* text) {
  LWLockAcquire(StoreTextLock(), LW_SHARED);
  *text = g_shared->failure_text;
  LWLockRelease(StoreTextLock());
}

}  // namespace

void SetFailureText(FailureText* text, const Status& status) {
  CopyCut(text->message, sizeof(text->message), status.message());
  CopyCut(text->detail, sizeof(text->detail), status.detail());
  CopyCut(text->hint, sizeof(text->hint), status.hint());
}

void PublishStoreFailure(const Status& status) {
  PublishText(status);
  g_shared->open_failure = static_cast<uint32_t>(status.code());
  g_shared->store_state = StoreState::kFailed;
}

bool StoreFailureMayPass() {
  switch (static_cast<StatusCode>(g_shared->open_failure.load())) {
    case StatusCode::kDiskFull:
    case StatusCode::kIoError:
    case StatusCode::kOutOfMemory:
      return true;
    default:
      return false;
  }
}

void PublishWriteFailure(const Status& status) {
  if (!status.ok()) PublishText(status);
  g_shared->write_failure = static_cast<uint32_t>(status.code());
}

void ReportStoreFailure(int elevel) {
  FailureText text;
  ReadText(&text);
  ereport(elevel, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                   errmsg("the omendb store is not open"),
                   errdetail("%s%s%s", text.message, text.detail[0] ? ": " : "", text.detail),
                   text.hint[0] ? errhint("%s", text.hint) : 0));
}

void RaiseStoreFailure(int elevel) {
  ReportStoreFailure(elevel);
  pg_unreachable();
}

void RaiseWriteFailure() {
  FailureText text;
  ReadText(&text);
  auto code = static_cast<StatusCode>(g_shared->write_failure.load());
  ereport(ERROR, (errcode(code == StatusCode::kOk ? ERRCODE_DISK_FULL : SqlStateOf(code)),
                  errmsg("the omendb store takes no writes and the write buffer is full"),
                  errdetail("%s%s%s", text.message, text.detail[0] ? ": " : "", text.detail),
                  errhint("Writing resumes by itself once the store can be written again.")));
  pg_unreachable();
}

}  // namespace omendb
