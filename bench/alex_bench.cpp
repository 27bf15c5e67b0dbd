// The learned index beside absl::btree_map and std::map, over key sets as hard as the field's.
//
// ALEX_BENCH_KEYS: keys of a map, 200000 by default; published figures use 10000000.
#include <absl/container/btree_map.h>
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "alex/alex_arena.h"
#include "alex/alex_map.h"
#include "keysets.h"

namespace omendb {
namespace {

using keysets::Random;
using Map = AlexMap<AlexArena>;
const char* const kSets[] = {"seq", "uniform", "lognormal", "snowflake", "books", "osm"};

size_t Keys() {
  const char* keys = std::getenv("ALEX_BENCH_KEYS");
  return keys != nullptr ? std::strtoull(keys, nullptr, 10) : 200000;
}

// The keys of a set in ascending order, made once.
const std::vector<uint64_t>& Sorted(size_t set) {
  static std::vector<uint64_t> sets[std::size(kSets)];
  if (sets[set].empty()) sets[set] = keysets::MakeKeys(kSets[set], Keys());
  return sets[set];
}
std::vector<uint64_t> Shuffled(size_t set) {
  std::vector<uint64_t> keys = Sorted(set);
  Random random(7);
  for (size_t i = keys.size() - 1; i > 0; i--) std::swap(keys[i], keys[random.Next() % (i + 1)]);
  return keys;
}

// The keys of a set for ever, one behind the other in memory in the random order in which they
// come: so to get one is not to wait for it.
class Wanted {
 public:
  explicit Wanted(size_t set) : keys_(Shuffled(set)) {}
  uint64_t Next() {
    if (next_ == keys_.size()) next_ = 0;
    return keys_[next_++];
  }

 private:
  const std::vector<uint64_t> keys_;
  size_t next_ = 0;
};

// A number as the index sees keys.
struct Bytes {
  explicit Bytes(uint64_t number) : word(__builtin_bswap64(number)) {}
  operator Slice() const { return {reinterpret_cast<const char*>(&word), 8}; }
  uint64_t word;
};

class Alex {
 public:
  Alex() {
    size_ = Keys() * 70 + (16 << 20);
    // Populated, so that no page fault is measured: shared buffers have theirs behind them.
    int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
    arena_ = std::make_unique<AlexArena>(AlexArena::Format(memory_, size_));
    map_ = std::make_unique<Map>(*arena_, Map::Create(*arena_, "", AlexOptions{}));
  }
  ~Alex() { munmap(memory_, size_); }
  Alex(const Alex&) = delete;
  Alex& operator=(const Alex&) = delete;

  void Load(const std::vector<uint64_t>& keys) {
    std::vector<Bytes> bytes(keys.begin(), keys.end());
    std::vector<Map::Entry> entries;
    for (const Bytes& key : bytes) entries.push_back({key, 1, 0, {}});
    if (!map_->BulkLoad(entries)) std::abort();
  }
  void Insert(uint64_t key) { map_->Put(Bytes(key), 1, 0, {}); }
  bool Find(uint64_t key) const {
    AlexItem item;
    return map_->Find(Bytes(key), 1, &item);
  }
  uint64_t Scan(uint64_t key, int count) const {
    uint64_t sum = 0;
    Map::Iterator it(*map_);
    for (it.Seek(Bytes(key), 0); it.Valid() && count > 0; it.Next(), count--) sum += it.item().tid;
    return sum;
  }
  double BytesPerKey() const {
    AlexStats stats = map_->Stats();
    return static_cast<double>(stats.bytes) / static_cast<double>(stats.keys);
  }
  // For other processes, which share the memory.
  AlexArena arena() const { return *arena_; }

 private:
  size_t size_;
  void* memory_;
  std::unique_ptr<AlexArena> arena_;
  std::unique_ptr<Map> map_;
};

template <typename Container>
class Ordered {
 public:
  void Load(const std::vector<uint64_t>& keys) {
    for (uint64_t key : keys) map_.emplace_hint(map_.end(), key, 1);
  }
  void Insert(uint64_t key) { map_.emplace(key, 1); }
  bool Find(uint64_t key) const { return map_.find(key) != map_.end(); }
  uint64_t Scan(uint64_t key, int count) const {
    uint64_t sum = 0;
    for (auto it = map_.lower_bound(key); it != map_.end() && count > 0; ++it, count--) {
      sum += it->second;
    }
    return sum;
  }

