// Many writers and readers of one segment at once. Meant to be run under the thread sanitizer too.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "buffer/segment.h"

namespace omendb {
namespace {

constexpr int kWriters = 4;
constexpr int kReaders = 3;
constexpr uint32_t kStorages = 3;
constexpr uint32_t kBlocks = 24;
constexpr uint32_t kSlots = 256;

struct Freed {
  void operator()(void* bytes) const { std::free(bytes); }
};
using Memory = std::unique_ptr<void, Freed>;

Memory Allocate(size_t size) {
  void* bytes = nullptr;
  if (posix_memalign(&bytes, 64, size) != 0) std::abort();
  return Memory(bytes);
}

// What every change carries, so that a reader can tell a torn or misplaced one.
struct Stamp {
  uint64_t storage, block, slot, lsn, check;
};
Stamp MakeStamp(StorageId storage, BlockNo block, uint32_t slot, Lsn lsn) {
  return {storage, block, slot, lsn, (storage * 31 + block) * 31 + slot * 7 + lsn};
}
std::string Payload(const Stamp& stamp, size_t extra) {
  std::string payload(sizeof(stamp) + extra, static_cast<char>(stamp.lsn));
  std::memcpy(payload.data(), &stamp, sizeof(stamp));
  return payload;
}
bool Intact(Slice payload, StorageId storage, BlockNo block, uint32_t slot, Lsn lsn) {
  if (payload.size() < sizeof(Stamp)) return false;
  Stamp stamp;
  std::memcpy(&stamp, payload.data(), sizeof(stamp));
  Stamp expected = MakeStamp(storage, block, slot, lsn);
  if (std::memcmp(&stamp, &expected, sizeof(stamp)) != 0) return false;
  for (size_t i = sizeof(stamp); i < payload.size(); i++) {
    if (payload[i] != static_cast<char>(lsn)) return false;
  }
  return true;
}

constexpr uint32_t kImageSlot = 1000;

// The caller's part of the contract, and what writers have finished.
struct World {
  explicit World(size_t capacity)
      : size(Segment::SizeFor(capacity)),
        memory(Allocate(size)),
        segment(Segment::Format(memory.get(), size)),
        finished(new std::atomic<Lsn>[kStorages * kBlocks * kSlots]()) {}

  std::mutex& Stripe(StorageId storage, BlockNo block) {
    return stripes[(storage * kBlocks + block) % stripes.size()];
  }
  std::atomic<Lsn>& Finished(StorageId storage, BlockNo block, SlotNo slot) {
    return finished[((storage - 1) * kBlocks + block) * kSlots + slot];
  }

