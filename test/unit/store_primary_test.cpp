#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <fstream>

#include "key/block_key.h"
#include "store/block_merge.h"
#include "base/pure.h"
#include "store_fixture.h"

namespace omendb {
namespace {

using StorePrimaryTest = StoreTest;

TEST_F(StorePrimaryTest, NewStoreIsEmptyAndAtLsnZero) {
  Open();
  EXPECT_EQ(store_->durable_lsn(), 0u);
  EXPECT_EQ(store_->generation(), 0u);
  int pairs = 0;
  ASSERT_TRUE(store_
                  ->LoadMeta([&](Slice, Slice) {
                    pairs++;
                    return Status::Ok();
                  })
                  .ok());
  EXPECT_EQ(pairs, 0);
}

TEST_F(StorePrimaryTest, CommittedFlushSurvivesReopening) {
  Open();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  ASSERT_TRUE(flush_->AddBlock(1, 0, true, BlockValue({{.number = 7}})).ok());
  flush_->PutMeta("a", "1");
  flush_->PutMeta("b", "2");
  ASSERT_TRUE(flush_->Commit(100).ok());
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  flush_->DeleteMeta("a");
  ASSERT_TRUE(flush_->Commit(90).ok());  // an older LSN never moves the store back
  EXPECT_EQ(store_->durable_lsn(), 100u);
  EXPECT_EQ(store_->generation(), 2u);

  Open();
  EXPECT_EQ(store_->durable_lsn(), 100u);
  EXPECT_EQ(store_->generation(), 2u);
  std::map<std::string, std::string> meta;
  ASSERT_TRUE(store_
                  ->LoadMeta([&](Slice key, Slice value) {
                    meta[std::string(key)] = value;
                    return Status::Ok();
                  })
                  .ok());
  EXPECT_EQ(meta, (std::map<std::string, std::string>{{"b", "2"}}));
  std::string value;
  ASSERT_TRUE(Reader(2)->Get(1, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 7);
}

TEST_F(StorePrimaryTest, AbandonedFlushLeavesNoFiles) {
  Open();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  for (BlockNo block = 0; block < 2000; block++) {
    ASSERT_TRUE(flush_->AddBlock(1, block, true, BlockValue({{.number = block}}, 8000)).ok());
  }
  EXPECT_FALSE(std::filesystem::is_empty(path_ + "/staging"));
  flush_.reset();
  EXPECT_TRUE(std::filesystem::is_empty(path_ + "/staging"));
  std::string value;
  EXPECT_EQ(Reader()->Get(1, 0, &value).code(), StatusCode::kNotFound);
}

TEST_F(StorePrimaryTest, BlocksOutOfOrderAreRefused) {
  Open();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  ASSERT_TRUE(flush_->AddBlock(2, 5, true, "12345678").ok());
  EXPECT_EQ(flush_->AddBlock(2, 5, true, "12345678").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(flush_->AddBlock(1, 6, true, "12345678").code(), StatusCode::kInvalidArgument);
}

TEST_F(StorePrimaryTest, ChangesAreFoundBehindTheirBase) {
  Open();
  Flush({{{1, 3}, {true, BlockValue({{.number = 1, .lsn = 10}})}}}, 10);
  Flush({{{1, 3}, {false, BlockValue({{.number = 2, .lsn = 20, .kind = VersionKind::kUpdate}})}}},
        20);
  std::string value;
  auto reader = Reader();
  ASSERT_TRUE(reader->Get(1, 3, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 2);
  ASSERT_TRUE(store_->Compact(0).ok());
  ASSERT_TRUE(reader->CatchUp(2).ok());
  ASSERT_TRUE(reader->Get(1, 3, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 2);
}

TEST_F(StorePrimaryTest, CompactionFoldsWithTheOracle) {
  UseOracle<AllCommitted>();
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .xid = 50, .lsn = 10}}, 1000)}}}, 10);
  for (uint64_t i = 2; i < 20; i++) {
    Flush({{{1, 0},
            {false,
             BlockValue({{.number = i, .xid = 50 + i, .lsn = 10 * i, .kind = VersionKind::kUpdate}},
                        1000)}}},
          10 * i);
  }
  ASSERT_TRUE(store_->Compact(1).ok());
  std::string value;
  ASSERT_TRUE(Reader()->Get(1, 0, &value).ok());
  BlockView view;
  ASSERT_TRUE(BlockView::Parse(value, true, &view).ok());
  EXPECT_NE(view.plain_image(), nullptr);
  EXPECT_EQ(NewestNumber(value, 0), 19);
  EXPECT_LT(value.size(), 2000u);
}

