#include "pg/unlogged_reset.h"

#include <fcntl.h>
#include <unistd.h>

#include "pg/server.h"

extern "C" {
#include "storage/fd.h"
}

namespace omendb {
namespace {

constexpr char kMark[] = "global/omendb_unlogged_reset";

}  // namespace

bool NoteUnloggedReset(bool clean) {
  if (access(kMark, F_OK) == 0) return true;
  if (clean) return false;
  int file = OpenTransientFile(kMark, O_WRONLY | O_CREAT | PG_BINARY);
  if (file < 0 || CloseTransientFile(file) != 0) {
    ereport(FATAL, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", kMark)));
  }
  fsync_fname(kMark, false);
  fsync_fname("global", true);
  return true;
}

bool ForgetUnloggedReset() { return access(kMark, F_OK) != 0 || durable_unlink(kMark, LOG) == 0; }

}  // namespace omendb
