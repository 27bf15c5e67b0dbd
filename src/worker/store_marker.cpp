#include "worker/store_marker.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "store/store_state.h"
// after the pure headers
#include "pg/server.h"

namespace omendb {
namespace {

std::string MarkerPath() { return std::string(DataDir) + "/global/omendb_store"; }

Status Failed(const char* what, const std::string& path, int error) {
  return Status::Make(error == ENOSPC ? StatusCode::kDiskFull : StatusCode::kIoError,
                      std::string("could not ") + what + " \"" + path + "\"", strerror(error));
}

Status SyncFolder(const std::string& path) {
  int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool done = folder >= 0 && fsync(folder) == 0;
  int error = errno;
  if (folder >= 0) close(folder);
  return done ? Status::Ok() : Failed("write", path, error);
}

}  // namespace

bool StoreMarkerExists() { return access(MarkerPath().c_str(), F_OK) == 0; }

// The file holds a StoreState as store_state.h draws it. It is shorter than a sector and written in
// place, so it is there as a whole or as it was before.
Status ReadStoreMarker(Lsn* lsn, uint64_t* generation) {
  *lsn = 0;
  *generation = 0;
  const std::string path = MarkerPath();
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? Status::Ok() : Failed("open", path, errno);
  char bytes[64];
  ssize_t size = pread(file, bytes, sizeof(bytes), 0);
  int error = errno;
  close(file);
  if (size < 0) return Failed("read", path, error);
  StoreState state;
  if (size > 0 && !state.Decode(Slice(bytes, static_cast<size_t>(size)))) {
    return Status::Corruption("\"" + path + "\" is damaged",
                              "It says how new the omendb store has to be.");
  }
  *lsn = state.lsn;
  *generation = state.generation;
  return Status::Ok();
}

Status WriteStoreMarker(Lsn lsn, uint64_t generation) {
  const std::string path = MarkerPath(), bytes = StoreState{lsn, generation}.Encode();
  bool created = !StoreMarkerExists();
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return Failed("open", path, errno);
  errno = ENOSPC;  // a short write sets none
  bool done = pwrite(file, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()) &&
              fsync(file) == 0;
  int error = errno;
  close(file);
  if (!done) return Failed("write", path, error);
  return created ? SyncFolder(std::string(DataDir) + "/global") : Status::Ok();
}

}  // namespace omendb