TEST_F(StorePrimaryTest, BlockOfDeletedRowsDisappears) {
  UseOracle<AllCommitted>();
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .xid = 50, .lsn = 10}})}},
         {{1, 1}, {true, BlockValue({{.number = 2, .xid = 50, .lsn = 10}})}}},
        10);
  Flush({{{1, 0}, {false, BlockValue({{.xid = 51, .lsn = 20, .kind = VersionKind::kDelete}})}}},
        20);
  // The first compaction leaves a value without bytes, the second drops it.
  for (int compaction = 0; compaction < 2; compaction++) {
    ASSERT_TRUE(store_->Compact(1).ok());
    std::string value;
    auto reader = Reader();
    EXPECT_EQ(reader->Get(1, 0, &value).code(), StatusCode::kNotFound);
    ASSERT_TRUE(reader->Get(1, 1, &value).ok());
    std::unique_ptr<ReaderStore::BlockIterator> it;
    ASSERT_TRUE(reader->NewIterator(1, 0, kMaxBlocks, &it).ok());
    ASSERT_TRUE(it->Valid());
    EXPECT_EQ(it->block(), 1u);
    it->Next();
    EXPECT_FALSE(it->Valid());
  }
}

TEST_F(StorePrimaryTest, AppendLoadIsWrittenOnceAtTheBottom) {
  Open();
  BlockNo block = 0;
  std::set<std::string> before;
  for (int flush = 0; flush < 12; flush++) {
    Blocks blocks;
    // Another storage sorts behind and changes meanwhile, as a busy table beside the load would.
    if (flush == 0) {
      blocks[{9, 0}] = {true, BlockValue({{.number = 1}}, 2000)};
    } else {
      blocks[{9, 0}] = {false, BlockValue({{.number = 1, .lsn = 10u * flush + 1}}, 2000)};
      blocks[{5, block - 1}] = {
          false, BlockValue({{.slot = 9, .number = 1, .lsn = 10u * flush + 1}}, 2000)};
    }
    for (int i = 0; i < 1200; i++, block++) {
      blocks[{5, block}] = {true, BlockValue({{.number = block, .lsn = 10u * flush + 1}}, 8000)};
    }
    Flush(blocks, 10 * flush + 10);
    const std::set<std::string> after = LargeFiles(1 << 20);
    for (const std::string& name : before) {
      EXPECT_TRUE(after.contains(name)) << name << " was rewritten";
    }
    EXPECT_GE(after.size(), before.size() + 2);
    before = after;
    WaitForCompaction();
  }
  // Small L0 files were compacted, the large ones stand where they were put.
  WaitForCompaction();
  EXPECT_GE(FilesAtLevel(6), 24) << store_->Describe();
  EXPECT_LT(FilesAtLevel(0), 12) << store_->Describe();
  std::string value;
  auto reader = Reader();
  for (BlockNo b = 0; b < block; b += 97) {
    ASSERT_TRUE(reader->Get(5, b, &value).ok());
    EXPECT_EQ(NewestNumber(value, 0), b);
  }
}

TEST_F(StorePrimaryTest, LargeStoreHasLargerFiles) {
  target_file_size_ = 16 << 10;
  Open();
  size_t before = 0, added = 0;
  for (int flush = 0; flush < 6; flush++) {
    Blocks blocks;
    for (int i = 0; i < 500; i++) {
      blocks[{5, 500 * flush + i}] = {true, BlockValue({{.number = 1}}, 20000)};
    }
    Flush(blocks, flush + 1);
    added = Files().size() - before;
    before += added;
  }
  EXPECT_LT(added, 150u) << "as many as the first flush";
}

