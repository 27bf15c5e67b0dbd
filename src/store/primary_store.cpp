#include "store/primary_store.h"

#include <dirent.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/pure.h"
#include "key/block_key.h"
#include "key/leaf_key.h"
#include "store/block_merge.h"
#include "store/damaged_block.h"
#include "store/families.h"
#include "store/flush_files.h"
#include "store/leaf_files.h"
#include "store/leaf_iterator_impl.h"
#include "store/leaf_merge.h"
#include "store/manual_compaction.h"
#include "store/primary_file_system.h"
#include "store/rocksdb_status.h"
#include "store/signal_mask.h"
#include "store/store_state.h"
#include "store/unresolved_property.h"

namespace omendb {
namespace {

constexpr uint64_t kMinLevelBase = 64ull << 20;
// A flush adds a file with nothing but the state to level 0 beside its changes, hence twice what
// measurements with one file a flush recommend.
constexpr int kLevel0Trigger = 4;

// RocksDB's own messages go to the server log: what it calls an error as a warning, the rest only
// for whoever looks closely.
class ServerLogger : public rocksdb::Logger {
 public:
  explicit ServerLogger(std::function<void(LogLevel, const std::string&)> log)
      : rocksdb::Logger(rocksdb::WARN_LEVEL), log_(std::move(log)) {}
  using rocksdb::Logger::Logv;
  __attribute__((format(printf, 3, 0))) void Logv(const rocksdb::InfoLogLevel level,
                                                  const char* format, va_list arguments) override {
    if (!log_ || level < GetInfoLogLevel()) return;
    char text[2048];
    vsnprintf(text, sizeof(text), format, arguments);
    log_(level >= rocksdb::ERROR_LEVEL && level != rocksdb::HEADER_LEVEL ? LogLevel::kWarning
                                                                         : LogLevel::kDebug,
         std::string("RocksDB: ") + text);
  }
  __attribute__((format(printf, 2, 0))) void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::INFO_LEVEL, format, arguments);
  }

 private:
  const std::function<void(LogLevel, const std::string&)> log_;
};

// What happens on RocksDB's own threads: decides what a failure there means.
class Listener : public rocksdb::EventListener {
 public:
  Listener(const StoreOptions& options, std::shared_ptr<PrimaryFileSystem> file_system)
      : log_(options.log),
        failure_point_(options.failure_point),
        file_system_(std::move(file_system)) {}

  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    Reach("compaction_begin");
  }
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo&) override {
    Reach("compaction_file");
  }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    Reach("compaction_end");
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    // A failed compaction changed nothing. RocksDB tries it again a second later: when the disk has
    // room again that succeeds, and a damaged file must not stop the flushes of all others.
    if (reason == rocksdb::BackgroundErrorReason::kCompaction) {
      if (!PassDamage(*error)) {
        Report("compaction failed and will be tried again: " + error->ToString());
      }
      *error = rocksdb::Status::OK();
      return;
    }
    Report("the store will be opened anew: " + error->ToString());
    must_reopen_.store(true);
  }
  // Recovery is opening anew, on the owner's thread, not a thread that polls for free space.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }

  // True if what could not be read is a damaged row block or leaf, and can be read from now on.
  bool PassDamage(const rocksdb::Status& error) {
    std::string damage;
    if (!error.IsCorruption() || !PassDamagedBlock(error.ToString(), file_system_.get(), &damage)) {
      return false;
    }
    passed_blocks_.fetch_add(1);
    Report("a damaged row block or index leaf is kept as it is: " + damage);
    return true;
  }

  uint64_t passed_blocks() const { return passed_blocks_.load(); }
  bool must_reopen() const { return must_reopen_.load(); }
  void set_must_reopen(bool value) { must_reopen_.store(value); }

 private:
  // Compaction is tried again every second: say the same thing once a minute at most.
  void Report(const std::string& text) {
    const auto now = std::chrono::steady_clock::now();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (text == last_text_ && now < last_time_ + std::chrono::minutes(1)) return;
      last_text_ = text;
      last_time_ = now;
    }
    if (log_) log_(LogLevel::kWarning, text);
  }

  void Reach(const char* point) const {
    if (failure_point_) failure_point_(point);
  }

  const std::function<void(LogLevel, const std::string&)> log_;
  const std::function<void(const char*)> failure_point_;
  const std::shared_ptr<PrimaryFileSystem> file_system_;
  std::mutex mutex_;  // guards the next two
  std::string last_text_;
  std::chrono::steady_clock::time_point last_time_;
  std::atomic<uint64_t> passed_blocks_{0};
  std::atomic<bool> must_reopen_{false};
};

Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return Status::Ok();
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT;
  return Status::Make(full ? StatusCode::kDiskFull : StatusCode::kIoError,
                      "could not create the directory of the omendb store",
                      "\"" + path + "\": " + strerror(error));
}

