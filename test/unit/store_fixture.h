// A store in a temporary directory, and block values to put into it.
#pragma once

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "block/block_value.h"
#include "block/packed_row.h"
#include "store/primary_store.h"
#include "store/reader_store.h"
#include "base/pure.h"

namespace omendb {

// Nothing is garbage.
class KeepAll : public TransactionOracle {
 public:
  FullXid Horizon() const override { return 0; }
  Verdict Resolve(FullXid) const override { return Verdict::kUnknown; }
};

// Everything committed, visible to everyone.
class AllCommitted : public TransactionOracle {
 public:
  FullXid Horizon() const override { return ~0ull >> 1; }
  Verdict Resolve(FullXid) const override { return Verdict::kCommitted; }
};

inline constexpr Column kIntColumn{8, 8, kColumnByValue};

// One version of a row of one 8-byte column (and, to make it large, of a filler).
struct TestRow {
  SlotNo slot = 0;
  uint64_t number = 0;
  FullXid xid = 100;
  Lsn lsn = 1;
  VersionKind kind = VersionKind::kInsert;
  uint8_t flags = kVersionCommitted;
};

// A deltas section with the rows, in the order that the section wants.
inline std::string BlockValue(const std::vector<TestRow>& rows, size_t filler = 0) {
  static constexpr Column columns[] = {kIntColumn, {-2, 1, 0}};
  const std::string text(filler, 'f');
  DeltasBuilder builder;
  builder.Start(columns);
  Lsn newest = 0;
  for (const TestRow& row : rows) {
    VersionMeta meta{row.xid, row.lsn, 0, row.kind, row.flags};
    std::string payload;
    if (CarriesRow(row.kind)) {
      const Value values[] = {row.number, reinterpret_cast<Value>(text.c_str())};
      const bool nulls[] = {false, false};
      payload.resize(PackedRowSize(columns, values, nulls, 2));
      PackRow(columns, values, nulls, 2, payload.data());
    }
    builder.Add(row.slot, meta, payload);
    newest = std::max(newest, row.lsn);
  }
  std::string value;
  builder.Finish(newest, 0, &value);
  return value;
}

// The number in the newest version of a slot, or -1 if there is none; -2 if the value is damaged.
inline int64_t NewestNumber(Slice value, SlotNo slot) {
  BlockView view;
  if (!BlockView::Parse(value, true, &view).ok()) return -2;
  StoredVersion version;
  if (!view.NextVersion(slot, ~Lsn{0}, &version) || !CarriesRow(version.meta.kind)) return -1;
  Value values[2] = {0, 0};
  bool nulls[2];
  alignas(8) char scratch[1 << 16];
  if (version.image != nullptr) {
    version.image->Decode(version.row, 0, 1, values, nulls);
  } else {
    PackedRowReader reader;
    if (!PackedRowReader::Open(version.payload, version.columns, &reader).ok() ||
        !reader.DecodeUpTo(1, values, nulls, scratch).ok()) {
      return -2;
    }
  }
  return static_cast<int64_t>(values[0]);
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/omendb_store_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    path_ = root_ + "/omendb";
  }
  void TearDown() override {
    flush_.reset();
    store_.reset();
    if (root_.empty()) return;
    umount2((root_ + "/disk").c_str(), MNT_DETACH);  // if the test mounted one
    std::filesystem::remove_all(root_);
  }

  // An oracle for the stores opened from now on. It lives until the store is closed, whose
  // compactions ask it at any time.
  template <class Oracle>
  Oracle& UseOracle() {
    auto owned = std::make_unique<Oracle>();
    Oracle& oracle = *owned;
    oracles_.push_back(std::move(owned));
    oracle_ = &oracle;
    return oracle;
  }

  StoreOptions Options() {
    StoreOptions options;
    options.path = path_;
    options.oracle = oracle_;
    options.target_file_size = target_file_size_;
    options.is_dropped = [this](StorageId storage) {
      std::lock_guard<std::mutex> lock(mutex_);
      return dropped_.contains(storage);
    };
    options.log = [this](LogLevel level, const std::string& text) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (level == LogLevel::kWarning) warnings_.push_back(text);
    };
    options.failure_point = failure_point_;
    options.settle_pause = settle_pause_;
    return options;
  }
  Status TryOpen() {
    store_.reset();
    return PrimaryStore::Open(Options(), &store_);
  }
  void Open() {
    Status status = TryOpen();
    ASSERT_TRUE(status.ok()) << status.message() << ": " << status.detail();
  }

  // One flush of (storage, block) -> (new block?, value).
  using Blocks = std::map<std::pair<StorageId, BlockNo>, std::pair<bool, std::string>>;
  Status TryFlush(const Blocks& blocks, Lsn lsn) {
    OMENDB_RETURN_IF_ERROR(store_->NewFlush(&flush_));
    for (const auto& [place, block] : blocks) {
      OMENDB_RETURN_IF_ERROR(
          flush_->AddBlock(place.first, place.second, block.first, block.second));
    }
    Status status = flush_->Commit(lsn);
    flush_.reset();
    return status;
  }
  void Flush(const Blocks& blocks, Lsn lsn) {
    Status status = TryFlush(blocks, lsn);
    ASSERT_TRUE(status.ok()) << status.message() << ": " << status.detail();
  }

  std::unique_ptr<ReaderStore> Reader(uint64_t min_generation = 0) {
    std::unique_ptr<ReaderStore> reader;
    Status status = ReaderStore::Open(path_, min_generation, &reader);
    EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
    return reader;
  }

  // Names and sizes of the SSTs on disk.
  std::map<std::string, uint64_t> Files() const {
    std::map<std::string, uint64_t> files;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().extension() == ".sst") {
        files[entry.path().filename().string()] = entry.file_size();
      }
    }
    return files;
  }
  std::set<std::string> LargeFiles(uint64_t size) const {
    std::set<std::string> names;
    for (const auto& [name, bytes] : Files()) {
      if (bytes >= size) names.insert(name);
    }
    return names;
  }
  // Files of a family at a level, from Describe().
  int FilesAtLevel(int level, const std::string& family = "rows") const {
    std::string text = store_->Describe();
    text = text.substr(text.find(family + "\n"));
    text = text.substr(0, text.find(family == "rows" ? "keys\n" : "meta\n"));
    const std::string want = "\n  " + std::to_string(level) + " ";
    const size_t line = text.find(want);
    return line == std::string::npos ? -1 : atoi(text.c_str() + line + want.size());
  }
  void WaitForCompaction() {
    for (int quiet = 0, i = 0; quiet < 10 && i < 3000; i++) {
      const CompactionDebt debt = store_->debt();
      quiet = debt.running || debt.level0_files >= 4 ? 0 : quiet + 1;
      usleep(10000);
    }
  }
  std::vector<std::string> Warnings() {
    std::lock_guard<std::mutex> lock(mutex_);
    return warnings_;
  }

  KeepAll keep_all_;
  std::vector<std::unique_ptr<TransactionOracle>> oracles_;
  const TransactionOracle* oracle_ = &keep_all_;
  uint64_t target_file_size_ = 4 << 20;
  double settle_pause_ = 0;
  std::function<void(const char*)> failure_point_;
  std::string root_, path_;
  std::mutex mutex_;  // guards the next two
  std::set<StorageId> dropped_;
  std::vector<std::string> warnings_;
  std::unique_ptr<PrimaryStore> store_;
  std::unique_ptr<PrimaryStore::Flush> flush_;
};

}  // namespace omendb
