#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <random>

#include "store/bus_guard.h"
#include "store/reader_file_system.h"
#include "store/sst_layout.h"
#include "store_fixture.h"
#include "base/pure.h"

namespace omendb {
namespace {

class StoreReaderTest : public StoreTest {
 protected:
  void Put(StorageId storage, BlockNo block, uint64_t number, Lsn lsn, size_t filler = 100) {
    Flush({{{storage, block}, {true, BlockValue({{.number = number, .lsn = lsn}}, filler)}}}, lsn);
  }
  int64_t NumberAt(ReaderStore* reader, StorageId storage, BlockNo block) {
    std::string value;
    Status status = reader->Get(storage, block, &value);
    if (status.code() == StatusCode::kNotFound) return -1;
    EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(value.data()) % 8, 0u);
    return NewestNumber(value, 0);
  }
  // Storage 1 with 4000 blocks.
  void OpenWithLargeFile() {
    Open();
    Blocks blocks;
    for (BlockNo b = 0; b < 4000; b++) {
      blocks[{1, b}] = {true, BlockValue({{.number = b, .lsn = 1}}, 900)};
    }
    Flush(blocks, 1);
  }
  // Fills storages 1..3 with 300 blocks each, and changes every third one.
  void Load() {
    Blocks blocks, changes;
    for (StorageId storage : {1, 2, 3}) {
      for (BlockNo b = 0; b < 300; b++) {
        blocks[{storage, 2 * b}] = {true, BlockValue({{.number = b, .lsn = 1}}, 4000 + b)};
        if (b % 3 == 0) {
          changes[{storage, 2 * b}] = {
              false, BlockValue({{.number = 1000 + b, .lsn = 2, .kind = VersionKind::kUpdate}})};
        }
      }
    }
    Flush(blocks, 1);
    Flush(changes, 2);
  }
};

TEST_F(StoreReaderTest, FindsBlocksAndTheirAbsence) {
  Open();
  Load();
  auto reader = Reader(2);
  EXPECT_EQ(reader->generation(), 2u);
  EXPECT_EQ(NumberAt(reader.get(), 2, 0), 1000);
  EXPECT_EQ(NumberAt(reader.get(), 2, 2), 1);
  EXPECT_EQ(NumberAt(reader.get(), 2, 1), -1);
  EXPECT_EQ(NumberAt(reader.get(), 2, 600), -1);
  EXPECT_EQ(NumberAt(reader.get(), 4, 0), -1);
}

TEST_F(StoreReaderTest, IteratesOneStorageWithinBounds) {
  Open();
  Load();
  auto reader = Reader();
  std::unique_ptr<ReaderStore::BlockIterator> it;
  ASSERT_TRUE(reader->NewIterator(2, 100, 401, &it).ok());
  BlockNo want = 100;
  for (; it->Valid(); it->Next(), want += 2) {
    EXPECT_EQ(it->block(), want);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(it->value().data()) % 8, 0u);
    const int64_t number = want / 2 % 3 == 0 ? 1000 + want / 2 : want / 2;
    EXPECT_EQ(NewestNumber(it->value(), 0), number);
  }
  EXPECT_TRUE(it->status().ok());
  EXPECT_EQ(want, 402u);
  it->Seek(301);
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->block(), 302u);
  it->Seek(0);
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(it->block(), 100u);
  it->Seek(401);
  EXPECT_FALSE(it->Valid());
  it->Seek(200);
  EXPECT_TRUE(it->Valid());
  ASSERT_TRUE(reader->NewIterator(2, 0, kMaxBlocks, &it).ok());
  int blocks = 0;
  for (; it->Valid(); it->Next()) blocks++;
  EXPECT_EQ(blocks, 300);
  ASSERT_TRUE(reader->NewIterator(7, 0, kMaxBlocks, &it).ok());
  EXPECT_FALSE(it->Valid());
  EXPECT_TRUE(it->status().ok());
}