  size_t size;
  Memory memory;
  Segment segment;
  std::array<std::mutex, 16> stripes;
  std::unique_ptr<std::atomic<Lsn>[]> finished;
  std::atomic<Lsn> next_lsn{1};
  std::atomic<uint64_t> versions{0}, images{0};
  std::atomic<int> writing{kWriters};
};

void Write(World* world, int seed) {
  std::mt19937 random(seed);
  for (;;) {
    StorageId storage = 1 + random() % kStorages;
    BlockNo block = random() % kBlocks;
    auto slot = static_cast<SlotNo>(random());
    bool image = random() % 32 == 0;
    size_t extra = random() % 60;
    size_t bytes = sizeof(Stamp) + extra;
    size_t bound = image ? Segment::BoundForImage(bytes) : Segment::BoundForVersion(bytes);
    if (!world->segment.Reserve(bound)) break;
    if (random() % 16 == 0) {  // gave up after looking at the row once more
      world->segment.Release(bound);
      continue;
    }
    std::lock_guard<std::mutex> lock(world->Stripe(storage, block));
    Lsn lsn = world->next_lsn.fetch_add(1);
    VersionMeta meta{lsn % 100 + 3, lsn, 0, VersionKind::kUpdate, 0};
    if (image) {
      world->segment.ApplyImage(storage, block, meta,
                                Payload(MakeStamp(storage, block, kImageSlot, lsn), extra), false);
      world->images++;
    } else {
      world->segment.ApplyVersion(storage, block, slot, meta,
                                  Payload(MakeStamp(storage, block, slot, lsn), extra), false);
      world->Finished(storage, block, slot).store(lsn, std::memory_order_release);
      world->versions++;
    }
    world->segment.NoteLsn(lsn);
  }
  world->writing--;
}

int CountIntact(const Segment& segment, const BufferedVersion* version, StorageId storage,
                BlockNo block, SlotNo slot) {
  int count = 0;
  Lsn above = ~Lsn{0};
  for (; version != nullptr; version = segment.Older(version), count++) {
    EXPECT_LT(version->lsn, above);
    EXPECT_TRUE(Intact(version->payload(), storage, block, slot, version->lsn));
    above = version->lsn;
  }
  return count;
}

int CountIntactImages(const Segment& segment, const BufferedImage* image, StorageId storage,
                      BlockNo block) {
  int count = 0;
  Lsn above = ~Lsn{0};
  for (; image != nullptr; image = segment.Older(image), count++) {
    EXPECT_LT(image->lsn, above);
    EXPECT_TRUE(Intact(image->section(), storage, block, kImageSlot, image->lsn));
    above = image->lsn;
  }
  return count;
}

void ReadSlot(World* world, std::mt19937* random) {
  StorageId storage = 1 + (*random)() % kStorages;
  BlockNo block = (*random)() % kBlocks;
  auto slot = static_cast<SlotNo>((*random)());
  Lsn finished = world->Finished(storage, block, slot).load(std::memory_order_acquire);
  BufferedVersion* newest = world->segment.Newest(storage, block, slot);
  if (finished != 0) {
    ASSERT_NE(newest, nullptr);
    EXPECT_GE(newest->lsn, finished);
  }
  if (newest != nullptr) newest->flags.fetch_or(kVersionHintCommitted, std::memory_order_relaxed);
  CountIntact(world->segment, newest, storage, block, slot);
  CountIntactImages(world->segment, world->segment.NewestImage(storage, block), storage, block);
}

void ReadBlocks(World* world, std::mt19937* random) {
  StorageId storage = 1 + (*random)() % kStorages;
  std::array<bool, kBlocks> had_rows{};
  for (BlockNo block = 0; block < kBlocks; block++) {
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      had_rows[block] |= world->Finished(storage, block, static_cast<SlotNo>(slot)).load() != 0;
    }
  }
  struct Seen {
    const Segment* segment;
    std::set<BlockNo> blocks;
  } seen{&world->segment, {}};
  world->segment.VisitBlocks(
      storage,
      [](void* to, StorageId, BlockNo block, const Segment::BlockEntry* entry) {
        auto* seen = static_cast<Seen*>(to);
        EXPECT_TRUE(seen->blocks.insert(block).second);
        uint64_t slots[4];
        seen->segment->VersionSlots(entry, slots);
        for (uint32_t slot = 0; slot < kSlots; slot++) {
          if ((slots[slot / 64] >> (slot % 64)) & 1) {
            EXPECT_NE(seen->segment->Newest(entry, static_cast<SlotNo>(slot)), nullptr);
          }
        }
      },
      &seen);
  for (BlockNo block = 0; block < kBlocks; block++) {
    if (had_rows[block]) {
      EXPECT_EQ(seen.blocks.count(block), 1u);
    }
  }
}

void Read(World* world, int seed) {
  std::mt19937 random(seed);
  while (world->writing > 0) {
    // Loaded in this order: used only grows, and what is used stays reserved.
    size_t used = world->segment.used();
    size_t reserved = world->segment.reserved();
    EXPECT_LE(used, reserved);
    EXPECT_LE(reserved, world->segment.capacity());
    for (int i = 0; i < 200; i++) ReadSlot(world, &random);
    ReadBlocks(world, &random);
  }
}

TEST(SegmentConcurrencyTest, ReadersSeeOnlyCompleteAndAllFinishedChanges) {
  for (int round = 0; round < 10; round++) {
    World world(round % 2 == 0 ? 1u << 20 : 1u << 18);
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; i++) threads.emplace_back(Write, &world, round * 100 + i);
    for (int i = 0; i < kReaders; i++) threads.emplace_back(Read, &world, round * 100 + 50 + i);
    for (std::thread& thread : threads) thread.join();

    const Segment& segment = world.segment;
    EXPECT_EQ(segment.reserved(), segment.used());
    EXPECT_EQ(segment.versions(), world.versions);
    EXPECT_EQ(segment.images(), world.images);
    EXPECT_EQ(segment.first_lsn(), 1u);
    EXPECT_EQ(segment.last_lsn(), world.next_lsn - 1);
    uint64_t versions = 0, images = 0;
    for (StorageId storage = 1; storage <= kStorages; storage++) {
      for (BlockNo block = 0; block < kBlocks; block++) {
        images += CountIntactImages(segment, segment.NewestImage(storage, block), storage, block);
        for (uint32_t i = 0; i < kSlots; i++) {
          auto slot = static_cast<SlotNo>(i);
          versions +=
              CountIntact(segment, segment.Newest(storage, block, slot), storage, block, slot);
        }
      }
    }
    EXPECT_EQ(versions, world.versions);
    EXPECT_EQ(images, world.images);
    uint64_t visited = 0;
    segment.VisitXids(
        [](void* to, FullXid, std::atomic<uint8_t>*) { ++*static_cast<uint64_t*>(to); }, &visited);
    EXPECT_EQ(visited, versions + images);
  }
}

