#include "store/primary_file_system.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/coding.h"
#include "base/pure.h"

namespace omendb {

// A file as RocksDB reads it, amendments included.
class PrimaryFileSystem::AmendedFile : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  AmendedFile(const PrimaryFileSystem* system, std::string name,
              std::unique_ptr<rocksdb::FSRandomAccessFile> file)
      : rocksdb::FSRandomAccessFileOwnerWrapper(std::move(file)),
        system_(system),
        name_(std::move(name)) {}

  rocksdb::IOStatus Read(uint64_t offset, size_t n, const rocksdb::IOOptions& options,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext* debug) const override {
    rocksdb::IOStatus status =
        rocksdb::FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, debug);
    // Nothing is mapped on this side: what was read lies in scratch.
    if (status.ok() && result->data() == scratch) {
      system_->Amend(name_, offset, result->size(), scratch);
    }
    return status;
  }

 private:
  const PrimaryFileSystem* const system_;
  const std::string name_;
};

PrimaryFileSystem::PrimaryFileSystem(std::string directory, std::function<void(const char*)> reach)
    : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()),
      directory_(std::move(directory)),
      reach_(std::move(reach)) {}

bool PrimaryFileSystem::IsShared(const std::string& name) const {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos || name.compare(0, slash, directory_) != 0) return false;
  return name.ends_with(".sst") || name.compare(slash + 1, 9, "MANIFEST-") == 0;
}

size_t PrimaryFileSystem::queued_files() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.size() + held_.size();
}

uint64_t PrimaryFileSystem::queued_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [name, size] : queue_) bytes += size;
  for (const auto& [name, size] : held_) bytes += size;
  return bytes;
}

size_t PrimaryFileSystem::UnlinkQueued() {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t unlinked = 0;
  for (auto file = queue_.begin(); file != queue_.end();) {
    if (unlink(file->first.c_str()) == 0 || errno == ENOENT) {
      file = queue_.erase(file);
      unlinked++;
    } else {
      ++file;
    }
  }
  return unlinked;
}

void PrimaryFileSystem::ForgetQueued() {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.clear();
  held_.clear();
  holding_ = false;
}

void PrimaryFileSystem::Hold() {
  std::lock_guard<std::mutex> lock(mutex_);
  holding_ = true;
}

void PrimaryFileSystem::Release() {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.merge(held_);
  held_.clear();
  holding_ = false;
}

void PrimaryFileSystem::Amend(const std::string& name, uint64_t offset, uint32_t checksum) {
  std::lock_guard<std::mutex> lock(mutex_);
  amendments_[name][offset] = checksum;
  any_amendments_.store(true, std::memory_order_release);
}

void PrimaryFileSystem::Amend(const std::string& name, uint64_t offset, size_t n,
                              char* bytes) const {
  if (!any_amendments_.load(std::memory_order_acquire)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto file = amendments_.find(name);
  if (file == amendments_.end()) return;
  for (const auto& [at, checksum] : file->second) {
    char amended[sizeof(checksum)];
    StoreFixed(amended, checksum);
    for (size_t i = 0; i < sizeof(checksum); i++) {
      if (at + i >= offset && at + i < offset + n) bytes[at + i - offset] = amended[i];
    }
  }
}

rocksdb::IOStatus PrimaryFileSystem::NewRandomAccessFile(
    const std::string& name, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSRandomAccessFile>* result, rocksdb::IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  rocksdb::IOStatus status = target()->NewRandomAccessFile(name, options, &file, debug);
  if (!status.ok()) return status;
  if (IsShared(name)) {
    *result = std::make_unique<AmendedFile>(this, name, std::move(file));
  } else {
    *result = std::move(file);
  }
  return status;
}

rocksdb::IOStatus PrimaryFileSystem::DeleteFile(const std::string& name,
                                                const rocksdb::IOOptions& options,
                                                rocksdb::IODebugContext* debug) {
  if (!IsShared(name)) {
    if (name.ends_with(".sst")) Reach("ingest_unlink");
    return target()->DeleteFile(name, options, debug);
  }
  struct stat info;
  const uint64_t size = stat(name.c_str(), &info) == 0 ? info.st_size : 0;
  std::lock_guard<std::mutex> lock(mutex_);
  if (!queue_.contains(name)) (holding_ ? held_ : queue_).emplace(name, size);
  return rocksdb::IOStatus::OK();
}

void PrimaryFileSystem::MakeRoomFor(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (queue_.erase(name) + held_.erase(name) > 0) unlink(name.c_str());
}

rocksdb::IOStatus PrimaryFileSystem::NewWritableFile(
    const std::string& name, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, rocksdb::IODebugContext* debug) {
  MakeRoomFor(name);
  return target()->NewWritableFile(name, options, result, debug);
}

rocksdb::IOStatus PrimaryFileSystem::LinkFile(const std::string& from, const std::string& to,
                                              const rocksdb::IOOptions& options,
                                              rocksdb::IODebugContext* debug) {
  Reach("ingest_link");
  MakeRoomFor(to);
  return target()->LinkFile(from, to, options, debug);
}

rocksdb::IOStatus PrimaryFileSystem::RenameFile(const std::string& from, const std::string& to,
                                                const rocksdb::IOOptions& options,
                                                rocksdb::IODebugContext* debug) {
  MakeRoomFor(to);
  return target()->RenameFile(from, to, options, debug);
}

}  // namespace omendb