// Calls visit(name, path) for each plain name in the directory.
template <typename Visit>
void VisitDirectory(const std::string& path, Visit visit) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") visit(name, path + "/" + name);
  }
  closedir(directory);
}

std::string DescribeState(const StoreState& state) {
  char lsn[32];
  snprintf(lsn, sizeof(lsn), "%X/%X", static_cast<unsigned>(state.lsn >> 32),
           static_cast<unsigned>(state.lsn));
  return "of generation " + std::to_string(state.generation) + " and LSN " + lsn;
}

// A larger store has larger files: as many as this, each of them costs every session a descriptor
// and a mapping.
constexpr uint64_t kFilesOfLargeStore = 512;
// Of the files that a process may open; a session has others open as well.
constexpr uint64_t kFileLimitShare = 2;

// Families with much in them.
constexpr Family kDataFamilies[] = {kRowsFamily, kKeysFamily};

// Leaves are settled if so many times what lies above the bottom is as much as the bottom: so many
// times is an entry written at most before it comes there.
constexpr uint64_t kSettleShare = 64;
using Clock = std::chrono::steady_clock;

// Of a leaf, in as many files. With more RocksDB folds it.
constexpr int kMostLeafParts = 64;

// The primary maps no files. A leaf that is damaged is told from its own checksum, and must not
// stop who comes to its neighbours.
struct PassGuard {
  template <typename Call>
  Status operator()(Call call) {
    call();
    return Status::Ok();
  }
  bool lost() const { return false; }
  bool Pass(const rocksdb::Status& status) { return listener->PassDamage(status); }
  Listener* listener;
};

class PrimaryStoreImpl : public PrimaryStore {
 public:
  explicit PrimaryStoreImpl(const StoreOptions& options)
      : options_(options),
        staging_(options.path + "/" + kStagingFolder),
        file_system_(std::make_shared<PrimaryFileSystem>(options.path, options.failure_point)),
        env_(rocksdb::NewCompositeEnv(file_system_)),
        listener_(std::make_shared<Listener>(options, file_system_)),
        filter_(NewGarbageFilter(options)),
        leaf_filter_(NewLeafFilter(options)),
        best_efforts_(options.best_efforts_recovery) {}

  ~PrimaryStoreImpl() override { Close(); }

  Status Start() {
    if (options_.oracle == nullptr) {
      return Status::Make(StatusCode::kInvalidArgument, "the store needs an oracle");
    }
    RaiseFileLimit();
    OMENDB_RETURN_IF_ERROR(MakeDirectory(options_.path));
    OMENDB_RETURN_IF_ERROR(MakeDirectory(staging_));
    // RocksDB starts an empty log at every opening, and one that is killed leaves it behind.
    // Readers open them all. Nothing is ever written to them, so the empty ones say nothing.
    VisitDirectory(options_.path, [](const std::string& name, const std::string& path) {
      struct stat info;
      const bool is_log = name.ends_with(".log") && stat(path.c_str(), &info) == 0;
      if (is_log && info.st_size == 0) unlink(path.c_str());
    });
    VisitDirectory(staging_,
                   [](const std::string&, const std::string& path) { unlink(path.c_str()); });
    OMENDB_RETURN_IF_ERROR(OpenDatabase());
    return best_efforts_ ? SettleCopy() : Status::Ok();
  }