// Readers follow a writer that fills block after block. Nothing but the segment orders them, so
// every step that makes something reachable is met by readers at once.
TEST(SegmentConcurrencyTest, ReadersFollowAWriterThroughDenseBlocks) {
  constexpr BlockNo kCount = 300;
  size_t size = Segment::SizeFor(kCount * 256 * 100);
  Memory memory = Allocate(size);
  Segment segment = Segment::Format(memory.get(), size);
  std::atomic<BlockNo> current{0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; reader++) {
    threads.emplace_back([&] {
      BlockNo block;
      while ((block = current.load(std::memory_order_relaxed)) < kCount) {
        const Segment::BlockEntry* entry = segment.Find(1, block);
        if (entry == nullptr) continue;
        segment.VisitSlots(
            entry,
            [](void* to, SlotNo slot, BufferedVersion* newest) {
              BlockNo block = *static_cast<BlockNo*>(to);
              EXPECT_TRUE(Intact(newest->payload(), 1, block, slot, newest->lsn));
            },
            &block);
        for (uint32_t slot = 0; slot < kSlots; slot++) {
          const BufferedVersion* newest = segment.Newest(entry, static_cast<SlotNo>(slot));
          if (newest == nullptr) continue;
          EXPECT_TRUE(Intact(newest->payload(), 1, block, slot, newest->lsn));
        }
      }
    });
  }
  Lsn lsn = 0;
  std::array<SlotNo, kSlots> order;
  for (uint32_t i = 0; i < kSlots; i++) order[i] = static_cast<SlotNo>(i);
  std::mt19937 random(1);
  for (BlockNo block = 0; block < kCount; block++) {
    current.store(block, std::memory_order_relaxed);
    std::shuffle(order.begin(), order.end(), random);
    for (SlotNo slot : order) {
      std::string payload = Payload(MakeStamp(1, block, slot, ++lsn), 0);
      EXPECT_TRUE(segment.Reserve(Segment::BoundForVersion(payload.size())));
      segment.ApplyVersion(1, block, slot, {3, lsn, 0, VersionKind::kInsert, 0}, payload, true);
    }
  }
  current.store(kCount);
  for (std::thread& thread : threads) thread.join();
}