// The usual soft limit of open files is far below what a store of 100 GB has.
TEST_F(StorePrimaryTest, MoreFilesThanTheSoftLimitCanBeOpened) {
  target_file_size_ = 16 << 10;
  struct rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < 1000) GTEST_SKIP() << "the hard limit is too low";
  const struct rlimit low { 100, limit.rlim_max };
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  Open();
  Blocks blocks;
  for (int i = 0; i < 400; i++) blocks[{5, i}] = {true, BlockValue({{.number = 1}}, 20000)};
  Flush(blocks, 1);
  ASSERT_GT(Files().size(), 150u);
  Open();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  auto reader = Reader();
  std::string value;
  for (int i = 0; i < 400; i++) ASSERT_TRUE(reader->Get(5, i, &value).ok());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// In a process of its own: what lowers the hard limit cannot raise it again.
TEST_F(StorePrimaryTest, WarnsWhenItsFilesComeNearTheHardLimit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  target_file_size_ = 16 << 10;
  const auto child = [&] {
    const auto flush = [&](BlockNo first, BlockNo end, Lsn lsn) {
      Blocks blocks;
      for (BlockNo i = first; i < end; i++) {
        blocks[{5, i}] = {true, BlockValue({{.number = 1}}, 20000)};
      }
      return TryFlush(blocks, lsn).ok();
    };
    const struct rlimit low{120, 120};
    bool ok = setrlimit(RLIMIT_NOFILE, &low) == 0 && TryOpen().ok();
    ok = ok && flush(0, 20, 1) && Warnings().empty();
    ok = ok && flush(20, 150, 2) && Warnings().size() == 1 &&
         Warnings()[0].find("limit of open files") != std::string::npos;
    store_.reset();
    _exit(ok ? 0 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

TEST_F(StorePrimaryTest, UpdateLoadIsCompacted) {
  Open();
  Blocks blocks;
  for (BlockNo b = 0; b < 500; b++) {
    blocks[{1, b}] = {true, BlockValue({{.number = 0}}, 4000)};
  }
  Flush(blocks, 1);
  for (uint64_t i = 1; i <= 30; i++) {
    Blocks changes;
    for (BlockNo b = 0; b < 500; b++) {
      changes[{1, b}] = {
          false, BlockValue({{.number = i, .lsn = 10 * i, .kind = VersionKind::kUpdate}}, 500)};
    }
    Flush(changes, 10 * i);
  }
  WaitForCompaction();
  EXPECT_LT(store_->debt().level0_files, 8);
  std::string value;
  auto reader = Reader();
  for (BlockNo b = 0; b < 500; b += 7) {
    ASSERT_TRUE(reader->Get(1, b, &value).ok());
    EXPECT_EQ(NewestNumber(value, 0), 30);
  }
}

TEST_F(StorePrimaryTest, DroppedStorageIsGoneAtOnceAndItsSpaceLater) {
  Open();
  Blocks blocks;
  for (StorageId storage : {1, 2, 3}) {
    for (BlockNo b = 0; b < 1000; b++) {
      blocks[{storage, b}] = {true, BlockValue({{.number = b}}, 8000)};
    }
  }
  Flush(blocks, 1);
  EXPECT_GT(store_->ApproximateSize(2), 4u << 20);
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  // A change to the dropped storage in the same flush loses.
  ASSERT_TRUE(flush_->AddBlock(2, 0, false, BlockValue({{.number = 1, .lsn = 2}})).ok());
  flush_->DropStorage(2);
  ASSERT_TRUE(flush_->Commit(2).ok());
  flush_.reset();
  std::string value;
  auto reader = Reader();
  EXPECT_EQ(reader->Get(2, 0, &value).code(), StatusCode::kNotFound);
  EXPECT_EQ(reader->Get(2, 500, &value).code(), StatusCode::kNotFound);
  EXPECT_TRUE(reader->Get(1, 999, &value).ok());
  EXPECT_TRUE(reader->Get(3, 0, &value).ok());

  dropped_ = {2, 3};
  ASSERT_TRUE(store_->Compact(0).ok());
  EXPECT_GT(store_->ApproximateSize(1), 4u << 20);
  EXPECT_LT(store_->ApproximateSize(2), 1u << 20);
  EXPECT_LT(store_->ApproximateSize(3), 1u << 20);
}

TEST_F(StorePrimaryTest, ManyDroppedStoragesTakeFewFiles) {
  Open();
  Blocks blocks;
  for (StorageId storage = 1; storage <= 50; storage++) {
    blocks[{storage, 0}] = {true, BlockValue({{.number = storage}})};
  }
  Flush(blocks, 1);
  const size_t before = Files().size();
  ASSERT_TRUE(store_->NewFlush(&flush_).ok());
  ASSERT_TRUE(flush_->AddBlock(25, 0, false, BlockValue({{.number = 99, .lsn = 2}})).ok());
  for (StorageId storage = 1; storage <= 50; storage++) {
    if (storage != 25) flush_->DropStorage(storage);
  }
  ASSERT_TRUE(flush_->Commit(2).ok());
  EXPECT_LE(Files().size(), before + 10);  // not one file for each of 49
  std::string value;
  auto reader = Reader();
  EXPECT_EQ(reader->Get(24, 0, &value).code(), StatusCode::kNotFound);
  EXPECT_EQ(reader->Get(26, 0, &value).code(), StatusCode::kNotFound);
  ASSERT_TRUE(reader->Get(25, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 99);
}

TEST_F(StorePrimaryTest, DeletedFilesWaitForTheWorker) {
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1}}, 100000)}}}, 1);
  Flush({{{1, 0}, {false, BlockValue({{.number = 2, .lsn = 2}}, 100000)}}}, 2);
  const auto before = Files();
  ASSERT_TRUE(store_->Compact(0).ok());
  for (const auto& file : before) EXPECT_TRUE(Files().contains(file.first));
  EXPECT_GT(store_->obsolete_files(), 0u);
  EXPECT_GT(store_->obsolete_bytes(), 200000u);
  const size_t queued = store_->obsolete_files();
  EXPECT_EQ(store_->UnlinkObsoleteFiles(), queued);
  EXPECT_EQ(store_->obsolete_files(), 0u);
  EXPECT_LT(Files().size(), before.size());
}