  Lsn durable_lsn() const override { return state_.lsn; }
  uint64_t generation() const override { return state_.generation; }
  std::string path() const override { return options_.path; }

  Status LoadMeta(const std::function<Status(Slice key, Slice value)>& visit) override {
    OMENDB_RETURN_IF_ERROR(CheckOpen());
    std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(rocksdb::ReadOptions(), handles_[kMetaFamily]));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      const Slice key = FromRocksDb(it->key());
      if (key == kStateKey) continue;
      OMENDB_RETURN_IF_ERROR(visit(key, FromRocksDb(it->value())));
    }
    return it->status().ok() ? Status::Ok() : ReadError(it->status());
  }

  Status NewFlush(std::unique_ptr<Flush>* flush) override;
  Status Ingest(FlushFiles* files, const StoreState& state, bool has_leaves);

  // Not folded: whoever flushes sees what it folds itself.
  Status GetLeaf(StorageId storage, Slice low, std::string* value) override {
    OMENDB_RETURN_IF_ERROR(CheckOpen());
    const std::string key = LeafKey(storage, low);
    rocksdb::Status s = GetLeafParts(key, value);
    for (int i = 0; i < kMostPasses && listener_->PassDamage(s); i++) s = GetLeafParts(key, value);
    if (s.IsNotFound()) return Status::NotFound("the store has no leaf under this key");
    return s.ok() ? Status::Ok() : ReadError(s);
  }

  Status NewLeafIterator(StorageId storage, std::unique_ptr<LeafIterator>* iterator) override {
    OMENDB_RETURN_IF_ERROR(CheckOpen());
    auto it = std::make_unique<LeafIteratorImpl<PassGuard>>(PassGuard{listener_.get()}, storage);
    OMENDB_RETURN_IF_ERROR(it->Start(db_, handles_[kKeysFamily], rocksdb::ReadOptions()));
    *iterator = std::move(it);
    return Status::Ok();
  }

  CompactionDebt debt() const override {
    CompactionDebt debt;
    if (db_ == nullptr) return debt;
    for (Family family : kDataFamilies) {
      std::string level0;
      if (db_->GetProperty(handles_[family], "rocksdb.num-files-at-level0", &level0)) {
        debt.level0_files = std::max(debt.level0_files, atoi(level0.c_str()));
      }
      uint64_t pending = 0;
      db_->GetIntProperty(handles_[family],
                          rocksdb::DB::Properties::kEstimatePendingCompactionBytes, &pending);
      debt.pending_bytes += pending;
    }
    uint64_t running = 0;
    db_->GetIntProperty(rocksdb::DB::Properties::kNumRunningCompactions, &running);
    debt.running = running > 0;
    return debt;
  }

  Status StartCompaction(StorageId storage, FullXid unresolved_below) override;
  bool CompactionEnded(Status* status) override {
    if (compaction_ != nullptr && !compaction_->ended()) return false;
    *status = compaction_ != nullptr ? compaction_->Wait() : Status::Ok();
    compaction_.reset();
    return true;
  }
  void CancelCompaction() override {
    if (compaction_ != nullptr) compaction_->Cancel();
  }
  Status OldestUnresolved(StorageId storage, FullXid* oldest) override {
    std::vector<KeyRange> ranges;
    return FindUnresolved(storage, 0, oldest, &ranges);
  }

  bool SettleLeaves() override;
  bool TakeSettled() override;
  bool must_reopen() const override { return listener_->must_reopen(); }

  size_t obsolete_files() const override { return file_system_->queued_files(); }
  uint64_t obsolete_bytes() const override { return file_system_->queued_bytes(); }
  size_t UnlinkObsoleteFiles() override {
    if (file_system_->queued_files() == 0) return 0;
    Reach("before_unlink");
    return file_system_->UnlinkQueued();
  }

  uint64_t ApproximateSize(StorageId storage) const override {
    uint64_t size = 0;
    if (db_ == nullptr) return 0;
    for (Family family : kDataFamilies) size += FamilySize(family, storage);
    return size;
  }

  std::string Describe() const override {
    if (db_ == nullptr) return "the store is not open: " + open_error_.message();
    std::string text;
    for (Family family : kOurFamilies) {
      std::string levels;
      db_->GetProperty(handles_[family], "rocksdb.levelstats", &levels);
      text += std::string(FamilyName(family)) + "\n" + levels;
    }
    return text;
  }

 private:
  std::unique_ptr<ManualCompaction> NewCompaction(std::vector<KeyRange> ranges,
                                                  BottomLevel bottom) {
    return std::make_unique<ManualCompaction>(
        db_, handles_, std::move(ranges), bottom,
        [listener = listener_] { return listener->passed_blocks(); });
  }
  rocksdb::Status GetLeafParts(const std::string& key, std::string* value) {
    rocksdb::PinnableSlice parts[kMostLeafParts];
    rocksdb::GetMergeOperandsOptions options;
    options.expected_max_number_of_operands = kMostLeafParts;
    int count = 0;
    const rocksdb::Status s = db_->GetMergeOperands(rocksdb::ReadOptions(), handles_[kKeysFamily],
                                                    key, parts, &options, &count);
    if (s.IsIncomplete()) {
      return db_->Get(rocksdb::ReadOptions(), handles_[kKeysFamily], key, value);
    }
    if (!s.ok()) return s;
    value->clear();
    for (int i = 0; i < count; i++) value->append(parts[i].data(), parts[i].size());
    return count > 0 ? s : rocksdb::Status::NotFound();
  }
  Status FindUnresolved(StorageId storage, FullXid below, FullXid* oldest,
                        std::vector<KeyRange>* ranges);
  uint64_t FamilySize(Family family, StorageId storage) const {
    uint64_t size = 0;
    if (storage == 0) {
      db_->GetIntProperty(handles_[family], rocksdb::DB::Properties::kLiveSstFilesSize, &size);
      return size;
    }
    const std::string low = LeafKey(storage, ""), high = LeafKey(storage + 1, "");
    const rocksdb::Range range(low, high);
    rocksdb::SizeApproximationOptions options;
    options.include_files = true;
    if (!db_->GetApproximateSizes(options, handles_[family], &range, 1, &size).ok()) return 0;
    return size;
  }
  // What follows a family's size.
  struct Sizes {
    uint64_t level_base = 0, file_size = 0;
  };
  Sizes SizesFor(uint64_t family_size) const {
    return {std::max(kMinLevelBase, family_size / 10),
            std::max(options_.target_file_size, family_size / kFilesOfLargeStore)};
  }
  Status CheckOpen() const { return db_ != nullptr ? Status::Ok() : open_error_; }
  Status OpenDatabase();
  Status ReadStates();
  Status SettleCopy();
  void Close();
  void AdjustSizes();
  void WarnOfFileLimit();
  void Reach(const char* point) const {
    if (options_.failure_point) options_.failure_point(point);
  }
  void Log(LogLevel level, const std::string& text) const {
    if (options_.log) options_.log(level, text);
  }

  const StoreOptions options_;
  const std::string staging_;
  const std::shared_ptr<PrimaryFileSystem> file_system_;
  const std::unique_ptr<rocksdb::Env> env_;
  const std::shared_ptr<Listener> listener_;
  const std::unique_ptr<rocksdb::CompactionFilter> filter_, leaf_filter_;

  rocksdb::Options family_options_[kFamilies];
  rocksdb::DB* db_ = nullptr;  // nullptr after a failed attempt to open it anew: see open_error_
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  Status open_error_;
  bool best_efforts_;
  std::unique_ptr<ManualCompaction> compaction_, settling_;
  StoreState state_;
  bool unsettled_ = true;  // leaves were written that SettleLeaves has not looked at
  Clock::time_point settling_since_, settle_again_;
  Sizes sizes_[kFamilies];
  uint64_t flushes_ = 0;
};