TEST_F(StoreReaderTest, MovesOnOnlyWhenTold) {
  Open();
  Put(1, 0, 1, 10);
  auto reader = Reader(1);
  std::unique_ptr<ReaderStore::BlockIterator> it;
  ASSERT_TRUE(reader->NewIterator(1, 0, kMaxBlocks, &it).ok());
  Put(1, 0, 2, 20);
  Put(1, 1, 3, 30);
  EXPECT_EQ(NumberAt(reader.get(), 1, 0), 1);
  ASSERT_TRUE(reader->CatchUp(3).ok());
  EXPECT_EQ(reader->generation(), 3u);
  EXPECT_EQ(NumberAt(reader.get(), 1, 0), 2);
  EXPECT_EQ(NumberAt(reader.get(), 1, 1), 3);
  // The iterator keeps the state it was made at.
  ASSERT_TRUE(it->Valid());
  EXPECT_EQ(NewestNumber(it->value(), 0), 1);
  it->Next();
  EXPECT_FALSE(it->Valid());
  EXPECT_TRUE(it->status().ok());
}

TEST_F(StoreReaderTest, ReadsMeta) {
  Open();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  flush_->PutMeta("storage/1", "layout");
  ASSERT_TRUE(flush_->Commit(1).ok());
  auto reader = Reader(1);
  std::string value;
  ASSERT_TRUE(reader->GetMeta("storage/1", &value).ok());
  EXPECT_EQ(value, "layout");
  EXPECT_EQ(reader->GetMeta("storage/2", &value).code(), StatusCode::kNotFound);
}

TEST_F(StoreReaderTest, WritesNothing) {
  Open();
  Put(1, 0, 1, 10);
  const auto listing = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      names.insert(entry.path().string() + " " +
                   std::to_string(entry.is_regular_file() ? entry.file_size() : 0));
    }
    return names;
  };
  const auto before = listing();
  {
    auto reader = Reader(1);
    ASSERT_TRUE(reader->CatchUp(1).ok());
    EXPECT_EQ(listing(), before);
  }
  EXPECT_EQ(listing(), before);
}

TEST_F(StoreReaderTest, MissingStoreIsAnError) {
  std::unique_ptr<ReaderStore> reader;
  Status status = ReaderStore::Open(path_, 0, &reader);
  EXPECT_EQ(status.code(), StatusCode::kIoError) << status.message() << status.detail();
}

TEST_F(StoreReaderTest, MissingFileIsNoticed) {
  Open();
  Put(1, 0, 1, 10);
  const auto before = Files();
  Put(1, 0, 2, 20);
  for (const auto& [name, size] : Files()) {
    if (before.contains(name)) continue;
    SCOPED_TRACE(name);
    std::filesystem::rename(path_ + "/" + name, root_ + "/hidden");
    std::unique_ptr<ReaderStore> reader;
    Status status = ReaderStore::Open(path_, 2, &reader);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(status.code() == StatusCode::kCorruption || status.code() == StatusCode::kIoError);
    EXPECT_FALSE(status.detail().empty());
    std::filesystem::rename(root_ + "/hidden", path_ + "/" + name);
    EXPECT_TRUE(ReaderStore::Open(path_, 2, &reader).ok());
  }
}

TEST_F(StoreReaderTest, ReadsOnAfterItsFilesWereUnlinked) {
  Open();
  Load();
  auto reader = Reader(2);
  std::unique_ptr<ReaderStore::BlockIterator> it;
  ASSERT_TRUE(reader->NewIterator(2, 0, kMaxBlocks, &it).ok());
  ASSERT_TRUE(store_->Compact(0).ok());
  EXPECT_GT(store_->UnlinkObsoleteFiles(), 0u);
  for (BlockNo b = 0; b < 300; b++) {
    EXPECT_EQ(NumberAt(reader.get(), 2, 2 * b), b % 3 == 0 ? 1000 + b : b);
  }
  int blocks = 0;
  for (; it->Valid(); it->Next()) blocks++;
  EXPECT_EQ(blocks, 300);
  EXPECT_TRUE(it->status().ok());
  it.reset();
  ASSERT_TRUE(reader->CatchUp(2).ok());
  EXPECT_EQ(NumberAt(reader.get(), 2, 0), 1000);
}

// A signal handler of the server must never run on one of RocksDB's threads.
TEST_F(StoreReaderTest, ThreadsTakeNoSignals) {
  Open();
  Put(1, 0, 1, 10);
  auto reader = Reader(1);
  for (Lsn lsn = 11; lsn < 31; lsn++) Put(1, lsn, 1, lsn);
  ASSERT_TRUE(reader->CatchUp(21).ok());
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == std::to_string(gettid())) continue;
    threads++;
    std::ifstream in(task.path() / "status");
    for (std::string line; std::getline(in, line);) {
      if (line.rfind("SigBlk:", 0) != 0) continue;
      const uint64_t mask = std::stoull(line.substr(7), nullptr, 16);
      for (int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGALRM, SIGCHLD}) {
        EXPECT_TRUE(mask >> (signal - 1) & 1) << "signal " << signal;
      }
    }
  }
  EXPECT_GT(threads, 0);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_FALSE(sigismember(&mask, SIGTERM));
}