TEST_F(StorePrimaryTest, FilesLeftByACrashAreQueuedAtOpen) {
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1}})}}}, 1);
  store_.reset();
  std::ofstream(path_ + "/999999.sst") << "half a file";
  std::ofstream(path_ + "/staging/17-0.sst") << "half a file";
  Open();
  EXPECT_TRUE(std::filesystem::is_empty(path_ + "/staging"));
  EXPECT_TRUE(Files().contains("999999.sst"));
  EXPECT_GE(store_->obsolete_files(), 1u);
  store_->UnlinkObsoleteFiles();
  EXPECT_FALSE(Files().contains("999999.sst"));
  std::string value;
  EXPECT_TRUE(Reader()->Get(1, 0, &value).ok());
}

// A copy taken while the store ran may miss the newest file of one family.
TEST_F(StorePrimaryTest, CopyWithAMissingFileOpensAtTheOlderState) {
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .lsn = 10}})}}}, 10);
  const auto before = Files();
  Flush({{{1, 0}, {false, BlockValue({{.number = 2, .lsn = 20}})}}}, 20);
  store_.reset();
  std::string newest_rows;  // of the second flush, the files of rows come first
  for (const auto& [name, size] : Files()) {
    if (!before.contains(name) && newest_rows.empty()) newest_rows = name;
  }
  std::filesystem::remove(path_ + "/" + newest_rows);
  Status status = TryOpen();
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.message();
  EXPECT_NE(status.detail().find(newest_rows.substr(0, 6)), std::string::npos) << status.detail();

  StoreOptions options = Options();
  options.best_efforts_recovery = true;
  status = PrimaryStore::Open(options, &store_);
  ASSERT_TRUE(status.ok()) << status.message() << ": " << status.detail();
  EXPECT_EQ(store_->durable_lsn(), 10u);
  EXPECT_EQ(store_->generation(), 3u);  // of all families again
  EXPECT_FALSE(Warnings().empty());
  Open();
  Flush({{{1, 0}, {false, BlockValue({{.number = 2, .lsn = 20}})}}}, 20);
  std::string value;
  ASSERT_TRUE(Reader(4)->Get(1, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 2);
}