Status PrimaryStoreImpl::OpenDatabase() {
  SignalBlock block;
  rocksdb::DBOptions db_options = CommonDbOptions();
  db_options.env = env_.get();
  db_options.create_if_missing = true;
  db_options.create_missing_column_families = true;
  db_options.best_efforts_recovery = best_efforts_;
  db_options.info_log = std::make_shared<ServerLogger>(options_.log);
  db_options.listeners.push_back(listener_);
  db_options.max_background_compactions = std::max(1, options_.background_jobs);
  db_options.max_background_flushes = 1;

  // Before the open, so that no options file has to be written after it.
  uint64_t size = 0;
  VisitDirectory(options_.path, [&](const std::string& name, const std::string& path) {
    struct stat info;
    if (name.ends_with(".sst") && stat(path.c_str(), &info) == 0) size += info.st_size;
  });
  // How much of it is of which family is not known; most are rows. That of the keys is adjusted
  // after the first flush.
  sizes_[kRowsFamily] = SizesFor(size);
  sizes_[kKeysFamily] = SizesFor(0);

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (int family = 0; family < kFamilies; family++) {
    rocksdb::ColumnFamilyOptions options = CommonFamilyOptions(static_cast<Family>(family));
    options.level_compaction_dynamic_level_bytes = true;
    options.max_bytes_for_level_base = kMinLevelBase;
    options.target_file_size_base = options_.target_file_size;
    options.level0_file_num_compaction_trigger = kLevel0Trigger;
    if (family == kRowsFamily) {
      options.merge_operator = NewFoldOperator(options_);
      options.compaction_filter = filter_.get();
      options.sst_partitioner_factory = NewStoragePartitioner();
      options.table_properties_collector_factories.push_back(NewUnresolvedCollector());
    }
    if (family == kKeysFamily) {
      options.merge_operator = NewLeafFoldOperator(options_);
      options.compaction_filter = leaf_filter_.get();
      options.sst_partitioner_factory = NewStoragePartitioner();
    }
    if (family == kRowsFamily || family == kKeysFamily) {
      options.max_bytes_for_level_base = sizes_[family].level_base;
      options.target_file_size_base = sizes_[family].file_size;
    }
    family_options_[family] = rocksdb::Options(db_options, options);
    descriptors.emplace_back(family == kDefaultFamily
                                 ? rocksdb::kDefaultColumnFamilyName
                                 : std::string(FamilyName(static_cast<Family>(family))),
                             options);
  }
  // What an ingest took back that seemed to fail may be live; the open queues anew what is not.
  file_system_->ForgetQueued();
  const rocksdb::Status s =
      rocksdb::DB::Open(db_options, options_.path, descriptors, &handles_, &db_);
  if (!s.ok()) {
    db_ = nullptr;
    handles_.clear();
    open_error_ = FromRocksDb(s, "could not open the omendb store");
    return open_error_;
  }
  listener_->set_must_reopen(false);
  Status status = ReadStates();
  if (!status.ok()) {
    Close();
    open_error_ = status;
  }
  return status;
}

