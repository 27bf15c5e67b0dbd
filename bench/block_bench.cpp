// What encoding, decoding, opening and folding a block of 256 narrow rows costs.
//
// g++ -std=c++20 -O2 -Isrc bench/block_bench.cpp src/block/*.cpp src/base/*.cpp -lbenchmark
// -lpthread
#include <benchmark/benchmark.h>

#include <bit>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "block/block_value.h"
#include "block/fold.h"
#include "block/packed_row.h"

namespace omendb {
namespace {

// bigint sequence, int of 17 random bits, timestamptz, float8, text of 10 characters.
const std::vector<Column> kColumns = {{8, 8, kColumnByValue},
                                      {4, 4, kColumnByValue},
                                      {8, 8, kColumnByValue},
                                      {8, 8, kColumnByValue},
                                      {-1, 4, kColumnPackable}};
constexpr uint32_t kNatts = 5;

class Block {
 public:
  Block() {
    std::mt19937_64 random(1);
    texts_.reserve(kSlotsPerBlock);
    for (uint64_t i = 0; i < kSlotsPerBlock; i++) {
      std::string text(4, 0);
      StoreFixed(text.data(), uint32_t{14 << 2});
      for (int c = 0; c < 10; c++) text.push_back(static_cast<char>('a' + random() % 26));
      texts_.push_back(text);
      values_.push_back({1000000 + i, random() % (1 << 17),
                         700000000000000 + i * 1000000 + random() % 5000,
                         std::bit_cast<uint64_t>(static_cast<double>(random()) / 1e19),
                         reinterpret_cast<Value>(texts_.back().data())});
    }
  }
  const Value* row(uint32_t i) const { return values_[i].data(); }

  std::string Image(const RowStamp& stamp) const {
    RowImageBuilder builder;
    std::string out;
    Build(&builder, stamp, &out);
    return out;
  }
  void Build(RowImageBuilder* builder, const RowStamp& stamp, std::string* out) const {
    const bool nulls[kNatts] = {};
    builder->Start(kColumns, kNatts);
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
      builder->Add(static_cast<SlotNo>(i), stamp, row(i), nulls);
    }
    out->clear();
    builder->Finish(5, kSectionFolded, out);
  }

 private:
  std::vector<std::string> texts_;
  std::vector<std::vector<Value>> values_;
};

const Block& TheBlock() {
  static const Block block;
  return block;
}

constexpr RowStamp kFresh = {50, 5, 0, VersionKind::kInsert, kVersionCommitted};

class AllCommitted : public TransactionOracle {
 public:
  explicit AllCommitted(FullXid horizon) : horizon_(horizon) {}
  FullXid Horizon() const override { return horizon_; }
  Verdict Resolve(FullXid) const override { return Verdict::kCommitted; }

 private:
  FullXid horizon_;
};

void BM_BuildImage(benchmark::State& state) {
  RowImageBuilder builder;
  std::string out;
  for (auto _ : state) TheBlock().Build(&builder, kFresh, &out);
  state.counters["bytes"] = static_cast<double>(out.size());
}
BENCHMARK(BM_BuildImage)->Unit(benchmark::kMicrosecond);

void BM_PackRows(benchmark::State& state) {
  char row[256];
  const bool nulls[kNatts] = {};
  for (auto _ : state) {
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
      benchmark::DoNotOptimize(PackRow(kColumns, TheBlock().row(i), nulls, kNatts, row));
    }
  }
}
BENCHMARK(BM_PackRows)->Unit(benchmark::kMicrosecond);

void BM_DecodeImageRowByRow(benchmark::State& state) {
  const std::string bytes = TheBlock().Image(kFresh);
  RowImage image;
  if (!RowImage::Open(bytes, &image).ok()) return state.SkipWithError("open");
  Value values[kNatts];
  bool nulls[kNatts];
  for (auto _ : state) {
    for (uint32_t row = 0; row < image.rows(); row++) {
      image.Decode(row, 0, kNatts, values, nulls);
      benchmark::DoNotOptimize(values);
    }
  }
}
BENCHMARK(BM_DecodeImageRowByRow)->Unit(benchmark::kMicrosecond);

void BM_OpenImage(benchmark::State& state) {
  const std::string bytes = TheBlock().Image(kFresh);
  RowImage image;
  for (auto _ : state) {
    benchmark::DoNotOptimize(state.range(0) ? RowImage::Open(bytes, &image).ok()
                                            : RowImage::OpenTrusted(bytes, &image).ok());
  }
}
BENCHMARK(BM_OpenImage)->Arg(0)->Arg(1);