// Two writers bring new blocks of the same new storages at the same moment into a handful of
// buckets: one storage entry wins, no block is lost.
TEST(SegmentConcurrencyTest, NewBlocksMeetInTheirBucketsAndStorages) {
  constexpr int kRounds = 4000;
  constexpr uint32_t kPerStorage = 8, kPerWriter = 24;
  size_t size = Segment::SizeFor(8192);
  Memory memory = Allocate(size);
  Segment segment = Segment::Format(memory.get(), size);
  std::atomic<int> arrived{0};
  auto meet = [&arrived](int step) {
    arrived++;
    while (arrived < 2 * step) std::this_thread::yield();
  };
  auto storage_of = [](int round, uint32_t i) {
    return StorageId{1} + round * 100 + i / kPerStorage;
  };
  auto write = [&](uint32_t writer) {
    int step = 0;
    for (int round = 0; round < kRounds; round++) {
      meet(++step);
      for (uint32_t i = 0; i < kPerWriter; i++) {
        // No ASSERT: the other writer would wait for ever.
        EXPECT_TRUE(segment.Reserve(Segment::BoundForVersion(0)));
        segment.ApplyVersion(storage_of(round, i), i * 2 + writer, 0,
                             {3, 1, 0, VersionKind::kDelete, 0}, Slice(), false);
      }
      meet(++step);
      if (writer == 0) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < kPerWriter; i++) {
          for (BlockNo block : {i * 2, i * 2 + 1}) {
            found += segment.Newest(storage_of(round, i), block, 0) != nullptr;
          }
        }
        EXPECT_EQ(found, 2 * kPerWriter);
        uint32_t listed = 0;
        auto count = [](void* to, StorageId, BlockNo, const Segment::BlockEntry*) {
          ++*static_cast<uint32_t*>(to);
        };
        segment.VisitAllBlocks(count, &listed);
        EXPECT_EQ(listed, 2 * kPerWriter);
        for (uint32_t i = 0; i < kPerWriter; i += kPerStorage) {
          uint32_t of_storage = 0;
          segment.VisitBlocks(storage_of(round, i), count, &of_storage);
          EXPECT_EQ(of_storage, 2 * kPerStorage);
        }
        EXPECT_EQ(segment.reserved(), segment.used());
        segment.Reset();
      }
    }
  };
  std::thread other(write, 1);
  write(0);
  other.join();
}

TEST(SegmentConcurrencyTest, ReservationsOfManyThreadsStayWithinTheCapacity) {
  size_t size = Segment::SizeFor(100000);
  Memory memory = Allocate(size);
  Segment segment = Segment::Format(memory.get(), size);
  std::atomic<uint64_t> held{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriters; i++) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i);
      for (int n = 0; n < 20000; n++) {
        size_t bytes = 1 + random() % 60000;
        if (!segment.Reserve(bytes)) continue;
        EXPECT_LE(held.fetch_add(bytes) + bytes, segment.capacity());
        EXPECT_LE(segment.reserved(), segment.capacity());
        held.fetch_sub(bytes);
        segment.Release(bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(segment.reserved(), 0u);
  EXPECT_TRUE(segment.Reserve(segment.capacity()));
}

// Processes map the segment at different addresses, as EXEC_BACKEND servers and parallel tools do.
TEST(SegmentConcurrencyTest, ProcessesWithOtherMappingsShareTheSegment) {
  constexpr uint32_t kChildren = 3, kChanges = 6000;
  size_t size = (Segment::SizeFor(kChildren * kChanges * 200) + 4095) / 4096 * 4096;
  int file = memfd_create("segment", 0);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(size)), 0);
  auto map = [&] { return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0); };
  void* first = map();
  ASSERT_NE(first, MAP_FAILED);
  Segment::Format(first, size);
  std::vector<pid_t> children;
  for (uint32_t child = 0; child < kChildren; child++) {
    pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      void* own = map();  // `first` is still mapped: so this one lies elsewhere
      if (own == MAP_FAILED || own == first) _exit(1);
      Segment segment = Segment::Attach(own);
      for (uint32_t i = 0; i < kChanges; i++) {
        BlockNo block = (i % 700) * kChildren + child;
        auto slot = static_cast<SlotNo>(i / 700 * 29);
        std::string payload = Payload(MakeStamp(1, block, slot, i + 1), i % 16);
        if (!segment.Reserve(Segment::BoundForVersion(payload.size()))) _exit(2);
        segment.ApplyVersion(1, block, slot, {3, i + 1, 0, VersionKind::kInsert, 0}, payload, true);
      }
      _exit(0);
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  void* second = map();
  ASSERT_NE(second, MAP_FAILED);
  Segment segment = Segment::Attach(second);
  EXPECT_EQ(segment.versions(), kChildren * kChanges);
  EXPECT_EQ(segment.blocks(), kChildren * 700);
  EXPECT_EQ(segment.reserved(), segment.used());
  for (BlockNo block = 0; block < kChildren * 700; block++) {
    const BufferedVersion* version = segment.Newest(1, block, 0);
    ASSERT_NE(version, nullptr);
    EXPECT_TRUE(Intact(version->payload(), 1, block, 0, version->lsn));
  }
  munmap(first, size);
  munmap(second, size);
  close(file);
}

}  // namespace
}  // namespace omendb