Status PrimaryStoreImpl::ReadStates() {
  StoreState oldest, newest;
  bool first = true;
  for (Family family : kOurFamilies) {
    StoreState state;
    std::string value;
    const rocksdb::Status s =
        db_->Get(rocksdb::ReadOptions(), handles_[family], ToRocksDb(kStateKey), &value);
    if (!s.ok() && !s.IsNotFound()) return ReadError(s);
    if (s.ok() && !state.Decode(value)) {
      return Status::Corruption("the state of the omendb store is damaged",
                                std::string("Family \"") + FamilyName(family) + "\".");
    }
    if (first || state.lsn < oldest.lsn) oldest.lsn = state.lsn;
    if (first || state.generation < oldest.generation) oldest.generation = state.generation;
    newest.lsn = std::max(newest.lsn, state.lsn);
    newest.generation = std::max(newest.generation, state.generation);
    first = false;
  }
  if (oldest.generation != newest.generation) {
    const std::string ages = "The oldest is " + DescribeState(oldest) + ", the newest " +
                             DescribeState(StoreState{newest.lsn, newest.generation}) + ".";
    if (!best_efforts_) {
      return Status::Corruption("families of the omendb store differ in age", ages);
    }
    Log(LogLevel::kWarning, "families of the copied store differ in age. " + ages);
  }
  const Lsn least_lsn = std::max(options_.least_lsn, state_.lsn);
  const uint64_t least_generation = std::max(options_.least_generation, state_.generation);
  if (oldest.lsn < least_lsn || newest.generation < least_generation) {
    return Status::Make(
        StatusCode::kCorruption, "the omendb store is older than it has to be",
        "It is " + DescribeState(StoreState{oldest.lsn, newest.generation}) +
            ", but was at least " + DescribeState(StoreState{least_lsn, least_generation}) + ".",
        "Its files are missing or were replaced by older ones. Restore the data directory from a "
        "backup.");
  }
  state_.lsn = oldest.lsn;
  state_.generation = newest.generation;
  return Status::Ok();
}