// The file shrinks behind the mapping: the session gets an error, not a crash.
TEST_F(StoreReaderTest, TruncatedFileGivesAnError) {
  OpenWithLargeFile();
  auto reader = Reader(1);
  auto other = Reader(1);
  std::unique_ptr<ReaderStore::BlockIterator> it;
  ASSERT_TRUE(other->NewIterator(1, 0, kMaxBlocks, &it).ok());
  for (const std::string& name : LargeFiles(1 << 20)) {
    std::filesystem::resize_file(path_ + "/" + name, 4096);
  }
  std::string value;
  Status status;
  for (BlockNo b = 0; b < 4000 && status.ok(); b += 50) status = reader->Get(1, b, &value);
  EXPECT_EQ(status.code(), StatusCode::kIoError) << status.message();
  EXPECT_TRUE(reader->poisoned());
  EXPECT_EQ(reader->Get(1, 0, &value).code(), StatusCode::kIoError);
  EXPECT_EQ(reader->CatchUp(1).code(), StatusCode::kIoError);
  std::unique_ptr<ReaderStore::BlockIterator> refused;
  EXPECT_EQ(reader->NewIterator(1, 0, 10, &refused).code(), StatusCode::kIoError);

  while (it->Valid()) it->Next();
  if (it->status().ok()) it->Seek(3999);
  EXPECT_FALSE(it->status().ok());
  it.reset();
  other.reset();
  reader.reset();
}

// Data that was read once is copied from the mapping; where that cannot be had it is read, which
// tells what is wrong.
TEST_F(StoreReaderTest, DataIsCopiedFromTheMapping) {
  OpenWithLargeFile();
  InstallBusHandler();
  const std::string path = path_ + "/" + *LargeFiles(1 << 20).begin();
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  std::unique_ptr<rocksdb::RandomAccessFile> file;
  ASSERT_TRUE(ReaderEnv()->NewRandomAccessFile(path, &file, rocksdb::EnvOptions()).ok());
  char room[5000];
  rocksdb::Slice got;
  for (int round = 0; round < 3; round++) {
    for (size_t at = 0; at < bytes.size(); at += 33333) {
      ASSERT_TRUE(file->Read(at, sizeof(room), &got, room).ok());
      ASSERT_TRUE(got.ToString() == bytes.substr(at, sizeof(room))) << at;
    }
    ASSERT_TRUE(file->Read(0, 0, &got, room).ok());
    EXPECT_EQ(got.size(), 0u);
  }
  const size_t left = 69632;  // whole pages
  std::filesystem::resize_file(path, left);
  ASSERT_TRUE(file->Read(33333, sizeof(room), &got, room).ok());
  EXPECT_TRUE(got.ToString() == bytes.substr(33333, sizeof(room)));
  ASSERT_TRUE(file->Read(66666, sizeof(room), &got, room).ok());
  EXPECT_TRUE(got.ToString() == bytes.substr(66666, left - 66666)) << got.size();
  ASSERT_TRUE(file->Read(99999, sizeof(room), &got, room).ok());
  EXPECT_EQ(got.size(), 0u);
}

// Key "k" and the value "vv" as the first entry of a block; each byte that tells of it is needed.
TEST(SstFirstEntry, IsAWholeValueOrRefused) {
  const std::string head("\x00\x09\x02k\x01\x00\x00\x00\x00\x00\x00\x00vv", 14);
  SstFirstEntry entry;
  ASSERT_TRUE(ReadSstFirstEntry(head, &entry));
  EXPECT_EQ(entry.user_key, "k");
  EXPECT_EQ(Slice(head).substr(entry.value_at, entry.value_size), "vv");
  for (size_t size = 0; size < 12; size++) {
    EXPECT_FALSE(ReadSstFirstEntry(Slice(head).substr(0, size), &entry)) << size;
  }
  std::string other = head;
  other[0] = 1;  // shares a byte with an entry before it
  EXPECT_FALSE(ReadSstFirstEntry(other, &entry));
  other = head;
  other[1] = 7;  // a key without its tail
  EXPECT_FALSE(ReadSstFirstEntry(other, &entry));
  for (char type : {0, 2, 7}) {  // a deletion, an operand, a deletion of one version
    other = head;
    other[4] = type;
    EXPECT_FALSE(ReadSstFirstEntry(other, &entry));
  }
}

