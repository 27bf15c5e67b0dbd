#include "pg/restored_backup.h"

#include <stdio.h>
#include <unistd.h>

extern "C" {
#include "storage/fd.h"
}

namespace omendb {
namespace {

// Holds the LSN as text.
constexpr char kMarker[] = "omendb.restored";
constexpr char kNewMarker[] = "omendb.restored.tmp";
constexpr char kLabel[] = "backup_label";

// False if there is no such file.
bool ReadLsn(const char* path, const char* format, XLogRecPtr* lsn) {
  FILE* file = AllocateFile(path, "r");
  if (file == nullptr) {
    if (errno == ENOENT) return false;
    ereport(FATAL, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", path)));
  }
  unsigned high = 0, low = 0;
  *lsn = fscanf(file, format, &high, &low) == 2 ? static_cast<XLogRecPtr>(high) << 32 | low : 0;
  FreeFile(file);
  return true;
}

void WriteMarker(XLogRecPtr lsn) {
  FILE* file = AllocateFile(kNewMarker, "w");
  bool done = file != nullptr && fprintf(file, "%X/%X\n", LSN_FORMAT_ARGS(lsn)) > 0;
  if (file != nullptr && FreeFile(file) != 0) done = false;
  if (!done) {
    ereport(FATAL,
            (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", kNewMarker)));
  }
  durable_rename(kNewMarker, kMarker, FATAL);
}

}  // namespace

bool NoteRestoredBackup(XLogRecPtr* redo) {
  *redo = 0;
  if (!ReadLsn(kLabel, "START WAL LOCATION: %X/%X", redo)) return ReadLsn(kMarker, "%X/%X", redo);
  // The label is gone once recovery has begun, but the store may not have been opened by then.
  WriteMarker(*redo);
  return true;
}

void ForgetRestoredBackup() { unlink(kMarker); }

}  // namespace omendb
