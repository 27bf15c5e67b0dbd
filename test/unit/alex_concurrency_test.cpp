// Many writers, readers and iterators of one learned index at once, with nodes so small that they
// change all the time. Meant to be run under the thread sanitizer too.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "alex/alex_arena.h"
#include "alex_test_util.h"

namespace omendb {
namespace {

using Map = AlexMap<AlexArena>;
constexpr int kWriters = 4;
constexpr uint64_t kStable = 2000;  // entries that are there all the time

class SharedBlock {
 public:
  explicit SharedBlock(size_t size) : size_(size) {
    memory_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  }
  ~SharedBlock() { munmap(memory_, size_); }
  void* memory() const { return memory_; }
  size_t size() const { return size_; }

 private:
  void* memory_;
  size_t size_;
};

// The stable entries, of all kinds: inline, with records, equal keys, equal numbers.
std::string StableKey(uint64_t i) {
  switch (i % 4) {
    case 0:
      return BigEndian(i << 40);
    case 1:
      return "same key....";
    case 2:
      return BigEndian(uint64_t{1} << 60) + BigEndian(i * 16) + "tail";
    default:
      return BigEndian((uint64_t{1} << 63) + i * 100);
  }
}
// Those of a writer, between the stable ones.
std::string OwnKey(uint64_t writer, uint64_t n) {
  switch (n % 4) {
    case 0:
      return BigEndian((n << 38) + 1 + writer);
    case 3:  // all writers' have the same numbers, each of which needs a deeper space
      return BigEndian((uint64_t{1} << 62) + n / 32 * 12345) + BigEndian(n * 16 + writer) + "tail";
    case 1:
      return BigEndian(uint64_t{1} << 60) + BigEndian(n * 16 + 1 + writer) + "tail";
    default:
      return BigEndian((uint64_t{1} << 63) + n * 7 * 16 + 1 + writer);
  }
}

void Fill(Map map) {
  for (uint64_t i = 0; i < kStable; i++) {
    ASSERT_EQ(map.Put(StableKey(i), i, static_cast<uint8_t>(i), i % 5 == 0 ? "payload" : ""),
              AlexPut::kAdded);
  }
}

// Puts, replaces, finds and removes the writer's own entries; they are as it left them.
bool Write(AlexArena arena, Map map, uint64_t writer, int rounds) {
  uint32_t slot = arena.TakeSlot();
  std::mt19937_64 random(writer);
  std::vector<int> flags(600, -1);
  bool right = true;
  for (int round = 0; round < rounds && right; round++) {
    AlexEpoch epoch(arena, slot);
    uint64_t n = random() % flags.size();
    std::string key = OwnKey(writer, n);
    AlexItem item;
    bool found = map.Find(key, writer, &item);
    right = found == (flags[n] >= 0) && (!found || item.flags == flags[n]);
    bool removing = round / 2000 % 2 != 0 ? random() % 4 != 0 : random() % 4 == 0;
    if (removing) {
      right = right && map.Remove(key, writer) == found;
      flags[n] = -1;
    } else {
      flags[n] = static_cast<int>(random() % 256);
      AlexPut result = map.Put(key, writer, static_cast<uint8_t>(flags[n]),
                               random() % 4 == 0 ? "a payload" : "");
      right = right && result == (found ? AlexPut::kReplaced : AlexPut::kAdded);
    }
  }
  arena.ReturnSlot(slot);
  return right;
}

bool ReadPoints(AlexArena arena, Map map, uint64_t seed) {
  uint32_t slot = arena.TakeSlot();
  std::mt19937_64 random(seed);
  bool right = true;
  for (int i = 0; i < 200 && right; i++) {
    AlexEpoch epoch(arena, slot);
    uint64_t n = random() % kStable;
    AlexItem item;
    right = map.Find(StableKey(n), n, &item) && item.flags == static_cast<uint8_t>(n) &&
            item.payload == (n % 5 == 0 ? "payload" : "");
    // Nothing comes between an entry and a TID behind its own.
    AlexItem at, before;
    right = right && map.FindNotBefore(StableKey(n), n, &at) && at.key == StableKey(n) &&
            at.tid == n && map.FindBefore(StableKey(n), n + 1, &before) &&
            before.key == StableKey(n) && before.tid == n;
  }
  arena.ReturnSlot(slot);
  return right;
}

// Walks all of it; every stable entry comes once, everything in order.
bool ReadAll(AlexArena arena, Map map, bool forward) {
  uint32_t slot = arena.TakeSlot();
  bool right = true;
  {
    AlexEpoch epoch(arena, slot);
    Map::Iterator it(map);
    forward ? it.SeekToFirst() : it.SeekToLast();
    std::string last;
    uint64_t last_tid = 0, stable = 0;
    for (bool first = true; it.Valid() && right; forward ? it.Next() : it.Prev()) {
      const AlexItem& item = it.item();
      int order = first ? 0 : last.compare(item.key);
      if (order == 0 && !first) order = last_tid < item.tid ? -1 : last_tid > item.tid;
      right = first || (forward ? order < 0 : order > 0);
      first = false;
      last = item.key;
      last_tid = item.tid;
      if (item.tid < kStable && item.key == StableKey(item.tid)) {
        stable++;
        right = right && item.flags == static_cast<uint8_t>(item.tid);
      }
    }
    right = right && stable == kStable;
  }
  arena.ReturnSlot(slot);
  return right;
}

constexpr uint64_t kFirstWriter = kStable + 10;  // writers' TIDs are none of the stable ones

void RunThreads(const AlexOptions& options, int rounds) {
  SharedBlock block(uint64_t{256} << 20);
  AlexArena arena = AlexArena::Format(block.memory(), block.size());
  Map map(arena, Map::Create(arena, "", options));
  Fill(map);
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> writers, readers;
  for (uint64_t w = 0; w < kWriters; w++) {
    writers.emplace_back([&, w] { wrong += !Write(arena, map, kFirstWriter + w, rounds); });
  }
  for (int r = 0; r < 3; r++) {
    readers.emplace_back([&, r] {
      for (uint64_t seed = 0; !stop; seed++) {
        wrong += r == 0 ? !ReadPoints(arena, map, seed) : !ReadAll(arena, map, r == 1);
      }
    });
  }
  for (std::thread& thread : writers) thread.join();
  stop = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(ReadAll(arena, map, true));
  EXPECT_TRUE(ReadAll(arena, map, false));
}

TEST(AlexConcurrencyTest, TinyNodes) { RunThreads(kTinyOptions, 20000); }
TEST(AlexConcurrencyTest, SlowNodes) { RunThreads(kSlowOptions, 20000); }
TEST(AlexConcurrencyTest, BufferNodes) { RunThreads(kAlexBufferOptions, 20000); }

// All append to one end, where nodes are extended.
void RunAppends(bool descending) {
  SharedBlock block(uint64_t{256} << 20);
  AlexArena arena = AlexArena::Format(block.memory(), block.size());
  Map map(arena, Map::Create(arena, "", kTinyOptions));
  constexpr uint64_t kEach = 8000;
  std::atomic<uint64_t> next = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; w++) {
    threads.emplace_back([&] {
      uint32_t slot = arena.TakeSlot();
      for (uint64_t i = 0; i < kEach; i++) {
        AlexEpoch epoch(arena, slot);
        uint64_t number = descending ? ~next++ : next++;
        AlexItem item;
        wrong += map.Put(BigEndian(number), 1, 0, "") != AlexPut::kAdded;
        wrong += !map.Find(BigEndian(number), 1, &item);
      }
      arena.ReturnSlot(slot);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  Map::Iterator it(map);
  it.SeekToFirst();
  uint64_t count = kEach * kWriters;
  for (uint64_t i = 0; i < count; i++, it.Next()) {
    ASSERT_TRUE(it.Valid());
    ASSERT_EQ(it.item().key, BigEndian(descending ? i - count : i));
  }
  EXPECT_FALSE(it.Valid());
}

TEST(AlexConcurrencyTest, Appends) { RunAppends(false); }
TEST(AlexConcurrencyTest, DescendingAppends) { RunAppends(true); }

// What is retired comes back: a map that stays small takes no more memory.
TEST(AlexConcurrencyTest, ArenaReusesMemory) {
  SharedBlock block(uint64_t{64} << 20);
  AlexArena arena = AlexArena::Format(block.memory(), block.size());
  Map map(arena, Map::Create(arena, "", kTinyOptions));
  EXPECT_TRUE(Write(arena, map, kFirstWriter, 20000));
  size_t used = arena.used();
  EXPECT_TRUE(Write(arena, map, kFirstWriter + 1, 200000));
  EXPECT_LT(arena.used(), used * 3);
  EXPECT_LT(arena.waiting(), 200u);
}

// A reader holds back what is retired until it leaves.
TEST(AlexConcurrencyTest, EpochsKeepRetiredMemory) {
  SharedBlock block(uint64_t{16} << 20);
  AlexArena arena = AlexArena::Format(block.memory(), block.size());
  Map map(arena, Map::Create(arena, "", kTinyOptions));
  ASSERT_EQ(map.Put("key", 1, 0, "first"), AlexPut::kAdded);
  uint32_t slot = arena.TakeSlot();
  arena.Enter(slot);
  AlexItem item;
  ASSERT_TRUE(map.Find("key", 1, &item));
  for (int i = 0; i < 1000; i++) ASSERT_EQ(map.Put("key", 1, 0, "other"), AlexPut::kReplaced);
  EXPECT_EQ(item.payload, "first");
  EXPECT_EQ(arena.waiting(), 1000u);
  arena.ReturnSlot(slot);
  for (int i = 0; i < 1000; i++) ASSERT_EQ(map.Put("key", 1, 0, "other"), AlexPut::kReplaced);
  EXPECT_LT(arena.waiting(), 200u);
}

// Processes that map the memory at different addresses.
TEST(AlexConcurrencyTest, Processes) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not see other processes";
#endif
  int file = memfd_create("alex", 0);
  ASSERT_GE(file, 0);
  constexpr size_t kSize = 128 << 20;
  ASSERT_EQ(ftruncate(file, kSize), 0);
  auto map_at = [&](size_t shift) {
    char* place = static_cast<char*>(
        mmap(nullptr, kSize + shift, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    return mmap(place + shift, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  };
  AlexArena arena = AlexArena::Format(map_at(0), kSize);
  uint32_t offset = Map::Create(arena, "", kTinyOptions);
  Fill(Map(arena, offset));
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < 4; p++) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      AlexArena mine = AlexArena::Attach(map_at((p + 1) << 20));
      bool right = Write(mine, Map(mine, offset), kFirstWriter + p, 20000) &&
                   ReadAll(mine, Map(mine, offset), p % 2 == 0);
      _exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(ReadAll(arena, Map(arena, offset), true));
  close(file);
}

}  // namespace
}  // namespace omendb
