#include "store/reader_store.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/slice.h>

#include <vector>

#include "key/block_key.h"
#include "key/leaf_key.h"
#include "store/block_merge.h"
#include "store/bus_guard.h"
#include "store/families.h"
#include "store/leaf_iterator_impl.h"
#include "store/leaf_merge.h"
#include "store/reader_file_system.h"
#include "store/rocksdb_status.h"
#include "store/signal_mask.h"
#include "store/sst_layout.h"
#include "store/store_state.h"
#include "base/pure.h"

namespace omendb {
namespace {

// What a scan reads ahead, through a buffer of its own. (Measured against 1 MB and against none:
// 2.5 us of CPU for a block of 12 kB, 3.4 and 4.2; 513 MB/s cold, 349 and 256.)
constexpr size_t kReadahead = 256 << 10;
// A shorter range is read block by block.
constexpr BlockNo kScanBlocks = 16;
// Far above any base: compaction folds kMostDeltas operands into one of kMaxLeafBytes.
constexpr uint64_t kLargestLeaf = 256 << 10;

// A secondary that is given no logger makes a log file in a directory of its own.
class NoLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

Status MappedFileFault() {
  return Status::Make(StatusCode::kIoError, "could not read from the omendb store",
                      "A mapped file was truncated or its device failed.",
                      "Check the server's disks and the files below \"omendb\" in the data "
                      "directory.");
}

// An open secondary. Left alone, not destroyed, after a fault: locks and counts in it are off.
struct Instance {
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  bool poisoned = false;

  void Poison() {
    poisoned = true;
    SkipCleanUpAtExit();
  }
  ~Instance() {
    if (poisoned || db == nullptr) return;
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (!db->DestroyColumnFamilyHandle(handle).ok()) continue;
    }
    delete db;
  }
};

// What lies on the stack of a guarded call must survive the jump, so calls work on this.
struct Scratch {
  rocksdb::Status status;
  rocksdb::PinnableSlice value;
};

// Catches faults in mapped files while a leaf iterator moves.
class InstanceGuard {
 public:
  explicit InstanceGuard(Instance* instance) : instance_(instance) {}
  template <typename Call>
  Status operator()(Call call) {
    if (instance_->poisoned) return MappedFileFault();
    if (CatchBusError(call)) return Status::Ok();
    instance_->Poison();
    return MappedFileFault();
  }
  bool lost() const { return instance_->poisoned; }
  bool Pass(const rocksdb::Status&) { return false; }

 private:
  Instance* const instance_;
};

class BlockIteratorImpl : public ReaderStore::BlockIterator {
 public:
  BlockIteratorImpl(Instance* instance, StorageId storage, BlockNo first, BlockNo end)
      : instance_(instance),
        storage_(storage),
        first_(first),
        high_block_(end),
        low_(BlockKey(storage, first)),
        high_(BlockKey(storage, end)),
        low_slice_(low_),
        high_slice_(high_) {}

  ~BlockIteratorImpl() override {
    // After a fault what the iterator refers to is in no known state.
    if (instance_->poisoned) it_.release();
  }

  Status Start(const rocksdb::ReadOptions& defaults) {
    rocksdb::ReadOptions options = defaults;
    options.iterate_lower_bound = &low_slice_;
    options.iterate_upper_bound = &high_slice_;
    if (high_block_ > first_ && high_block_ - first_ >= kScanBlocks) {
      options.readahead_size = kReadahead;
    }
    return Guarded([&] {
      it_.reset(instance_->db->NewIterator(options, instance_->handles[kRowsFamily]));
      it_->SeekToFirst();
    });
  }

  bool Valid() const override { return valid_; }
  Status status() const override { return status_; }
  BlockNo block() const override { return block_; }
  Slice value() const override { return value_; }
  void Next() override {
    const BlockNo before = block_;
    (void)Guarded([&] { it_->Next(); });
    // Keys have no checksum on this path; their order is what can be checked.
    if (valid_ && block_ <= before) Fail();
  }
  void Seek(BlockNo block) override {
    key_ = BlockKey(storage_, block);
    (void)Guarded([&] { it_->Seek(key_); });
  }

 private:
  template <typename Move>
  Status Guarded(Move move) {
    valid_ = false;
    if (!status_.ok()) return status_;
    if (instance_->poisoned) return status_ = MappedFileFault();
    if (!CatchBusError([&] {
          move();
          Load();
        })) {
      instance_->Poison();
      valid_ = false;
      status_ = MappedFileFault();
    }
    return status_;
  }

  void Fail() {
    valid_ = false;
    status_ = Status::Corruption(
        "could not read from the omendb store: damaged key",
        "Storage " + std::to_string(storage_) + ", near block " + std::to_string(block_) + ".");
  }