// Makes the families of a copy equally new. From then on it is opened like any other store.
Status PrimaryStoreImpl::SettleCopy() {
  std::unique_ptr<Flush> flush;
  OMENDB_RETURN_IF_ERROR(NewFlush(&flush));
  OMENDB_RETURN_IF_ERROR(flush->Commit(state_.lsn));
  best_efforts_ = false;
  return Status::Ok();
}

Status PrimaryStoreImpl::StartCompaction(StorageId storage, FullXid unresolved_below) {
  OMENDB_RETURN_IF_ERROR(CheckOpen());
  if (compaction_ != nullptr) {
    return Status::Make(StatusCode::kInvalidArgument, "a compaction is under way already");
  }
  std::vector<KeyRange> ranges;
  if (unresolved_below != 0) {
    FullXid oldest;
    OMENDB_RETURN_IF_ERROR(FindUnresolved(storage, unresolved_below, &oldest, &ranges));
  } else if (storage != 0) {
    for (Family family : kDataFamilies) {
      ranges.push_back({family, LeafKey(storage, ""), LeafKey(storage + 1, "")});
    }
  } else {
    for (Family family : kOurFamilies) ranges.push_back({family, "", ""});
  }
  unsettled_ = unsettled_ || settling_ != nullptr;
  settling_.reset();
  compaction_ = NewCompaction(std::move(ranges), BottomLevel::kRewrite);
  return Status::Ok();
}

bool PrimaryStoreImpl::SettleLeaves() {
  if (db_ == nullptr || compaction_ != nullptr || !unsettled_) return false;
  if (settling_ != nullptr || Clock::now() < settle_again_) return false;
  unsettled_ = false;
  rocksdb::ColumnFamilyMetaData family;
  db_->GetColumnFamilyMetaData(handles_[kKeysFamily], &family);
  uint64_t above = 0, bottom = 0;  // of the levels with anything in them
  for (const rocksdb::LevelMetaData& level : family.levels) {
    if (level.size == 0) continue;
    above += bottom;
    bottom = level.size;
  }
  if (above * kSettleShare < bottom || above == 0) return false;
  settling_ = NewCompaction({{kKeysFamily, "", ""}}, BottomLevel::kKeep);
  settling_since_ = Clock::now();
  return true;
}

bool PrimaryStoreImpl::TakeSettled() {
  if (settling_ == nullptr || !settling_->ended()) return false;
  settling_.reset();
  const auto now = Clock::now();
  settle_again_ = now + std::chrono::duration_cast<Clock::duration>(options_.settle_pause *
                                                                    (now - settling_since_));
  return true;
}

