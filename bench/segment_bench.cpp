// Cost of the write buffer segment: applying single-row changes, finding them, and the bytes that
// one change takes.
//
//   g++ -std=c++20 -O2 -DNDEBUG -Isrc bench/segment_bench.cpp src/buffer/*.cpp -lbenchmark
//   -lpthread
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "buffer/segment.h"

namespace omendb {
namespace {

constexpr size_t kCapacity = 16u << 20;
constexpr size_t kPayload = 100;  // a pgbench account as a packed row

struct Place {
  BlockNo block;
  SlotNo slot;
};

class Buffer {
 public:
  explicit Buffer(size_t capacity = kCapacity) : bytes_(Segment::SizeFor(capacity)) {
    if (posix_memalign(&memory_, 64, bytes_) != 0) std::abort();
    std::memset(memory_, 1, bytes_);  // so that no page fault is measured
    segment = Segment::Format(memory_, bytes_);
  }
  ~Buffer() { std::free(memory_); }

  static std::vector<Place> Sequential(uint32_t count) {
    std::vector<Place> places;
    for (uint32_t i = 0; i < count; i++) places.push_back({i / 256, static_cast<SlotNo>(i)});
    return places;
  }
  static std::vector<Place> Random(uint32_t count, uint32_t blocks) {
    std::mt19937 random(1);
    std::vector<Place> places;
    for (uint32_t i = 0; i < count; i++) {
      places.push_back({static_cast<BlockNo>(random() % blocks), static_cast<SlotNo>(random())});
    }
    return places;
  }

  bool Apply(Place at, size_t size = kPayload) {
    if (!segment.Reserve(Segment::BoundForVersion(size))) return false;
    segment.ApplyVersion(1, at.block, at.slot, {3, ++lsn_, 0, VersionKind::kUpdate, 0},
                         Slice(payload_.data(), size), false);
    segment.NoteLsn(lsn_);
    return true;
  }
  size_t Fill(const std::vector<Place>& places) {
    size_t done = 0;
    while (done < places.size() && Apply(places[done])) done++;
    return done;
  }

  Segment segment;

 private:
  size_t bytes_;
  void* memory_ = nullptr;
  Lsn lsn_ = 0;
  std::string payload_ = std::string(kPayload, 'p');
};

void ApplyAll(benchmark::State& state, const std::vector<Place>& places) {
  Buffer buffer;
  size_t at = 0;
  double changes = 0, bytes = 0;
  for (auto _ : state) {
    if (at == places.size() || !buffer.Apply(places[at])) {
      state.PauseTiming();
      changes += static_cast<double>(buffer.segment.versions());
      bytes += static_cast<double>(buffer.segment.used());
      buffer.segment.Reset();
      at = 0;
      state.ResumeTiming();
      continue;
    }
    at++;
  }
  changes += static_cast<double>(buffer.segment.versions());
  bytes += static_cast<double>(buffer.segment.used());
  state.counters["overhead_bytes"] = bytes / changes - kPayload;
}

void BM_ApplySequentialSlots(benchmark::State& state) {
  ApplyAll(state, Buffer::Sequential(1u << 20));
}
BENCHMARK(BM_ApplySequentialSlots);

// The argument: how many blocks the table has.
void BM_ApplyRandomSlots(benchmark::State& state) {
  ApplyAll(state, Buffer::Random(1u << 20, static_cast<uint32_t>(state.range(0))));
}
BENCHMARK(BM_ApplyRandomSlots)->Arg(1000)->Arg(39063)->Arg(10000000);

// What a segment full of random single-row updates spends on each besides the row itself, the fixed
// tables included.
void BM_MemoryOfRandomUpdates(benchmark::State& state) {
  std::vector<Place> places = Buffer::Random(1u << 18, static_cast<uint32_t>(state.range(0)));
  double bytes = 0, versions = 0, per_block = 0;
  for (auto _ : state) {
    Buffer buffer;
    buffer.Fill(places);
    versions = static_cast<double>(buffer.segment.versions());
    per_block = versions / static_cast<double>(buffer.segment.blocks());
    bytes = static_cast<double>(buffer.segment.used() + Segment::SizeFor(kCapacity) - kCapacity);
  }
  state.counters["overhead_bytes"] = bytes / versions - kPayload;
  state.counters["updates"] = versions;
  state.counters["updates_per_block"] = per_block;
}
BENCHMARK(BM_MemoryOfRandomUpdates)
    ->Arg(1000)
    ->Arg(10000)
    ->Arg(39063)
    ->Arg(10000000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void BM_LookupHit(benchmark::State& state) {
  Buffer buffer;
  std::vector<Place> places = Buffer::Random(1u << 18, static_cast<uint32_t>(state.range(0)));
  places.resize(buffer.Fill(places));
  std::shuffle(places.begin(), places.end(), std::mt19937(2));
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.segment.Newest(1, places[at].block, places[at].slot)->lsn);
    if (++at == places.size()) at = 0;
  }
}
BENCHMARK(BM_LookupHit)->Arg(1000)->Arg(39063)->Arg(10000000);

void BM_LookupHitDenseBlocks(benchmark::State& state) {
  Buffer buffer;
  std::vector<Place> places = Buffer::Sequential(1u << 18);
  places.resize(buffer.Fill(places));
  std::shuffle(places.begin(), places.end(), std::mt19937(2));
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.segment.Newest(1, places[at].block, places[at].slot)->lsn);
    if (++at == places.size()) at = 0;
  }
}
BENCHMARK(BM_LookupHitDenseBlocks);

// Blocks that the segment, full of others, does not have.
void BM_LookupMiss(benchmark::State& state) {
  Buffer buffer;
  buffer.Fill(Buffer::Random(1u << 18, static_cast<uint32_t>(state.range(0))));
  std::mt19937 random(3);
  std::vector<BlockNo> blocks(1u << 18);
  for (BlockNo& block : blocks) block = 20000000 + random() % 10000000;
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(buffer.segment.Newest(1, blocks[at], 0));
    at = (at + 1) % blocks.size();
  }
}
BENCHMARK(BM_LookupMiss)->Arg(1000)->Arg(39063)->Arg(10000000);

void BM_Reset(benchmark::State& state) {
  Buffer buffer;
  for (auto _ : state) buffer.segment.Reset();
}
BENCHMARK(BM_Reset)->Unit(benchmark::kMicrosecond);

// Writers at once on one segment, each with blocks of its own, as stripes would grant.
void BM_ApplyRandomSlotsByManyWriters(benchmark::State& state) {
  static Buffer* buffer = nullptr;
  if (state.thread_index() == 0) buffer = new Buffer(size_t{512} << 20);
  std::mt19937 random(static_cast<uint32_t>(state.thread_index()));
  std::string payload(kPayload, 'p');
  Lsn lsn = 0;
  for (auto _ : state) {
    BlockNo block = random() % 10000 * 16 + static_cast<BlockNo>(state.thread_index());
    if (!buffer->segment.Reserve(Segment::BoundForVersion(kPayload))) {
      state.SkipWithError("segment full");
      break;
    }
    buffer->segment.ApplyVersion(1, block, static_cast<SlotNo>(random()),
                                 {3, ++lsn, 0, VersionKind::kUpdate, 0}, payload, false);
    buffer->segment.NoteLsn(lsn);
  }
  if (state.thread_index() == 0) delete buffer;
}
BENCHMARK(BM_ApplyRandomSlotsByManyWriters)->Threads(1)->Threads(2)->Iterations(1000000);

}  // namespace
}  // namespace omendb

BENCHMARK_MAIN();