  void Load() {
    // A value without bytes is what a fold left of a block that has no rows any more.
    while (it_->Valid() && it_->value().empty()) it_->Next();
    if (!it_->Valid()) {
      const rocksdb::Status s = it_->status();
      if (!s.ok()) status_ = ReadError(s);
      return;
    }
    StorageId storage;
    if (!ParseBlockKey(FromRocksDb(it_->key()), &storage, &block_) || storage != storage_) {
      Fail();
      return;
    }
    const rocksdb::Slice value = it_->value();
    if (reinterpret_cast<uintptr_t>(value.data()) % 8 == 0) {
      value_ = FromRocksDb(value);
    } else {
      copy_.assign(value.data(), value.size());
      value_ = copy_;
    }
    valid_ = true;
  }

  Instance* const instance_;
  const StorageId storage_;
  const BlockNo first_, high_block_;
  const std::string low_, high_;
  const rocksdb::Slice low_slice_, high_slice_;
  std::string key_, copy_;
  std::unique_ptr<rocksdb::Iterator> it_;
  bool valid_ = false;
  Status status_;
  BlockNo block_ = 0;
  Slice value_;
};

class ReaderStoreImpl : public ReaderStore {
 public:
  explicit ReaderStoreImpl(std::string path) : path_(std::move(path)) {
    // A block value has checksums of its own. (0.5 to 0.9 us for 12 kB, a tenth of a Get.)
    read_options_.verify_checksums = false;
    checked_options_.verify_checksums = true;
  }

  ~ReaderStoreImpl() override {
    if (instance_->poisoned) instance_.release();
  }

  Status Start(uint64_t min_generation) {
    InstallBusHandler();
    RaiseFileLimit();
    Status status = OpenInstance(min_generation);
    // The manifest may have been read while the primary was replacing it.
    if (!status.ok() && !poisoned()) status = OpenInstance(min_generation);
    return status;
  }

  uint64_t generation() const override { return generation_; }
  bool poisoned() const override { return instance_->poisoned; }

  Status CatchUp(uint64_t min_generation) override {
    if (poisoned()) return MappedFileFault();
    {
      SignalBlock block;
      if (!CatchBusError([&] { scratch_->status = instance_->db->TryCatchUpWithPrimary(); })) {
        return Poison();
      }
    }
    if (!scratch_->status.ok()) return ReadError(scratch_->status);
    return CheckGenerations(min_generation);
  }

  Status Get(StorageId storage, BlockNo block, std::string* value) override {
    return GetValue(kRowsFamily, BlockKey(storage, block), value);
  }

  Status GetLeaf(StorageId storage, Slice low, std::string* value) override {
    SetLeafKey(&leaf_key_, storage, low);
    return GetValue(kKeysFamily, leaf_key_, value);
  }
  StorePlace last_place() const override { return LastDataBlock(); }

  bool FindLeafAt(StorePlace place, StorageId storage, Slice low, LeafAt* leaf) override {
    SetLeafKey(&leaf_key_, storage, low);
    block_head_.resize(leaf_key_.size() + kSstEntryHead);
    SstFirstEntry entry;
    if (poisoned() || !CopyMappedAt(place, 0, block_head_.size(), block_head_.data()) ||
        !ReadSstFirstEntry(block_head_, &entry) || entry.user_key != leaf_key_ ||
        entry.value_size > kLargestLeaf) {
      return false;
    }
    *leaf = {place, entry.value_at, entry.value_size};
    return true;
  }
  bool CopyLeafAt(const LeafAt& leaf, uint64_t at, size_t size, char* to) override {
    return !poisoned() && at <= leaf.size && size <= leaf.size - at &&
           CopyMappedAt(leaf.place, leaf.value_at + at, size, to);
  }

  Status NewLeafIterator(StorageId storage, std::unique_ptr<LeafIterator>* iterator) override {
    if (poisoned()) return MappedFileFault();
    auto it =
        std::make_unique<LeafIteratorImpl<InstanceGuard>>(InstanceGuard(instance_.get()), storage);
    OMENDB_RETURN_IF_ERROR(
        it->Start(instance_->db, instance_->handles[kKeysFamily], read_options_));
    *iterator = std::move(it);
    return Status::Ok();
  }

  Status GetMeta(Slice key, std::string* value) override {
    return GetValue(kMetaFamily, std::string(key), value);
  }