TEST_F(StorePrimaryTest, RefusesAStoreOlderThanSeenBefore) {
  Open();
  Flush({}, 10);
  Flush({}, 20);
  store_.reset();
  for (const auto& [lsn, generation, ok] :
       {std::tuple{20, 2, true}, {21, 2, false}, {20, 3, false}, {0, 0, true}}) {
    StoreOptions options = Options();
    options.least_lsn = static_cast<Lsn>(lsn);
    options.least_generation = static_cast<uint64_t>(generation);
    Status status = PrimaryStore::Open(options, &store_);
    EXPECT_EQ(status.code(), ok ? StatusCode::kOk : StatusCode::kCorruption) << lsn << generation;
    store_.reset();
  }
}

// Processes that kill themselves at a failure point. They are started anew: in a forked copy of
// this one RocksDB would wait for threads that did not come along.
class StoreChildTest : public StoreTest {
 protected:
  void SetUp() override {
    if (getenv("OMENDB_TEST_PATH") == nullptr) GTEST_SKIP() << "run by another test only";
    path_ = getenv("OMENDB_TEST_PATH");
    failure_point_ = [this](const char* point) {
      if (armed_ && strcmp(point, getenv("OMENDB_TEST_POINT")) == 0) kill(getpid(), SIGKILL);
    };
  }
  std::atomic<bool> armed_ = false;
};

TEST_F(StoreChildTest, DISABLED_FlushTwice) {
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .lsn = 10}})}}}, 10);
  armed_ = true;
  Flush({{{1, 0}, {false, BlockValue({{.number = 2, .lsn = 20}})}}}, 20);
}

TEST_F(StoreChildTest, DISABLED_Compact) {
  Open();
  for (uint64_t i = 1; i <= 3; i++) {
    Blocks blocks;
    for (BlockNo b = 0; b < 100; b++) {
      blocks[{1, b}] = {i == 1, BlockValue({{.number = i, .lsn = i}})};
    }
    Flush(blocks, i);
  }
  armed_ = true;
  EXPECT_TRUE(store_->Compact(0).ok());
  store_->UnlinkObsoleteFiles();
}

class StoreCrashTest : public StoreTest {
 protected:
  void RunChild(const char* test, const char* point) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("OMENDB_TEST_PATH", path_.c_str(), 1);
      setenv("OMENDB_TEST_POINT", point, 1);
      const std::string filter = std::string("--gtest_filter=StoreChildTest.DISABLED_") + test;
      execl("/proc/self/exe", "child", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
            filter.c_str(), nullptr);
      _exit(99);
    }
    int result;
    ASSERT_EQ(waitpid(child, &result, 0), child);
    ASSERT_TRUE(WIFSIGNALED(result)) << WEXITSTATUS(result);
    ASSERT_EQ(WTERMSIG(result), SIGKILL);
  }
};

// Killed at any point of a flush, the store is at the old or at the new state in all families.
TEST_F(StoreCrashTest, KilledFlushHappenedOrDidNot) {
  const struct {
    const char* point;
    Lsn lsn;
  } cases[] = {{"flush_after_files", 10},
               {"flush_before_ingest", 10},
               {"ingest_link", 10},
               {"ingest_unlink", 20},
               {"flush_after_ingest", 20}};
  for (const auto& test : cases) {
    SCOPED_TRACE(test.point);
    std::filesystem::remove_all(path_);
    RunChild("FlushTwice", test.point);
    Open();
    EXPECT_EQ(store_->durable_lsn(), test.lsn);
    EXPECT_EQ(store_->generation(), test.lsn / 10);
    EXPECT_TRUE(std::filesystem::is_empty(path_ + "/staging"));
    std::string value;
    ASSERT_TRUE(Reader(test.lsn / 10)->Get(1, 0, &value).ok());
    EXPECT_EQ(NewestNumber(value, 0), static_cast<int64_t>(test.lsn / 10));
    store_.reset();
  }
}