 private:
  Container map_;
};
using Absl = Ordered<absl::btree_map<uint64_t, uint64_t>>;
using Std = Ordered<std::map<uint64_t, uint64_t>>;

void Label(benchmark::State& state) { state.SetLabel(kSets[state.range(0)]); }

template <typename Index>
void Lookup(benchmark::State& state) {
  size_t set = static_cast<size_t>(state.range(0));
  const std::vector<uint64_t>& keys = Sorted(set);
  Index index;
  index.Load(keys);
  Wanted wanted(set);
  for (auto _ : state) benchmark::DoNotOptimize(index.Find(wanted.Next()));
  state.SetItemsProcessed(state.iterations());
  if constexpr (std::is_same_v<Index, Alex>) state.counters["bytes/key"] = index.BytesPerKey();
  Label(state);
}

template <typename Index>
void Scan100(benchmark::State& state) {
  size_t set = static_cast<size_t>(state.range(0));
  const std::vector<uint64_t>& keys = Sorted(set);
  Index index;
  index.Load(keys);
  Wanted wanted(set);
  for (auto _ : state) benchmark::DoNotOptimize(index.Scan(wanted.Next(), 100));
  Label(state);
}

// One insert into an empty map after the other; the slowest thousandth apart.
template <typename Index>
void InsertAll(benchmark::State& state, const std::vector<uint64_t>& keys) {
  using Clock = std::chrono::steady_clock;
  std::vector<uint32_t> times(keys.size());
  double bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto index = std::make_unique<Index>();
    state.ResumeTiming();
    auto last = Clock::now();
    for (size_t i = 0; i < keys.size(); i++) {
      index->Insert(keys[i]);
      auto now = Clock::now();
      times[i] = static_cast<uint32_t>((now - last).count());
      last = now;
    }
    state.PauseTiming();
    if constexpr (std::is_same_v<Index, Alex>) bytes = index->BytesPerKey();
    index.reset();
    state.ResumeTiming();
  }
  auto rank = times.begin() + static_cast<long>(times.size() - times.size() / 1000 - 1);
  std::nth_element(times.begin(), rank, times.end());
  state.counters["p99.9_ns"] = *rank;
  if (bytes > 0) state.counters["bytes/key"] = bytes;
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(keys.size()));
  Label(state);
}
template <typename Index>
void Insert(benchmark::State& state) {
  InsertAll<Index>(state, Shuffled(static_cast<size_t>(state.range(0))));
}
template <typename Index>
void Append(benchmark::State& state) {
  InsertAll<Index>(state, Sorted(static_cast<size_t>(state.range(0))));
}

// Half of the keys are there; one insert of the others with each lookup.
template <typename Index>
void Mixed(benchmark::State& state) {
  size_t set = static_cast<size_t>(state.range(0));
  std::vector<uint64_t> keys = Shuffled(set);
  size_t half = keys.size() / 2;
  std::vector<uint64_t> loaded(keys.begin(), keys.begin() + static_cast<long>(half));
  std::sort(loaded.begin(), loaded.end());
  std::vector<uint64_t> wanted(keys.size() - half);  // of those that are there by then
  Random random(3);
  for (size_t i = half; i < keys.size(); i++) wanted[i - half] = keys[random.Next() % i];
  for (auto _ : state) {
    state.PauseTiming();
    auto index = std::make_unique<Index>();
    index->Load(loaded);
    state.ResumeTiming();
    for (size_t i = half; i < keys.size(); i++) {
      index->Insert(keys[i]);
      benchmark::DoNotOptimize(index->Find(wanted[i - half]));
    }
    state.PauseTiming();
    index.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(keys.size() - half) * 2);
  Label(state);
}

// Processes that share one map: each inserts its part, and looks up as often.
void Processes(benchmark::State& state) {
  int64_t processes = state.range(1);
  std::vector<uint64_t> keys = Shuffled(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    Alex memory;
    AlexArena arena = memory.arena();
    uint32_t offset = Map::Create(arena, "", AlexOptions{});
    auto begin = std::chrono::steady_clock::now();
    std::vector<pid_t> children;
    for (int64_t p = 0; p < processes; p++) {
      pid_t child = fork();
      if (child != 0) {
        children.push_back(child);
        continue;
      }
      Map map(arena, offset);
      uint32_t slot = arena.TakeSlot();
      size_t step = static_cast<size_t>(processes);
      size_t found = 0, expected = 0;
      for (size_t i = static_cast<size_t>(p); i < keys.size(); i += step) {
        AlexEpoch epoch(arena, slot);
        map.Put(Bytes(keys[i]), 1, 0, {});
        AlexItem item;
        size_t earlier = i - i / step / 2 * step;  // one of its own
        found += map.Find(Bytes(keys[earlier]), 1, &item);
        expected++;
      }
      arena.ReturnSlot(slot);
      _exit(found == expected ? 0 : 1);
    }
    bool right = true;
    for (pid_t child : children) {
      int status = 1;
      right = waitpid(child, &status, 0) == child && status == 0 && right;
    }
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    if (!right) state.SkipWithError("a process did not find what it inserted");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(keys.size()) * 2);
  Label(state);
}

#define EACH_SET(bench)                                                 \
  BENCHMARK_TEMPLATE(bench, Alex)->DenseRange(0, std::size(kSets) - 1); \
  BENCHMARK_TEMPLATE(bench, Absl)->DenseRange(0, std::size(kSets) - 1); \
  BENCHMARK_TEMPLATE(bench, Std)->DenseRange(0, std::size(kSets) - 1)
#define EACH_SET_ONCE(bench)                                                           \
  BENCHMARK_TEMPLATE(bench, Alex)->DenseRange(0, std::size(kSets) - 1)->Iterations(1); \
  BENCHMARK_TEMPLATE(bench, Absl)->DenseRange(0, std::size(kSets) - 1)->Iterations(1); \
  BENCHMARK_TEMPLATE(bench, Std)->DenseRange(0, std::size(kSets) - 1)->Iterations(1)

EACH_SET(Lookup);
EACH_SET(Scan100);
EACH_SET_ONCE(Insert);
EACH_SET_ONCE(Append);
EACH_SET_ONCE(Mixed);
BENCHMARK(Processes)->ArgsProduct({{1, 5}, {1, 2, 4, 8}})->Iterations(1)->UseManualTime();

}  // namespace
}  // namespace omendb

BENCHMARK_MAIN();