  Status NewIterator(StorageId storage, BlockNo first, BlockNo end,
                     std::unique_ptr<BlockIterator>* iterator) override {
    if (poisoned()) return MappedFileFault();
    auto it = std::make_unique<BlockIteratorImpl>(instance_.get(), storage, first, end);
    OMENDB_RETURN_IF_ERROR(it->Start(read_options_));
    *iterator = std::move(it);
    return Status::Ok();
  }

 private:
  Status Poison() {
    instance_->Poison();
    scratch_.release();  // may refer to blocks of the instance
    scratch_ = std::make_unique<Scratch>();
    return MappedFileFault();
  }

  Status OpenInstance(uint64_t min_generation) {
    instance_ = std::make_unique<Instance>();
    rocksdb::DBOptions db_options = CommonDbOptions();
    db_options.env = ReaderEnv();
    db_options.info_log = std::make_shared<NoLogger>();
    std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
    for (int family = 0; family < kFamilies; family++) {
      rocksdb::ColumnFamilyOptions options = CommonFamilyOptions(static_cast<Family>(family));
      if (family == kRowsFamily) options.merge_operator = NewAppendOperator();
      if (family == kKeysFamily) options.merge_operator = NewLeafAppendOperator();
      descriptors.emplace_back(family == kDefaultFamily
                                   ? rocksdb::kDefaultColumnFamilyName
                                   : std::string(FamilyName(static_cast<Family>(family))),
                               options);
    }
    {
      SignalBlock block;
      if (!CatchBusError([&] {
            scratch_->status = rocksdb::DB::OpenAsSecondary(db_options, path_, path_, descriptors,
                                                            &instance_->handles, &instance_->db);
          })) {
        return Poison();
      }
    }
    if (!scratch_->status.ok()) {
      instance_->db = nullptr;
      return FromRocksDb(scratch_->status, "could not open the omendb store for reading");
    }
    return CheckGenerations(min_generation);
  }

  // With a file missing a secondary opens all the same, at an older state of one family.
  Status CheckGenerations(uint64_t min_generation) {
    generation_ = 0;
    std::string value;
    bool first = true;
    for (Family family : kOurFamilies) {
      Status status = GetValue(family, std::string(kStateKey), &value);
      StoreState state;
      if (status.ok() && !state.Decode(value)) {
        return Status::Corruption("the state of the omendb store is damaged",
                                  std::string("Family \"") + FamilyName(family) + "\".");
      }
      if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
      if (state.generation < min_generation) {
        return Status::Make(
            StatusCode::kCorruption, "the omendb store is older than it should be",
            std::string("Family \"") + FamilyName(family) + "\" has generation " +
                std::to_string(state.generation) + ", expected " + std::to_string(min_generation) +
                " or later.",
            "A file of the store is missing or damaged. Restore the data directory from a "
            "backup.");
      }
      if (first || state.generation < generation_) generation_ = state.generation;
      first = false;
    }
    return Status::Ok();
  }

  Status GetValue(Family family, const std::string& key, std::string* value) {
    if (poisoned()) return MappedFileFault();
    Scratch& scratch = *scratch_;
    if (!CatchBusError([&] {
          rocksdb::ColumnFamilyHandle* handle = instance_->handles[family];
          scratch.status = instance_->db->Get(read_options_, handle, key, &scratch.value);
          // Absence is proved by keys alone, so these are checked. Filters make that cheap.
          if (scratch.status.IsNotFound()) {
            scratch.status = instance_->db->Get(checked_options_, handle, key, &scratch.value);
          }
          if (!scratch.status.ok()) return;
          value->assign(scratch.value.data(), scratch.value.size());
          scratch.value.Reset();
        })) {
      return Poison();
    }
    // A value without bytes is what a fold left of a block that has no rows any more.
    if (scratch.status.ok()) return value->empty() ? NotFound() : Status::Ok();
    if (!scratch.status.IsNotFound()) return ReadError(scratch.status);
    return NotFound();
  }

  static const Status& NotFound() {
    static const Status not_found = Status::NotFound("the store has nothing under this key");
    return not_found;
  }

  const std::string path_;
  rocksdb::ReadOptions read_options_, checked_options_;
  std::string leaf_key_, block_head_;
  std::unique_ptr<Scratch> scratch_ = std::make_unique<Scratch>();
  std::unique_ptr<Instance> instance_ = std::make_unique<Instance>();
  uint64_t generation_ = 0;
};

}  // namespace

Status ReaderStore::Open(const std::string& path, uint64_t min_generation,
                         std::unique_ptr<ReaderStore>* store) {
  auto opened = std::make_unique<ReaderStoreImpl>(path);
  OMENDB_RETURN_IF_ERROR(opened->Start(min_generation));
  *store = std::move(opened);
  return Status::Ok();
}

}  // namespace omendb
