// What a backend pays for an index leaf that lies in the store, warm: by its low position, by a
// seek, and for the entry in it. 4 million random int8 keys, a part of the leaves with operands.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/index_position.h"
#include "block/leaf_fold.h"
#include "store/primary_store.h"
#include "store/reader_store.h"

namespace omendb {
namespace {

constexpr size_t kEntries = 4000000;
constexpr StorageId kStorage = 7;

void Check(const Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s: %s\n", status.message().c_str(), status.detail().c_str());
  exit(1);
}

class Nothing : public TransactionOracle {
 public:
  FullXid Horizon() const override { return 0; }
  Verdict Resolve(FullXid) const override { return Verdict::kUnknown; }
};

class Store {
 public:
  Store() {
    char name[] = "/tmp/omendb_bench_XXXXXX";
    if (mkdtemp(name) == nullptr) exit(1);
    path_ = name;
    StoreOptions options;
    options.path = path_;
    options.oracle = &oracle_;
    Check(PrimaryStore::Open(options, &primary_));
    std::mt19937_64 random(1);
    keys_.resize(kEntries);
    for (uint64_t& key : keys_) key = random() >> 1;
    std::sort(keys_.begin(), keys_.end());
    EntryList entries;
    for (size_t i = 0; i < kEntries; i++) {
      entries.Add({Key(i), (random() % (kEntries / 256)) << 16 | (1 + random() % 256), {}, false});
    }
    std::vector<NewLeaf> leaves;
    Check(SplitLeaf(entries, "", "", 1, LeafGrowth::kRandom, &leaves));
    std::unique_ptr<PrimaryStore::Flush> flush;
    Check(primary_->NewFlush(&flush));
    for (const NewLeaf& leaf : leaves) {
      Check(flush->PutLeaf(kStorage, leaf.low, leaf.value));
      lows_.push_back(leaf.low);
    }
    Check(flush->Commit(1));
    flush.reset();
    bytes_ = primary_->ApproximateSize(0);
    Check(ReaderStore::Open(path_, 1, &plain_));

    Check(primary_->NewFlush(&flush));
    std::string delta;
    for (size_t i = 0; i < lows_.size(); i++) {
      DeltaBuilder builder;
      Slice low = leaves[i].low;
      if (low.empty()) continue;
      builder.Add({low.substr(0, 8), LoadTid(low.data() + 8), {}, false});
      delta.clear();
      Check(builder.Finish(2, &delta));
      Check(flush->MergeLeaf(kStorage, leaves[i].low, delta));
    }
    Check(flush->Commit(2));
    flush.reset();
    Check(ReaderStore::Open(path_, 2, &changed_));
  }
  ~Store() {
    plain_.reset();
    changed_.reset();
    primary_.reset();
    std::filesystem::remove_all(path_);
  }
  std::string Key(size_t i) const {
    std::string key;
    AppendBigEndian64(&key, keys_[i]);
    return key;
  }
  ReaderStore* reader(bool changed) { return changed ? changed_.get() : plain_.get(); }
  const std::vector<std::string>& lows() const { return lows_; }
  double bytes() const { return static_cast<double>(bytes_); }

 private:
  Nothing oracle_;
  std::string path_;
  std::vector<uint64_t> keys_;
  std::vector<std::string> lows_;
  uint64_t bytes_ = 0;
  std::unique_ptr<PrimaryStore> primary_;
  std::unique_ptr<ReaderStore> plain_, changed_;
};

Store& TheStore() {
  static Store store;
  return store;
}

void Get(benchmark::State& state) {
  Store& store = TheStore();
  std::mt19937_64 random(2);
  std::string value;
  for (auto _ : state) {
    const std::string& low = store.lows()[random() % store.lows().size()];
    Check(store.reader(state.range(0))->GetLeaf(kStorage, low, &value));
    benchmark::DoNotOptimize(value.data());
  }
  state.counters["bytes/entry"] = store.bytes() / kEntries;
}
BENCHMARK(Get)->ArgName("operand")->Arg(0)->Arg(1);

void Seek(benchmark::State& state) {
  Store& store = TheStore();
  std::mt19937_64 random(3);
  std::unique_ptr<LeafIterator> it;
  Check(store.reader(state.range(0))->NewLeafIterator(kStorage, &it));
  for (auto _ : state) {
    it->Seek(store.Key(random() % kEntries));
    Check(it->status());
    benchmark::DoNotOptimize(it->value().data());
  }
}
BENCHMARK(Seek)->ArgName("operand")->Arg(0)->Arg(1);

void SeekLow(benchmark::State& state) {
  Store& store = TheStore();
  std::mt19937_64 random(3);
  std::unique_ptr<LeafIterator> it;
  Check(store.reader(state.range(0))->NewLeafIterator(kStorage, &it));
  for (auto _ : state) {
    it->SeekLow(store.lows()[random() % store.lows().size()]);
    Check(it->status());
    benchmark::DoNotOptimize(it->value().data());
  }
}
BENCHMARK(SeekLow)->ArgName("operand")->Arg(0)->Arg(1);

void SeekAndFind(benchmark::State& state) {
  Store& store = TheStore();
  std::mt19937_64 random(4);
  std::unique_ptr<LeafIterator> it;
  Check(store.reader(state.range(0))->NewLeafIterator(kStorage, &it));
  LeafView view;
  for (auto _ : state) {
    const std::string key = store.Key(random() % kEntries);
    // Its row is not known, so the leaf before may be found; that of the next key never is.
    it->Seek(key + std::string(kTidSize, '\xff'));
    Check(it->status());
    Check(LeafView::Parse(it->value(), true, &view));
    view.Seek(key, 0);
    if (!view.Valid() || view.entry().key != key) exit(1);
  }
}
BENCHMARK(SeekAndFind)->ArgName("operand")->Arg(0)->Arg(1);

}  // namespace
}  // namespace omendb

BENCHMARK_MAIN();
