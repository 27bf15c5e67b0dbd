#include "store/reader_file_system.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/bus_guard.h"
#include "store/sst_layout.h"
#include "base/pure.h"

namespace omendb {
namespace {

using rocksdb::IOStatus;

IOStatus ErrnoStatus(const std::string& what, const std::string& name) {
  const std::string text = what + " " + name;
  if (errno == ENOENT) return IOStatus::PathNotFound(text, strerror(errno));
  return IOStatus::IOError(text, strerror(errno));
}

// Bytes read, less than n only at the end of the file; -1 with errno.
ssize_t ReadFully(int fd, uint64_t offset, size_t n, char* to) {
  size_t done = 0;
  while (done < n) {
    const ssize_t got = pread(fd, to + done, n - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += got;
  }
  return static_cast<ssize_t>(done);
}

class FileBytes : public SstBytes {
 public:
  explicit FileBytes(int fd) : fd_(fd) {}
  bool Read(uint64_t offset, size_t n, char* to) const override {
    return ReadFully(fd_, offset, n, to) == static_cast<ssize_t>(n);
  }

 private:
  const int fd_;
};

// A process maps so much of the data at most: page tables take a 512th of what it touches.
constexpr uint64_t kMostMapped = 8ull << 30;
constexpr uint64_t kMemoryShare = 2;  // and no more than this part of the memory
std::atomic<uint64_t> g_mapped{0};

uint64_t PageSize() {
  static const auto size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

uint64_t MappedLimit() {
  static const uint64_t limit = std::min<uint64_t>(
      kMostMapped, static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * PageSize() / kMemoryShare);
  return limit;
}

class MappedTailFile;

// Those that are open, by their numbers. RocksDB may close some on a thread of its own.
struct OpenFiles {
  std::mutex mutex;  // guards the map, and keeps its files open; no other lock is taken inside it
  std::unordered_map<uint64_t, const MappedTailFile*> by_number;
};

// Never destroyed: files that a poisoned instance left behind refer to it for ever.
OpenFiles& AllOpenFiles() {
  static OpenFiles* const files = new OpenFiles;
  return *files;
}

thread_local StorePlace g_last_data_block;

// Of ".../000123.sst".
uint64_t FileNumber(const std::string& name) {
  return std::strtoull(name.c_str() + name.rfind('/') + 1, nullptr, 10);
}

// A file whose index, filter and properties are used where they are mapped. Its data, as far as
// that is mapped too, is copied from there, which costs a fraction of a call to read it. What a
// process reads of a region first is read all the same: it may not be in memory, and the kernel
// then fetches a block at once, not page by page.
class MappedTailFile : public rocksdb::FSRandomAccessFile {
 public:
  static IOStatus Open(const std::string& name,
                       std::unique_ptr<rocksdb::FSRandomAccessFile>* result) {
    std::unique_ptr<MappedTailFile> file(new MappedTailFile(name));
    file->fd_ = open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (file->fd_ < 0) return ErrnoStatus("could not open", name);
    struct stat info;
    if (fstat(file->fd_, &info) != 0) return ErrnoStatus("could not stat", name);
    file->size_ = info.st_size;
    file->data_end_ = SstDataEnd(FileBytes(file->fd_), file->size_);
    if (file->data_end_ < file->size_) {
      const uint64_t page = PageSize();
      const uint64_t data = file->data_end_ / page * page;
      file->counted_ = g_mapped.fetch_add(data) + data <= MappedLimit() ? data : 0;
      g_mapped.fetch_sub(data - file->counted_);
      file->map_begin_ = data - file->counted_;
      const size_t length = file->size_ - file->map_begin_;
      void* map = mmap(nullptr, length, PROT_READ, MAP_SHARED, file->fd_, file->map_begin_);
      if (map == MAP_FAILED) {
        file->data_end_ = file->size_;  // address space is short: read it all
        g_mapped.fetch_sub(file->counted_);
        file->counted_ = 0;
      } else {
        file->map_ = static_cast<char*>(map);
        file->range_ = std::make_unique<MappedRange>(map, length);
        if (file->counted_ > 0) madvise(map, file->counted_, MADV_RANDOM);
        // With any of the data all of it is mapped.
        const uint64_t mapped = file->counted_ > 0 ? file->data_end_ : 0;
        file->read_ = std::vector<std::atomic<bool>>((mapped + kRegion - 1) / kRegion);
      }
    }
    // A point read takes one block somewhere; scans ask for what they will need (Prefetch).
    posix_fadvise(file->fd_, 0, 0, POSIX_FADV_RANDOM);
    OpenFiles& files = AllOpenFiles();
    const std::lock_guard lock(files.mutex);
    files.by_number[file->number_] = file.get();
    *result = std::move(file);
    return IOStatus::OK();
  }

  ~MappedTailFile() override {
    {
      OpenFiles& files = AllOpenFiles();
      const std::lock_guard lock(files.mutex);
      const auto found = files.by_number.find(number_);
      if (found != files.by_number.end() && found->second == this) files.by_number.erase(found);
    }
    range_.reset();
    if (map_ != nullptr) munmap(map_, size_ - map_begin_);
    g_mapped.fetch_sub(counted_);
    if (fd_ >= 0) close(fd_);
  }

  IOStatus Read(uint64_t offset, size_t n, const rocksdb::IOOptions&, rocksdb::Slice* result,
                char* scratch, rocksdb::IODebugContext*) const override {
    if (offset >= data_end_ && offset <= size_) {
      n = n < size_ - offset ? n : size_ - offset;
      *result = rocksdb::Slice(map_ + (offset - map_begin_), n);
      return IOStatus::OK();
    }
    g_last_data_block = StorePlace(number_, offset);
    if (CopyMapped(offset, n, scratch)) {
      *result = rocksdb::Slice(scratch, n);
      return IOStatus::OK();
    }
    const ssize_t got = ReadFully(fd_, offset, n, scratch);
    if (got < 0) return ErrnoStatus("could not read", name_);
    *result = rocksdb::Slice(scratch, got);
    return IOStatus::OK();
  }

  // All of it, of regions that were read before or are in memory, or false.
  bool CopyFromMemory(uint64_t offset, size_t n, char* to) const {
    if (!IsMapped(offset, n)) return false;
    for (uint64_t region = offset / kRegion; region <= (offset + n - 1) / kRegion; region++) {
      if (read_[region].load(std::memory_order_relaxed)) continue;
      if (!IsInMemory(region)) return false;
      read_[region].store(true, std::memory_order_relaxed);
    }
    return Copy(offset, n, to);
  }

  // Always OK: otherwise RocksDB would read the tail into a buffer of its own.
  IOStatus Prefetch(uint64_t offset, size_t n, const rocksdb::IOOptions&,
                    rocksdb::IODebugContext*) override {
    if (offset < data_end_ && offset + n < size_) readahead(fd_, offset, n);
    return IOStatus::OK();
  }

 private:
  static constexpr uint64_t kRegion = 64 << 10, kSmallestPage = 4 << 10;

  explicit MappedTailFile(const std::string& name) : name_(name), number_(FileNumber(name)) {}

  // False: it is to be read. That also tells what is wrong with a page that cannot be had.
  bool CopyMapped(uint64_t offset, size_t n, char* to) const {
    if (!IsMapped(offset, n)) return false;
    bool was_read = true;
    for (uint64_t region = offset / kRegion; region <= (offset + n - 1) / kRegion; region++) {
      was_read = was_read && read_[region].load(std::memory_order_relaxed);
      read_[region].store(true, std::memory_order_relaxed);
    }
    return was_read && Copy(offset, n, to);
  }

  // Whether these are bytes of the data, and the data are mapped.
  bool IsMapped(uint64_t offset, size_t n) const {
    return !read_.empty() && n > 0 && offset <= data_end_ && n <= data_end_ - offset;
  }

  // Whether the system has all pages of a mapped region.
  bool IsInMemory(uint64_t region) const {
    const uint64_t page = PageSize(), begin = region * kRegion;
    const uint64_t size = std::min(kRegion, data_end_ - begin);
    unsigned char pages[kRegion / kSmallestPage];
    if (mincore(map_ + begin, size, pages) != 0) return false;
    return std::all_of(pages, pages + (size + page - 1) / page,
                       [](unsigned char there) { return (there & 1) != 0; });
  }

  bool Copy(uint64_t offset, size_t n, char* to) const {
    return CatchBusError([&] { memcpy(to, map_ + (offset - map_begin_), n); });
  }

  const std::string name_;
  const uint64_t number_;
  int fd_ = -1;
  uint64_t size_ = 0;
  uint64_t data_end_ = 0;   // reads from here on are served from the mapping
  uint64_t map_begin_ = 0;  // 0 if the data are mapped, else data_end_ rounded down to a page
  char* map_ = nullptr;
  std::unique_ptr<MappedRange> range_;
  uint64_t counted_ = 0;                         // of the data: mapped
  mutable std::vector<std::atomic<bool>> read_;  // by region of it
};

class ReaderFileSystem : public rocksdb::FileSystemWrapper {
 public:
  ReaderFileSystem() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "omendb.reader"; }

  IOStatus NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               rocksdb::IODebugContext* debug) override {
    if (name.ends_with(".sst")) return MappedTailFile::Open(name, result);
    return target()->NewRandomAccessFile(name, options, result, debug);
  }

  // Whatever a reader would change is the primary's.
  IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>*,
                           rocksdb::IODebugContext*) override {
    return Refuse(name);
  }
  IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions&,
                      rocksdb::IODebugContext*) override {
    return Refuse(name);
  }
  IOStatus RenameFile(const std::string& name, const std::string&, const rocksdb::IOOptions&,
                      rocksdb::IODebugContext*) override {
    return Refuse(name);
  }
  IOStatus CreateDir(const std::string& name, const rocksdb::IOOptions&,
                     rocksdb::IODebugContext*) override {
    return Refuse(name);
  }
  IOStatus CreateDirIfMissing(const std::string& name, const rocksdb::IOOptions&,
                              rocksdb::IODebugContext*) override {
    return Refuse(name);
  }

 private:
  static IOStatus Refuse(const std::string& name) {
    return IOStatus::NotSupported("a reader of the store writes nothing", name);
  }
};

}  // namespace

StorePlace LastDataBlock() { return g_last_data_block; }

bool CopyMappedAt(StorePlace place, uint64_t skip, size_t n, char* to) {
  OpenFiles& files = AllOpenFiles();
  const std::lock_guard lock(files.mutex);
  const auto found = files.by_number.find(place.file());
  return found != files.by_number.end() &&
         found->second->CopyFromMemory(place.offset() + skip, n, to);
}

rocksdb::Env* ReaderEnv() {
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(std::make_shared<ReaderFileSystem>()).release();
  return env;
}

}  // namespace omendb
