// The primary's view of the file system: deleting an SST or a manifest only queues it.
//
// Backends open files by name, some milliseconds after they read the name in the manifest. So a
// file may only disappear while no backend is in between, which the store's owner knows (it unlinks
// under the lock that openers share) and RocksDB does not. That includes the files which RocksDB
// finds left over when it opens the database after a crash.
//
// Thread-safe: RocksDB deletes from its own threads.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/pure.h"

namespace omendb {

class PrimaryFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // `directory`: the database; SSTs elsewhere (files being built) are deleted at once.
  // reach: tests; called as StoreOptions::failure_point, may be empty.
  explicit PrimaryFileSystem(std::string directory, std::function<void(const char*)> reach = {});
  const char* Name() const override { return "omendb.primary"; }

  size_t queued_files() const;
  uint64_t queued_bytes() const;
  // Returns how many were unlinked; a file that cannot be unlinked stays queued.
  size_t UnlinkQueued();
  // What is queued between Hold and Release is not unlinked: as long as an ingest has not
  // succeeded, the manifest on disk may name the files that it takes back.
  void Hold();
  void Release();
  // What is queued may be live after all: RocksDB opens anew and will say again what it deletes.
  void ForgetQueued();

  // From now on the four bytes at `offset` of an SST read as `checksum`.
  void Amend(const std::string& name, uint64_t offset, uint32_t checksum);

  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  // A queued name that comes into use again must be a new file: readers map the old one.
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

 private:
  class AmendedFile;

  bool IsShared(const std::string& name) const;  // may a reader be about to open it?
  void Amend(const std::string& name, uint64_t offset, size_t n, char* bytes) const;
  void MakeRoomFor(const std::string& name);
  void Reach(const char* point) const {
    if (reach_) reach_(point);
  }

  const std::string directory_;
  const std::function<void(const char*)> reach_;
  mutable std::mutex mutex_;                      // guards what follows
  std::map<std::string, uint64_t> queue_, held_;  // path -> size
  bool holding_ = false;
  std::map<std::string, std::map<uint64_t, uint32_t>> amendments_;  // path -> offset -> checksum
  std::atomic<bool> any_amendments_{false};
};

}  // namespace omendb
