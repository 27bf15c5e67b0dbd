// Readers in processes of their own while the store flushes, compacts and unlinks: nobody ever sees
// an older version than was published, or an error.
#include <sys/mman.h>
#include <sys/wait.h>

#include <chrono>
#include <random>
#include <shared_mutex>

#include "base/pure.h"
#include "store_fixture.h"

namespace omendb {
namespace {

constexpr BlockNo kBlocks = 2000;

// What the writer tells the readers, in shared memory.
struct Published {
  pthread_rwlock_t openers;  // readers hold it shared while they open or catch up
  std::atomic<uint64_t> generation;
  std::atomic<bool> stop;
  std::atomic<uint64_t> version[kBlocks];  // at least this number is to be found
  std::atomic<uint64_t> reads, catch_ups, opens;
};

int Read(const std::string& path, Published* published, unsigned seed) {
  std::mt19937 random(seed);
  std::unique_ptr<ReaderStore> reader;
  std::string value;
  for (int round = 0; !published->stop.load(); round++) {
    // The number of the block first, then the state to read it in.
    uint64_t wanted[64];
    BlockNo blocks[64];
    for (int i = 0; i < 64; i++) {
      blocks[i] = random() % kBlocks;
      wanted[i] = published->version[blocks[i]].load();
    }
    const uint64_t generation = published->generation.load();
    if (round % 200 == 0) reader.reset();
    pthread_rwlock_rdlock(&published->openers);
    Status status;
    if (reader == nullptr) {
      status = ReaderStore::Open(path, generation, &reader);
      published->opens++;
    } else if (reader->generation() < generation) {
      status = reader->CatchUp(generation);
      published->catch_ups++;
    }
    pthread_rwlock_unlock(&published->openers);
    if (!status.ok()) {
      fprintf(stderr, "%s: %s\n", status.message().c_str(), status.detail().c_str());
      return 1;
    }
    for (int i = 0; i < 64; i++) {
      if (wanted[i] == 0) continue;
      status = reader->Get(1, blocks[i], &value);
      const int64_t found = status.ok() ? NewestNumber(value, 0) : -3;
      if (found < static_cast<int64_t>(wanted[i])) {
        fprintf(stderr, "block %u: found %ld, expected %lu or later: %s\n", blocks[i], found,
                wanted[i], status.message().c_str());
        return 2;
      }
      published->reads++;
    }
    if (round % 50 == 0) {
      std::unique_ptr<ReaderStore::BlockIterator> it;
      if (!reader->NewIterator(1, 0, kMaxBlocks, &it).ok()) return 3;
      for (; it->Valid(); it->Next()) {
        if (NewestNumber(it->value(), 0) < 0) return 4;
      }
      if (!it->status().ok()) return 5;
    }
  }
  return 0;
}

TEST_F(StoreTest, ReadersNeverFallBehindWhatWasPublished) {
  const char* seconds = getenv("OMENDB_STRESS_SECONDS");
  const auto duration = std::chrono::seconds(seconds != nullptr ? atoi(seconds) : 4);
  void* memory =
      mmap(nullptr, sizeof(Published), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* published = new (memory) Published;
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&published->openers, &attributes);

  int go[2];
  ASSERT_EQ(pipe(go), 0);
  std::vector<pid_t> readers;
  for (unsigned seed = 1; seed <= 2; seed++) {  // forked before RocksDB has any thread
    const pid_t child = fork();
    if (child == 0) {
      char byte;
      close(go[1]);
      if (read(go[0], &byte, 1) != 1) _exit(9);
      _exit(Read(path_, published, seed));
    }
    readers.push_back(child);
  }

  UseOracle<AllCommitted>();
  Open();
  std::mt19937 random(42);
  std::vector<uint64_t> versions(kBlocks, 0);
  const auto end = std::chrono::steady_clock::now() + duration;
  Lsn lsn = 0;
  int flushes = 0;
  size_t unlinked = 0;
  bool started = false;
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    Blocks blocks;
    for (int i = 0; i < 150; i++) {
      const BlockNo b = random() % kBlocks;
      if (blocks.contains({1, b})) continue;
      const bool new_block = versions[b] == 0;
      const uint64_t number = ++versions[b];
      lsn += 8;
      blocks[{1, b}] = {
          new_block, BlockValue({{.number = number,
                                  .xid = lsn,
                                  .lsn = lsn,
                                  .kind = new_block ? VersionKind::kInsert : VersionKind::kUpdate}},
                                500)};
    }
    Flush(blocks, lsn);
    published->generation.store(store_->generation());
    for (const auto& [place, block] : blocks) {
      published->version[place.second].store(versions[place.second]);
    }
    flushes++;
    if (!started && write(go[1], "gg", 2) == 2) started = true;
    pthread_rwlock_wrlock(&published->openers);
    unlinked += store_->UnlinkObsoleteFiles();
    pthread_rwlock_unlock(&published->openers);
    usleep(2000);
  }
  published->stop.store(true);
  close(go[1]);
  for (pid_t reader : readers) {
    int result;
    ASSERT_EQ(waitpid(reader, &result, 0), reader);
    EXPECT_EQ(result, 0);
  }
  printf("%d flushes, %zu files unlinked, %lu reads, %lu catch-ups, %lu opens\n", flushes, unlinked,
         published->reads.load(), published->catch_ups.load(), published->opens.load());
  EXPECT_GT(published->reads.load(), 0u);
  EXPECT_GT(unlinked, 0u);
  munmap(memory, sizeof(Published));
}

}  // namespace
}  // namespace omendb