void BM_ParseValue(benchmark::State& state) {
  const std::string bytes = TheBlock().Image(kFresh);
  BlockView view;
  for (auto _ : state) {
    benchmark::DoNotOptimize(BlockView::Parse(bytes, state.range(0) != 0, &view).ok());
  }
}
BENCHMARK(BM_ParseValue)->Arg(0)->Arg(1);

std::string UpdateOperand(uint32_t rows, Lsn lsn) {
  DeltasBuilder builder;
  builder.Start(kColumns);
  const bool nulls[kNatts] = {};
  for (uint32_t i = 0; i < rows; i++) {
    const auto slot = static_cast<SlotNo>(i * (256 / rows));
    std::string row(PackedRowSize(kColumns, TheBlock().row(slot), nulls, kNatts), 0);
    PackRow(kColumns, TheBlock().row(slot), nulls, kNatts, row.data());
    builder.Add(slot, {60, lsn, 0, VersionKind::kUpdate, kVersionCommitted}, row);
  }
  std::string out;
  builder.Finish(lsn, 0, &out);
  return out;
}

// Frozen blocks whose rows 1, 4, about 100 and 256 transactions made, in a range of 2^20.
void BM_BuildFrozenImage(benchmark::State& state) {
  std::mt19937_64 random(2);
  uint32_t makers[kSlotsPerBlock];
  for (uint32_t& maker : makers) {
    const bool changed = random() % kSlotsPerBlock < static_cast<uint64_t>(state.range(0));
    maker = 1000 + (changed ? static_cast<uint32_t>(random() % (1 << 20)) : 0);
  }
  RowImageBuilder builder;
  const bool nulls[kNatts] = {};
  std::string out;
  for (auto _ : state) {
    builder.Start(kColumns, kNatts);
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
      builder.Add(static_cast<SlotNo>(i), kFrozenStamp, TheBlock().row(i), nulls, makers[i]);
    }
    out.clear();
    builder.Finish(5, kSectionFolded, &out);
  }
  state.counters["bytes"] = static_cast<double>(out.size());
}
BENCHMARK(BM_BuildFrozenImage)->Arg(0)->Arg(4)->Arg(100)->Arg(256)->Unit(benchmark::kMicrosecond);

// A base of 256 rows and operands of 4 updated rows each.
void BM_FoldBlock(benchmark::State& state) {
  const AllCommitted oracle(static_cast<FullXid>(state.range(1)));
  std::vector<std::string> values = {TheBlock().Image(kFresh)};
  for (int64_t i = 0; i < state.range(0); i++) {
    values.push_back(UpdateOperand(4, 10 + static_cast<Lsn>(i)));
  }
  const std::vector<Slice> slices(values.begin(), values.end());
  std::string out;
  for (auto _ : state) {
    benchmark::DoNotOptimize(FoldBlock(slices, FoldScope::kWhole, oracle, &out).ok());
  }
  state.counters["bytes"] = static_cast<double>(out.size());
}
BENCHMARK(BM_FoldBlock)
    ->Args({1, 100})
    ->Args({4, 100})
    ->Args({4, 10})
    ->Unit(benchmark::kMicrosecond);

void BM_FlushLoggedImage(benchmark::State& state) {
  const AllCommitted oracle(100);
  const std::string section = TheBlock().Image(kFresh);
  FlushFold fold;
  std::string out;
  for (auto _ : state) {
    out.clear();
    fold.Start(kColumns, FoldScope::kWhole);
    fold.AddImage({50, 5, 0, VersionKind::kInsert, kVersionCommitted}, section);
    benchmark::DoNotOptimize(fold.Finish(oracle, &out).ok());
  }
}
BENCHMARK(BM_FlushLoggedImage)->Unit(benchmark::kMicrosecond);

// 256 rows inserted one by one.
void BM_FlushSingleInserts(benchmark::State& state) {
  const AllCommitted oracle(100);
  const bool nulls[kNatts] = {};
  std::vector<std::string> rows;
  for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
    std::string row(PackedRowSize(kColumns, TheBlock().row(i), nulls, kNatts), 0);
    PackRow(kColumns, TheBlock().row(i), nulls, kNatts, row.data());
    rows.push_back(row);
  }
  FlushFold fold;
  std::string out;
  for (auto _ : state) {
    out.clear();
    fold.Start(kColumns, FoldScope::kWhole);
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
      fold.AddVersion(static_cast<SlotNo>(i),
                      {50 + i % 7, 5 + i, 0, VersionKind::kInsert, kVersionCommitted}, rows[i]);
    }
    benchmark::DoNotOptimize(fold.Finish(oracle, &out).ok());
  }
}
BENCHMARK(BM_FlushSingleInserts)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace omendb

BENCHMARK_MAIN();