// Faults that are none of ours still end the process.
TEST_F(StoreReaderTest, ForeignFaultStillKills) {
  Open();
  Put(1, 0, 1, 1);
  const pid_t child = fork();
  if (child == 0) {
    std::unique_ptr<ReaderStore> reader;
    if (!ReaderStore::Open(path_, 1, &reader).ok()) _exit(1);
    raise(SIGBUS);
    _exit(2);
  }
  int result;
  ASSERT_EQ(waitpid(child, &result, 0), child);
#ifdef __SANITIZE_ADDRESS__
  EXPECT_NE(result, 0);  // the sanitizer's own handler was there before ours and got the signal
#else
  ASSERT_TRUE(WIFSIGNALED(result));
  EXPECT_EQ(WTERMSIG(result), SIGBUS);
#endif
}

// Whoever reads a damaged block learns it; its neighbours are untouched, also after compaction.
TEST_F(StoreReaderTest, FlippedByteIsConfinedToItsBlock) {
  Open();
  Load();
  std::string needle = BlockValue({{.number = 100, .lsn = 1}}, 4100);
  bool flipped = false;
  for (const auto& [name, size] : Files()) {
    std::fstream file(path_ + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes(size, '\0');
    file.read(bytes.data(), size);
    const size_t at = bytes.find(needle);
    if (at == std::string::npos) continue;
    file.seekp(at + 2000);
    file.put('?');
    flipped = true;
  }
  ASSERT_TRUE(flipped);
  const auto check = [&] {
    auto reader = Reader(2);
    int damaged = 0;
    for (StorageId storage : {1, 2, 3}) {
      for (BlockNo b = 0; b < 300; b++) {
        std::string value;
        Status status = reader->Get(storage, 2 * b, &value);
        const bool is_damaged = storage == 1 && b == 100;
        const int64_t number = b % 3 == 0 ? 1000 + b : b;
        const int64_t want = is_damaged ? -2 : number;
        EXPECT_EQ(status.ok() ? NewestNumber(value, 0) : -2, want);
        damaged += is_damaged;
      }
    }
    EXPECT_EQ(damaged, 1);
  };
  check();
  const auto before = Files();
  Status status = store_->Compact(0);
  EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
  store_->UnlinkObsoleteFiles();
  for (const auto& [name, size] : before) EXPECT_FALSE(Files().contains(name));
  check();
  bool reported = false;
  for (const std::string& text : Warnings()) {
    reported |= text.find("block 200 of storage 1") != std::string::npos;
  }
  EXPECT_TRUE(reported);
}

// Sharing the index means that a thousand idle sessions cost next to nothing.
TEST_F(StoreReaderTest, TakesLittlePrivateMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory drowns ours";
#endif
  target_file_size_ = 256 << 10;
  Open();
  BlockNo block = 0;
  for (int flush = 0; flush < 4; flush++) {
    Blocks blocks;
    for (int i = 0; i < 6400; i++, block++) {
      blocks[{1, block}] = {true, BlockValue({{.number = block, .lsn = 1}}, 1000)};
    }
    Flush(blocks, flush + 1);
  }
  ASSERT_GE(Files().size(), 100u);
  store_.reset();
  const auto private_kb = [] {
    std::ifstream in("/proc/self/smaps_rollup");
    long total = 0;
    for (std::string line; std::getline(in, line);) {
      if (line.rfind("Private_Dirty:", 0) == 0) total += std::stol(line.substr(14));
    }
    return total;
  };
  const pid_t child = fork();
  if (child == 0) {
    const long before = private_kb();
    std::unique_ptr<ReaderStore> reader;
    if (!ReaderStore::Open(path_, 1, &reader).ok()) _exit(255);
    std::string value;
    for (BlockNo b = 0; b < block; b += 10) {
      if (!reader->Get(1, b, &value).ok()) _exit(254);
    }
    const long used = private_kb() - before;
    fprintf(stderr, "private memory with %zu files: %ld kB\n", Files().size(), used);
    _exit(used < 2500 ? 0 : 1);
  }
  int result;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(WEXITSTATUS(result), 0);
}

}  // namespace
}  // namespace omendb