// The keys of the storage, cut to where its files have unresolved versions of xids below `below`.
Status PrimaryStoreImpl::FindUnresolved(StorageId storage, FullXid below, FullXid* oldest,
                                        std::vector<KeyRange>* ranges) {
  OMENDB_RETURN_IF_ERROR(CheckOpen());
  const std::string low = BlockKey(storage, 0), high = BlockKey(storage + 1, 0);
  // A compaction may end between the two questions. Every file of the later answer must be in the
  // earlier one.
  for (int attempt = 0; attempt < 100; attempt++) {
    rocksdb::TablePropertiesCollection properties;
    const rocksdb::Status s = db_->GetPropertiesOfAllTables(handles_[kRowsFamily], &properties);
    if (!s.ok()) return ReadError(s);
    std::map<std::string, FullXid> unresolved;  // by name without the folder
    for (const auto& [path, of_file] : properties) {
      unresolved[path.substr(path.rfind('/') + 1)] = UnresolvedIn(*of_file, storage);
    }
    rocksdb::ColumnFamilyMetaData files;
    db_->GetColumnFamilyMetaData(handles_[kRowsFamily], &files);
    *oldest = kNoUnresolvedXid;
    std::map<std::string, std::string> found;  // smallest -> largest key
    bool complete = true;
    for (const rocksdb::LevelMetaData& level : files.levels) {
      for (const rocksdb::SstFileMetaData& file : level.files) {
        if (file.largestkey < low || file.smallestkey >= high) continue;
        const auto known = unresolved.find(file.relative_filename);
        complete = complete && known != unresolved.end();
        if (!complete) break;
        *oldest = std::min(*oldest, known->second);
        if (known->second >= below) continue;
        std::string& largest = found[std::max(low, file.smallestkey)];
        largest = std::max(largest, std::min(high, file.largestkey));
      }
    }
    if (!complete) continue;
    for (const auto& [from, to] : found) {
      if (!ranges->empty() && from <= ranges->back().high) {
        ranges->back().high = std::max(ranges->back().high, to);
      } else {
        ranges->push_back({kRowsFamily, from, to});
      }
    }
    return Status::Ok();
  }
  return Status::Make(StatusCode::kUnavailable, "the files of the omendb store change too fast");
}

void PrimaryStoreImpl::Close() {
  if (db_ == nullptr) return;
  SignalBlock block;
  // Its end stays to be seen.
  if (compaction_ != nullptr) compaction_->Stop();
  settling_.reset();
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    if (!db_->DestroyColumnFamilyHandle(handle).ok()) continue;
  }
  handles_.clear();
  const rocksdb::Status s = db_->Close();
  if (!s.ok()) Log(LogLevel::kWarning, "closing the store: " + s.ToString());
  delete db_;
  db_ = nullptr;
}

// Keeps all but a tenth of a family in the bottom level whatever its size, in as few levels as
// possible: each level above it is one more operand to read. And keeps the number of files in
// bounds.
void PrimaryStoreImpl::AdjustSizes() {
  const auto is_off = [](uint64_t now, uint64_t wanted) {
    return wanted >= now + now / 4 || (wanted != now && wanted <= now / 2);
  };
  for (Family family : kDataFamilies) {
    const Sizes wanted = SizesFor(FamilySize(family, 0));
    if (!is_off(sizes_[family].level_base, wanted.level_base) &&
        !is_off(sizes_[family].file_size, wanted.file_size)) {
      continue;
    }
    const rocksdb::Status s = db_->SetOptions(
        handles_[family], {{"max_bytes_for_level_base", std::to_string(wanted.level_base)},
                           {"target_file_size_base", std::to_string(wanted.file_size)}});
    if (s.ok()) {
      sizes_[family] = wanted;
    } else {
      Log(LogLevel::kWarning,
          "could not change the sizes of the store's levels and files: " + s.ToString());
    }
  }
}

// The owner of the log says the same thing once a minute at most.
void PrimaryStoreImpl::WarnOfFileLimit() {
  uint64_t files = 0;
  for (Family family : kOurFamilies) {
    rocksdb::ColumnFamilyMetaData metadata;
    db_->GetColumnFamilyMetaData(handles_[family], &metadata);
    files += metadata.file_count;
  }
  const uint64_t limit = FileLimit();
  if (files <= limit / kFileLimitShare) return;
  Log(LogLevel::kWarning,
      "there are " + std::to_string(files) + " files, and every process that reads them may open " +
          std::to_string(limit) + ": raise the limit of open files (ulimit -n) of the server");
}