TEST_F(StoreCrashTest, KilledCompactionChangesNothing) {
  for (const char* point : {"compaction_begin", "compaction_fold", "compaction_file",
                            "compaction_end", "before_unlink"}) {
    SCOPED_TRACE(point);
    std::filesystem::remove_all(path_);
    RunChild("Compact", point);
    Open();
    store_->UnlinkObsoleteFiles();
    EXPECT_EQ(store_->durable_lsn(), 3u);
    std::string value;
    auto reader = Reader(3);
    for (BlockNo b = 0; b < 100; b++) {
      ASSERT_TRUE(reader->Get(1, b, &value).ok());
      EXPECT_EQ(NewestNumber(value, 0), 3);
    }
    reader.reset();
    store_.reset();
  }
}

TEST_F(StorePrimaryTest, FullDiskFailsTheFlushAndLaterOnesSucceed) {
  ASSERT_EQ(mkdir((root_ + "/disk").c_str(), 0700), 0);
  if (mount("tmpfs", (root_ + "/disk").c_str(), "tmpfs", 0, "size=48m") != 0) {
    GTEST_SKIP() << "no permission to mount a small tmpfs";
  }
  path_ = root_ + "/disk/omendb";
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .lsn = 1}})}}}, 1);
  auto reader = Reader();

  Blocks large;
  for (BlockNo b = 0; b < 1500; b++) {
    large[{2, b}] = {true, BlockValue({{.number = b, .lsn = 2}}, 8000)};
  }
  // Leaves room for less and less: the flush fails in files, in links and in the manifest.
  const std::string ballast = root_ + "/disk/ballast";
  int failures = 0;
  for (size_t keep_free : {8u << 20, 2u << 20, 256u << 10, 16u << 10, 0u}) {
    struct statvfs info;
    ASSERT_EQ(statvfs((root_ + "/disk").c_str(), &info), 0);
    const size_t room = info.f_bavail * info.f_bsize;
    {
      std::ofstream out(ballast, std::ios::app);
      if (room > keep_free) out << std::string(room - keep_free, 'b');
    }
    for (int attempt = 0; attempt < 3; attempt++) {
      Status status = keep_free > 1 << 20
                          ? TryFlush(large, 2)
                          : TryFlush({{{1, 1}, {true, BlockValue({{.number = 1}}, 100)}}}, 2);
      flush_.reset();
      if (!status.ok()) {
        failures++;
        EXPECT_EQ(status.code(), StatusCode::kDiskFull) << status.message() << status.detail();
        EXPECT_FALSE(status.hint().empty());
        EXPECT_TRUE(std::filesystem::is_empty(path_ + "/staging"));
      }
      std::string value;
      ASSERT_TRUE(reader->Get(1, 0, &value).ok());
    }
  }
  EXPECT_GE(failures, 9);
  EXPECT_LE(store_->durable_lsn(), 2u);

  std::filesystem::remove(ballast);
  Flush(large, 3);
  EXPECT_EQ(store_->durable_lsn(), 3u);
  Flush({{{1, 0}, {false, BlockValue({{.number = 5, .lsn = 4}})}}}, 4);
  store_->UnlinkObsoleteFiles();
  ASSERT_TRUE(store_->Compact(0).ok());
  store_->UnlinkObsoleteFiles();
  Open();
  EXPECT_EQ(store_->durable_lsn(), 4u);
  reader = Reader(store_->generation());
  std::string value;
  ASSERT_TRUE(reader->Get(2, 1499, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 1499);
  ASSERT_TRUE(reader->Get(1, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 5);
}

}  // namespace
// A compaction that somebody asked for runs on a thread of its own.
TEST_F(StorePrimaryTest, FlushesGoOnDuringACompaction) {
  std::atomic<bool> hold{true}, reached{false};
  failure_point_ = [&](const char* point) {
    if (std::string_view(point) != "compaction_fold") return;
    reached = true;
    while (hold) usleep(1000);
  };
  Open();
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .lsn = 10}})}}}, 10);
  Flush({{{1, 0}, {false, BlockValue({{.number = 2, .lsn = 20, .kind = VersionKind::kUpdate}})}}},
        20);
  ASSERT_TRUE(store_->StartCompaction(1, 0).ok());
  EXPECT_EQ(store_->StartCompaction(1, 0).code(), StatusCode::kInvalidArgument);
  while (!reached) usleep(1000);
  // Over the very blocks that are being compacted, and beside them.
  for (uint64_t i = 3; i < 10; i++) {
    Flush({{{1, 0},
            {false, BlockValue({{.number = i, .lsn = 10 * i, .kind = VersionKind::kUpdate}})}},
           {{1, static_cast<BlockNo>(i)}, {true, BlockValue({{.number = i, .lsn = 10 * i}})}}},
          10 * i);
  }
  std::string value;
  ASSERT_TRUE(Reader(9)->Get(1, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 9);
  Status status;
  EXPECT_FALSE(store_->CompactionEnded(&status));
  hold = false;
  while (!store_->CompactionEnded(&status)) usleep(1000);
  EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
  ASSERT_TRUE(Reader(9)->Get(1, 0, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 9);
  ASSERT_TRUE(Reader(9)->Get(1, 5, &value).ok());
  EXPECT_EQ(NewestNumber(value, 0), 5);
  store_.reset();  // before what its failure point looks at
}

TEST_F(StorePrimaryTest, ACompactionCanBeCancelled) {
  for (bool close : {false, true}) {
    std::atomic<bool> hold{true}, reached{false};
    failure_point_ = [&](const char* point) {
      if (std::string_view(point) != "compaction_fold") return;
      reached = true;
      while (hold) usleep(1000);
    };
    Open();
    const uint64_t lsn = close ? 1000000 : 1000;
    const BlockNo first = close ? 100000 : 0;
    Blocks bases, changes;
    for (BlockNo block = first; block < first + 20000; block++) {
      bases[{1, block}] = {true, BlockValue({{.number = 1, .lsn = lsn}})};
      changes[{1, block}] = {
          false, BlockValue({{.number = 2, .lsn = lsn + 1, .kind = VersionKind::kUpdate}})};
    }
    Flush(bases, lsn);
    Flush(changes, lsn + 1);
    ASSERT_TRUE(store_->StartCompaction(1, 0).ok());
    while (!reached) usleep(1000);
    std::thread release([&] {
      usleep(50000);
      hold = false;
    });
    if (close) {
      store_.reset();
    } else {
      store_->CancelCompaction();
      Status status;
      while (!store_->CompactionEnded(&status)) usleep(1000);
      EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    }
    release.join();
    failure_point_ = nullptr;
    Open();
    std::string value;
    ASSERT_TRUE(Reader()->Get(1, first + 7, &value).ok());
    EXPECT_EQ(NewestNumber(value, 0), 2);
    ASSERT_TRUE(store_->Compact(1).ok());
    ASSERT_TRUE(Reader()->Get(1, first + 7, &value).ok());
    EXPECT_EQ(NewestNumber(value, 0), 2);
    store_.reset();
  }
}

// What is known of a few transactions; the rest may still run.
class KnowsSome : public TransactionOracle {
 public:
  FullXid Horizon() const override { return 0; }
  Verdict Resolve(FullXid xid) const override {
    if (xid >= limit) return Verdict::kUnknown;
    return xid % 2 == 0 ? Verdict::kCommitted : Verdict::kAborted;
  }
  std::atomic<FullXid> limit{0};
};

TEST_F(StorePrimaryTest, FilesSayWhatIsUnresolved) {
  KnowsSome& oracle = UseOracle<KnowsSome>();
  Open();
  FullXid oldest = 0;
  const auto unresolved = [&](StorageId storage) {
    FullXid xid = 0;
    Status status = store_->OldestUnresolved(storage, &xid);
    EXPECT_TRUE(status.ok()) << status.message();
    return xid;
  };
  EXPECT_EQ(unresolved(1), kNoUnresolvedXid);
  // Verdicts and frozen rows need nothing more.
  Flush({{{1, 0}, {true, BlockValue({{.number = 1, .xid = 40, .lsn = 10}})}},
         {{1, 1}, {true, BlockValue({{.number = 1, .xid = 0, .lsn = 0}})}}},
        10);
  EXPECT_EQ(unresolved(1), kNoUnresolvedXid);
  // Rows, locks and the ends of speculative inserts count, as base and as operand.
  Flush({{{1, 2}, {true, BlockValue({{.number = 1, .xid = 50, .lsn = 20, .flags = 0}})}}}, 20);
  EXPECT_EQ(unresolved(1), 50u);
  EXPECT_EQ(unresolved(7), kNoUnresolvedXid);
  for (VersionKind kind : {VersionKind::kUpdate, VersionKind::kDelete, VersionKind::kMove,
                           VersionKind::kLock, VersionKind::kSpeculativeAbort}) {
    const FullXid xid = 50 - 2 * static_cast<FullXid>(kind);
    TestRow row{.number = 2, .xid = xid, .lsn = 30 + static_cast<Lsn>(kind), .kind = kind};
    row.flags = 0;
    DeltasBuilder builder;
    std::string value;
    if (CarriesRow(kind)) {
      value = BlockValue({row});
    } else {
      builder.Start({});
      builder.Add(0, VersionMeta{xid, row.lsn, 0, kind, 0},
                  kind == VersionKind::kMove   ? Slice("\0\0\0\0\0", 5)
                  : kind == VersionKind::kLock ? Slice("\0", 1)
                                               : Slice());
      builder.Finish(row.lsn, 0, &value);
    }
    Flush({{{1, 2}, {false, value}}}, row.lsn);
    EXPECT_EQ(unresolved(1), xid) << "kind " << static_cast<int>(kind);
  }
  // Nothing is known yet: a compaction keeps it all.
  ASSERT_TRUE(store_->Compact(1).ok());
  oldest = unresolved(1);
  EXPECT_LE(oldest, 50u);
  oracle.limit = 1000;
  ASSERT_TRUE(store_->StartCompaction(1, 1000).ok());
  Status status;
  while (!store_->CompactionEnded(&status)) usleep(1000);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(unresolved(1), kNoUnresolvedXid);
  store_.reset();
  Open();
  EXPECT_EQ(unresolved(1), kNoUnresolvedXid);
}

// A file over two storages need not reach the bottom level when one of them is compacted.
TEST_F(StorePrimaryTest, SingleChangesAreResolvedWhereTheyStand) {
  KnowsSome& oracle = UseOracle<KnowsSome>();
  const std::shared_ptr<rocksdb::MergeOperator> fold = NewFoldOperator(Options());
  ASSERT_TRUE(fold->AllowSingleOperand());
  const auto fold_one = [&](const std::string& operand, std::string* folded) {
    return fold->PartialMergeMulti(BlockKey(1, 0), {operand}, folded, nullptr);
  };
  TestRow row{.number = 2, .xid = 102, .lsn = 100, .kind = VersionKind::kUpdate};
  row.flags = 0;
  std::string folded;
  oracle.limit = 1000;
  ASSERT_TRUE(fold_one(BlockValue({row}), &folded));
  BlockView view;
  ASSERT_TRUE(BlockView::Parse(folded, true, &view).ok());
  StoredVersion version;
  ASSERT_TRUE(view.NextVersion(0, ~Lsn{0}, &version));
  EXPECT_TRUE(version.meta.flags & kVersionCommitted);
  EXPECT_EQ(version.meta.xid, 102u);
  // An aborted one goes; where there is nothing to find out, the operand is left alone.
  row.xid = 101;
  ASSERT_TRUE(fold_one(BlockValue({row}), &folded));
  EXPECT_TRUE(folded.empty());
  row.flags = kVersionCommitted;
  EXPECT_FALSE(fold_one(BlockValue({row}), &folded));
}

// A compaction of a storage leaves a file alone that spans it but has no key of it.
TEST_F(StorePrimaryTest, FilesAroundAStorageDoNotCount) {
  Open();
  TestRow row{.number = 2, .xid = 100, .lsn = 100, .kind = VersionKind::kUpdate};
  row.flags = 0;
  Flush({{{1, 0}, {false, BlockValue({row})}}, {{3, 0}, {false, BlockValue({row})}}}, 100);
  FullXid oldest = 0;
  for (StorageId storage : {1, 2, 3}) {
    ASSERT_TRUE(store_->OldestUnresolved(storage, &oldest).ok());
    EXPECT_EQ(oldest, storage == 2 ? kNoUnresolvedXid : 100) << storage;
  }
}

}  // namespace omendb
