// What an index leaf costs: bytes for an entry, and a lookup, a scan, a fold in a warm one.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "base/index_position.h"
#include "block/leaf_fold.h"

namespace omendb {
namespace {

constexpr size_t kEntries = 400;

struct Entry {
  std::string key;
  TidNumber tid;
};

// 0: random int8 of an index of 20M; 1: uuid; 2: text like that of a path.
std::vector<Entry> Entries(int kind, uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<Entry> entries;
  for (size_t i = 0; i < count; i++) {
    std::string key;
    AppendBigEndian64(&key, (1ull << 62) + random() % ((1ull << 63) / 20000000 * kEntries));
    if (kind == 1) AppendBigEndian64(&key, random());
    if (kind == 2) {
      key = "/usr/share/" + std::string(1, static_cast<char>('a' + random() % 26)) + "/file-" +
            std::to_string(random() % 100000) + std::string(1, '\0');
    }
    entries.push_back({key, (random() % 78125) << 16 | (1 + random() % 256)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return CompareEntries(a.key, a.tid, b.key, b.tid) < 0;
  });
  return entries;
}

struct Leaf {
  Leaf(int kind, int deltas) : entries(Entries(kind, 1, kEntries)) {
    const std::string low = Position(entries.front().key, entries.front().tid);
    const std::string high = Position("\xff" + entries.front().key.substr(1), 0);
    LeafBuilder builder(low, high);
    for (const Entry& entry : entries) builder.Add({entry.key, entry.tid, {}, false});
    if (!builder.Finish(1, &value).ok()) abort();
    bytes = value.size();
    for (int i = 1; i <= deltas; i++) {
      DeltaBuilder delta;
      for (const Entry& entry : Entries(kind, 100 + i, 10)) {
        delta.Add({std::max(entry.key, entries.front().key), entry.tid, {}, i % 2 == 0});
      }
      if (!delta.Finish(1 + i, &value).ok()) abort();
    }
  }
  std::vector<Entry> entries;
  std::string value;
  size_t bytes;
};

void Describe(const Leaf& leaf, benchmark::State& state) {
  state.counters["bytes/entry"] = static_cast<double>(leaf.bytes) / kEntries;
}

void Lookup(benchmark::State& state) {
  const Leaf leaf(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  LeafView view;
  if (!LeafView::Parse(leaf.value, true, &view).ok()) abort();
  std::mt19937 random(5);
  std::vector<uint32_t> order(4096);
  for (uint32_t& i : order) i = random() % kEntries;
  size_t at = 0;
  for (auto _ : state) {
    const Entry& entry = leaf.entries[order[at++ % order.size()]];
    view.Seek(entry.key, 0);
    if (!view.Valid() || view.entry().key != entry.key) abort();
    benchmark::DoNotOptimize(view.entry().tid);
  }
  Describe(leaf, state);
}
BENCHMARK(Lookup)->ArgNames({"kind", "deltas"})->ArgsProduct({{0, 1, 2}, {0, 2}});

void Parse(benchmark::State& state) {
  const Leaf leaf(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  LeafView view;
  for (auto _ : state) {
    if (!LeafView::Parse(leaf.value, state.range(2) != 0, &view).ok()) abort();
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(Parse)->ArgNames({"kind", "deltas", "verify"})->ArgsProduct({{0, 2}, {0, 2}, {0, 1}});

void Scan(benchmark::State& state) {
  const Leaf leaf(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  LeafView view;
  if (!LeafView::Parse(leaf.value, true, &view).ok()) abort();
  const bool forward = state.range(2) != 0;
  uint64_t sum = 0, entries = 0;
  for (auto _ : state) {
    for (forward ? view.First() : view.Last(); view.Valid();
         forward ? view.Next() : view.Prev(), entries++) {
      sum += view.entry().tid;
    }
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(static_cast<int64_t>(entries));
}
BENCHMARK(Scan)->ArgNames({"kind", "deltas", "forward"})->ArgsProduct({{0, 2}, {0, 2}, {0, 1}});

void Fold(benchmark::State& state) {
  const Leaf leaf(static_cast<int>(state.range(0)), 2);
  const Slice value = leaf.value;
  std::string folded;
  for (auto _ : state) {
    folded.clear();
    if (!FoldLeafValues({&value, 1}, &folded).ok()) abort();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kEntries));
}
BENCHMARK(Fold)->ArgName("kind")->Arg(0)->Arg(2);

}  // namespace
}  // namespace omendb

BENCHMARK_MAIN();