class FlushImpl : public PrimaryStore::Flush {
 public:
  FlushImpl(PrimaryStoreImpl* store, std::unique_ptr<FlushFiles> files)
      : store_(store), files_(std::move(files)) {}

  Status AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value) override {
    return files_->AddBlock(storage, block, new_block, value);
  }
  Status PutLeaf(StorageId storage, Slice low, Slice value) override {
    has_leaves_ = true;
    return files_->PutLeaf(storage, low, value);
  }
  Status MergeLeaf(StorageId storage, Slice low, Slice deltas) override {
    has_leaves_ = true;
    return files_->MergeLeaf(storage, low, deltas);
  }
  Status DeleteLeaf(StorageId storage, Slice low) override {
    has_leaves_ = true;
    return files_->DeleteLeaf(storage, low);
  }
  void AddLeafFiles(StorageId storage, uint32_t files) override {
    has_leaves_ = true;
    std::vector<std::string> paths;
    for (uint32_t i = 0; i < files; i++) {
      paths.push_back(LeafFiles::Path(store_->path(), storage, i));
    }
    files_->AddLeafFiles(storage, std::move(paths));
  }
  void PutMeta(Slice key, Slice value) override { files_->PutMeta(key, value); }
  void DeleteMeta(Slice key) override { files_->DeleteMeta(key); }
  void DropStorage(StorageId storage) override { files_->DropStorage(storage); }
  uint64_t bytes_written() const override { return files_->bytes_written(); }
  Status Commit(Lsn lsn) override {
    StoreState state;
    state.lsn = std::max(lsn, store_->durable_lsn());
    state.generation = store_->generation() + 1;
    return store_->Ingest(files_.get(), state, has_leaves_);
  }

 private:
  PrimaryStoreImpl* const store_;
  const std::unique_ptr<FlushFiles> files_;
  bool has_leaves_ = false;
};

Status PrimaryStoreImpl::NewFlush(std::unique_ptr<Flush>* flush) {
  if (db_ == nullptr || listener_->must_reopen()) {
    Close();
    OMENDB_RETURN_IF_ERROR(OpenDatabase());
  }
  auto files =
      std::make_unique<FlushFiles>(staging_ + "/" + std::to_string(flushes_++) + "-",
                                   sizes_[kRowsFamily].file_size, &family_options_, &handles_);
  *flush = std::make_unique<FlushImpl>(this, std::move(files));
  return Status::Ok();
}

Status PrimaryStoreImpl::Ingest(FlushFiles* files, const StoreState& state, bool has_leaves) {
  OMENDB_RETURN_IF_ERROR(files->Finish(state));
  Reach("flush_after_files");
  SignalBlock block;
  Reach("flush_before_ingest");
  file_system_->Hold();
  const rocksdb::Status s = db_->IngestExternalFiles(files->IngestArgs());
  if (!s.ok()) {
    listener_->set_must_reopen(true);
    return WriteError(s);
  }
  file_system_->Release();
  Reach("flush_after_ingest");
  state_ = state;
  unsettled_ = unsettled_ || has_leaves;
  AdjustSizes();
  WarnOfFileLimit();
  return Status::Ok();
}

}  // namespace

Status PrimaryStore::Open(const StoreOptions& options, std::unique_ptr<PrimaryStore>* store) {
  auto opened = std::make_unique<PrimaryStoreImpl>(options);
  OMENDB_RETURN_IF_ERROR(opened->Start());
  *store = std::move(opened);
  return Status::Ok();
}

Status PrimaryStore::Compact(StorageId storage) {
  OMENDB_RETURN_IF_ERROR(StartCompaction(storage, 0));
  Status status;
  while (!CompactionEnded(&status)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return status;
}

}  // namespace omendb
