#include "worker/store_worker.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "pg/base_backup.h"
#include "pg/failure_point.h"
#include "pg/leaf_memory.h"
#include "pg/read_view.h"
#include "pg/restored_backup.h"
#include "pg/shared_state.h"
#include "pg/shutdown.h"
#include "pg/store_failure.h"
#include "pg/store_request.h"
#include "pg/unlogged_reset.h"
#include "pg/write_buffer.h"
#include "store/leaf_files.h"
#include "store/leaf_map.h"
#include "store/signal_mask.h"
#include "worker/cpu_share.h"
#include "worker/flush.h"
#include "worker/leaf_loader.h"
#include "worker/session_wakeup.h"
#include "worker/storage_sweep.h"
#include "worker/store_job_runner.h"
#include "worker/store_marker.h"

extern "C" {
#include "access/xlog.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PGDLLEXPORT void omendb_store_worker_main(Datum);
}

namespace omendb {
namespace {

constexpr long kIdleMs = 100;
constexpr int kRetryMs = 1000;
constexpr int kSettleAfterMs = 5000;  // of no flush
constexpr int kReopenMs = 5000;

// Runs C++ code that may throw; what it throws becomes a Status.
template <typename Callable>
Status Caught(Callable&& callable) noexcept {
  try {
    return callable();
  } catch (const std::bad_alloc&) {
    return Status::Make(StatusCode::kOutOfMemory, "out of memory");
  } catch (const std::exception& e) {
    return Status::Internal(e.what());
  } catch (...) {
    return Status::Internal("unknown C++ exception");
  }
}

class StoreWorker {
 public:
  void Run();
  static void AtExit(int, Datum);

 private:
  bool Open();
  bool DropUnloggedRows();
  bool FlushNext();
  bool FlushStoragesIfDropped();
  void Reclaim();
  bool Flush(const Segment* segment, uint64_t sequence);
  Status Commit(SegmentFlush* flush);
  void IngestLeaves();
  void AdvanceDurableLsn();
  void Recycle(int index);
  void WaitForReaders(uint64_t epoch);
  void EverySecond();
  void UnlinkFiles();
  void PublishDebt();
  bool SomebodyWaits();
  void WorkOnJob();
  bool LoadLeaves();
  void UpdateSizes(const std::vector<StorageId>& storages);
  void ReportWriteFailure(const Status& status);
  void DrainLog();
  bool IsRepeated(const std::string& text);
  bool MayExit();
  void Pause(long ms, Wait wait);

  StoreContext context_;
  LeafLoader leaf_loader_;
  std::unique_ptr<PrimaryStore> store_;
  StoreJobRunner job_{&context_.oracle};
  CpuShare cpu_share_;
  std::string reported_;                       // last failure in the log: each is reported once
  std::map<std::string, TimestampTz> warned_;  // when, by how the warning begins
  TimestampTz last_second_ = 0;
  TimestampTz last_flush_ = 0;  // of a segment; at first when the store was opened
  TimestampTz retry_at_ = 0;
  bool wants_flush_ = false;  // one with nothing in it
};

StoreWorker* g_worker = nullptr;

void Report(int elevel, const Status& status, const char* what) {
  int sqlstate = status.code() == StatusCode::kDiskFull ? ERRCODE_DISK_FULL : ERRCODE_IO_ERROR;
  ereport(elevel, (errcode(sqlstate), errmsg("%s: %s", what, status.message().c_str()),
                   status.detail().empty() ? 0 : errdetail("%s", status.detail().c_str()),
                   status.hint().empty() ? 0 : errhint("%s", status.hint().c_str())));
}

// The store survives being left like this; the postmaster is gone and nobody waits for us.
void DieWithPostmaster() { _exit(2); }

void StoreWorker::Pause(long ms, Wait wait) {
  int events =
      WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, ms, WaitEventOf(wait));
  // A latch that is set again and again hides the event.
  if ((events & WL_POSTMASTER_DEATH) != 0 || !PostmasterIsAlive()) DieWithPostmaster();
  ResetLatch(MyLatch);
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
    LoadFailurePoint();
  }
}

// A disk that stays full makes RocksDB repeat itself with every attempt.
bool StoreWorker::IsRepeated(const std::string& text) {
  constexpr size_t kSameBeginning = 40;
  constexpr int kQuietMs = 60 * 1000;
  constexpr size_t kMostRemembered = 64;
  TimestampTz now = GetCurrentTimestamp();
  std::string beginning = text.substr(0, kSameBeginning);
  auto it = warned_.find(beginning);
  if (it != warned_.end() && !TimestampDifferenceExceeds(it->second, now, kQuietMs)) return true;
  if (warned_.size() >= kMostRemembered) warned_.clear();
  warned_[beginning] = now;
  return false;
}

void StoreWorker::DrainLog() {
  for (const auto& [level, text] : context_.TakeLog()) {
    if (level == LogLevel::kWarning && IsRepeated(text)) continue;
    int elevel = level == LogLevel::kWarning ? WARNING : level == LogLevel::kInfo ? LOG : DEBUG1;
    ereport(elevel, (errmsg_internal("omendb store: %s", text.c_str())));
  }
}

// Before anybody can write new ones.
bool StoreWorker::DropUnloggedRows() {
  return !g_shared->drop_unlogged || (Flush(nullptr, 0) && ForgetUnloggedReset());
}

// What a worker before this one left there may be of a flush that it did not finish.
void ForgetLeafMaps() {
  for (uint32 i = 0; i < StorageEntryLimit(); i++) {
    StorageEntry* entry = StorageEntryAt(i);
    if (entry->leaves.map != 0) LeafMap(SharedLeafDirectory(), &entry->leaves).Forget();
  }
}

bool StoreWorker::Open() {
  std::vector<StorageMeta> storages;
  StorageId next_id = 1;
  ForgetLeafMaps();
  Status status = Caught([&] { return OpenStore(&context_, &store_, &storages, &next_id); });
  if (status.ok() && !LoadStorages(storages, next_id)) {
    status = Status::Make(StatusCode::kLimitExceeded,
                          "the store has more storages than omendb.max_storages allows",
                          std::to_string(storages.size()) + " storages",
                          "Raise \"omendb.max_storages\" and restart the server.");
  }
  DrainLog();
  if (status.ok() && !DropUnloggedRows()) {
    status = Status::IoError("could not drop the rows of unlogged tables from the omendb store");
  }
  if (!status.ok()) {
    SignalBlock block;
    store_.reset();
    PublishStoreFailure(status);
    if (reported_ != status.message()) Report(LOG, status, "could not open the omendb store");
    reported_ = status.message();
  } else {
    reported_.clear();
    last_flush_ = GetCurrentTimestamp();
    g_shared->durable_lsn = store_->durable_lsn();
    g_shared->generation = store_->generation();
    g_shared->store_state = StoreState::kOpen;
    if (g_shared->from_backup) ForgetRestoredBackup();
    g_shared->from_backup = false;
    for (const StorageMeta& meta : storages) UpdateSizes({meta.identity.id});
    ereport(LOG, (errmsg("omendb store is open: %zu storages, generation %llu, durable to %X/%X",
                         storages.size(), static_cast<unsigned long long>(store_->generation()),
                         LSN_FORMAT_ARGS(store_->durable_lsn()))));
  }
  ConditionVariableBroadcast(&g_shared->store_changed);
  return status.ok();
}

void StoreWorker::ReportWriteFailure(const Status& status) {
  if (status.ok()) {
    if (g_shared->write_failure != 0) {
      PublishWriteFailure(status);
      ereport(LOG, (errmsg("omendb store can be written again")));
    }
    reported_.clear();
    return;
  }
  bool changed = g_shared->write_failure != static_cast<uint32_t>(status.code());
  PublishWriteFailure(status);
  if (changed || reported_ != status.message()) {
    Report(WARNING, status, "could not write to the omendb store, will try again");
  }
  reported_ = status.message();
  // Who waits for room learns why there is none.
  ConditionVariableBroadcast(&g_shared->buffer_space);
}

Status StoreWorker::Commit(SegmentFlush* flush) {
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  Status status = Caught([&] { return flush->Collect(); });
  LWLockRelease(StorageTableLock());
  if (status.ok()) {
    // The WAL of the segment was flushed by whoever froze or judged it; storages may have changed
    // since. In recovery this makes sure that the next one gets at least as far.
    if (flush->wal_needed() != 0) XLogFlush(flush->wal_needed());
    // Compaction may begin with their rows as soon as they are in the store.
    context_.NoteLive(flush->touched());
    status = Caught([&] {
      SignalBlock block;
      return flush->Write(store_.get(), context_.oracle);
    });
  }
  if (status.ok()) {
    status = Caught([&] { return WriteStoreMarker(store_->durable_lsn(), store_->generation()); });
  }
  DrainLog();
  if (!status.ok()) return status;

  context_.NoteDropped(flush->dropped());
  if (!flush->dropped().empty()) leaf_loader_.NoteRoom();
  g_shared->counters.swept_storages += flush->dropped().size();
  LWLockAcquire(StorageTableLock(), LW_EXCLUSIVE);
  flush->Publish();
  LWLockRelease(StorageTableLock());
  g_shared->durable_lsn = store_->durable_lsn();
  g_shared->generation = store_->generation();
  FailurePoint("after_publish");
  g_shared->counters.flushed_bytes += flush->bytes();
  g_shared->counters.flushed_blocks += flush->blocks();
  UpdateSizes(flush->touched());
  ereport(DEBUG1, (errmsg_internal("omendb flushed %llu blocks in %llu bytes, durable to %X/%X",
                                   static_cast<unsigned long long>(flush->blocks()),
                                   static_cast<unsigned long long>(flush->bytes()),
                                   LSN_FORMAT_ARGS(store_->durable_lsn()))));
  return status;
}

bool StoreWorker::Flush(const Segment* segment, uint64_t sequence) {
  SegmentFlush flush(segment, sequence);
  Status status = Commit(&flush);
  ReportWriteFailure(status);
  if (status.ok() && segment != nullptr) {
    g_shared->counters.flushes++;
    last_flush_ = GetCurrentTimestamp();
  }
  return status.ok();
}

// The files of a new index. If they cannot be taken that is an error of who built it: nobody
// else waits for them.
void StoreWorker::IngestLeaves() {
  LeafFilesToIngest files;
  if (!TakeLeafIngest(&files)) return;
  ErrorAtFailurePoint("leaves_taken");
  SegmentFlush flush(nullptr, g_shared->flushed_sequence);
  flush.AddLeafFiles(files);
  Status status = Commit(&flush);
  if (!status.ok()) LeafFiles::Remove(StorePath(), files.storage, files.files);
  EndLeafIngest(status);
}

// True if there is more to do.
bool StoreWorker::LoadLeaves() {
  bool more = false;
  // What it would learn may be older than the flush that comes next.
  if (store_->must_reopen()) return false;
  Status status = Caught([&] {
    SignalBlock block;
    return leaf_loader_.Step(store_.get(), &more);
  });
  if (!status.ok()) Report(WARNING, status, "could not read leaves of an index");
  return more;
}

// The oldest live segment, if it may go to the store.
bool StoreWorker::FlushNext() {
  uint64_t list = g_shared->live;
  int count = LiveCount(list);
  if (count == 0) return false;
  int index = LiveAt(list, count - 1);
  SegmentSlot* slot = &g_shared->segments[index];
  if (slot->state != SegmentState::kJudged) return false;
  Segment segment = SegmentAt(index);
  if (!Flush(&segment, slot->sequence)) {
    retry_at_ = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kRetryMs);
    return false;
  }
  Recycle(index);
  return true;
}

// A checkpoint that has nothing of ours to flush makes the store newer all the same: a copy made
// from that checkpoint on can be told from an older one.
void StoreWorker::AdvanceDurableLsn() {
  uint64_t flushed = g_shared->flushed_sequence;
  if (DurableOnceFlushed(flushed) <= store_->durable_lsn()) return;
  if (!Flush(nullptr, flushed)) {
    retry_at_ = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kRetryMs);
  }
  WakeGuard();
}

void StoreWorker::Recycle(int index) {
  SegmentSlot* slot = &g_shared->segments[index];
  g_shared->flushed_sequence = slot->sequence.load();
  WakeGuard();

  // Take it off the end of the list, which others only push to the front of.
  uint64_t list = g_shared->live;
  uint64_t shorter;
  do {
    uint64_t count = static_cast<uint64_t>(LiveCount(list)) - 1;
    uint64_t kept = list & ((uint64_t{1} << (8 * (count + 1))) - 1);
    shorter = (kept & ~uint64_t{0xff}) | count;
  } while (!g_shared->live.compare_exchange_weak(list, shorter));

  WaitForReaders(++g_shared->list_epoch);
  FailurePoint("before_segment_reset");
  SegmentAt(index).Reset();
  slot->state = SegmentState::kFree;
  ConditionVariableBroadcast(&g_shared->buffer_space);
}

void StoreWorker::WaitForReaders(uint64_t epoch) {
  int slots = SessionSlotCount();
  for (int i = 0; i < slots; i++) {
    for (;;) {
      // Once more: a checkpoint may have found no free segment.
      WakeGuard();
      uint64_t pin = g_shared->sessions[i].pin.load();
      if (pin == kNoPin || pin >= epoch) break;
      Pause(1, Wait::kPins);
    }
  }
}

// Rows of dropped storages leave with the next flush; if nobody writes there is none.
bool StoreWorker::FlushStoragesIfDropped() {
  if (g_shared->drops_pending == 0) return false;
  uint64_t flushed = g_shared->flushed_sequence;
  bool due = false;
  LWLockAcquire(StorageTableLock(), LW_SHARED);
  for (uint32 i = 0; i < StorageEntryLimit() && !due; i++) {
    const StorageEntry* entry = StorageEntryAt(i);
    due = entry->state == StorageEntry::kDropped && entry->drop_sequence <= flushed;
  }
  LWLockRelease(StorageTableLock());
  return due && Flush(nullptr, flushed);
}

void StoreWorker::Reclaim() {
  uint64_t requested = g_shared->reclaim_requested;
  if (requested == g_shared->reclaim_done) {
    if (StorageDropsPileUp() && g_shared->write_failure == 0) FlushStoragesIfDropped();
    return;
  }
  if (g_shared->reclaim_sweep.exchange(false)) SweepStorages(SweepScope::kAll);
  FlushStoragesIfDropped();
  g_shared->reclaim_done = requested;
  ConditionVariableBroadcast(&g_shared->store_changed);
}

void StoreWorker::UpdateSizes(const std::vector<StorageId>& storages) {
  for (StorageId storage : storages) {
    uint64_t bytes = store_->ApproximateSize(storage);
    LWLockAcquire(StorageTableLock(), LW_SHARED);
    if (StorageEntry* entry = FindStorage(storage)) entry->bytes = bytes;
    LWLockRelease(StorageTableLock());
  }
}

void StoreWorker::PublishDebt() {
  CompactionDebt debt = store_->debt();
  g_shared->level0_files = static_cast<uint64_t>(debt.level0_files);
  g_shared->pending_bytes = debt.pending_bytes;
  g_shared->compacting = debt.running;
  g_shared->wanted_xids = context_.oracle.wanted();
  // Level-0 files are what reads pay for; pending bytes are what disk space pays for.
  constexpr int kFreeFiles = 8;
  constexpr uint64_t kFreeBytes = 8ull << 30;
  uint64_t delay = 0;
  if (debt.level0_files > kFreeFiles) {
    delay += static_cast<uint64_t>(debt.level0_files - kFreeFiles) * 4000;
  }
  if (debt.pending_bytes > kFreeBytes) delay += (debt.pending_bytes - kFreeBytes) >> 20;
  g_shared->delay_us_per_mb = static_cast<uint32_t>(std::min<uint64_t>(delay, 500 * 1000));
}

// For this process; or will, if compaction does not get on.
bool StoreWorker::SomebodyWaits() {
  return LiveCount(g_shared->live) > 1 || g_shared->delay_us_per_mb > 0 ||
         IsAsked(g_shared->job.request) || IsAsked(g_shared->leaf_ingest.request) ||
         leaf_loader_.is_loading() || g_shared->reclaim_requested != g_shared->reclaim_done;
}

void StoreWorker::UnlinkFiles() {
  g_shared->obsolete_files = store_->obsolete_files();
  g_shared->obsolete_bytes = store_->obsolete_bytes();
  if (g_shared->obsolete_files == 0 || BaseBackupIsRunning()) return;
  uint64_t bytes = g_shared->obsolete_bytes;
  LWLockAcquire(StoreOpeners(), LW_EXCLUSIVE);
  size_t unlinked = store_->UnlinkObsoleteFiles();
  LWLockRelease(StoreOpeners());
  g_shared->counters.unlinked_files += unlinked;
  NoteUnlinked(unlinked > 0 ? bytes : 0, g_shared->generation);
}

void StoreWorker::EverySecond() {
  TimestampTz now = GetCurrentTimestamp();
  if (!TimestampDifferenceExceeds(last_second_, now, 1000)) return;
  last_second_ = now;
  // Sessions read the new files from then on, and let the old ones go. And what failed and made the
  // store wait to be opened anew need not have been a write that somebody tries again.
  wants_flush_ = store_->TakeSettled() || store_->must_reopen() || wants_flush_;
  if (wants_flush_ && now >= retry_at_) {
    wants_flush_ = !Flush(nullptr, g_shared->flushed_sequence);
    if (wants_flush_) retry_at_ = TimestampTzPlusMilliseconds(now, kRetryMs);
  }
  UnlinkFiles();
  WakeSessionsThatHoldFiles();
  FlushStoragesIfDropped();
  if (TimestampDifferenceExceeds(last_flush_, now, kSettleAfterMs)) store_->SettleLeaves();
  std::string text = store_->Describe();
  LWLockAcquire(StoreTextLock(), LW_EXCLUSIVE);
  strlcpy(g_shared->store_description, text.c_str(), sizeof(g_shared->store_description));
  LWLockRelease(StoreTextLock());
}

// One step of what a session or the startup process asked for.
void StoreWorker::WorkOnJob() {
  if (ShutdownRequestPending) job_.Cancel();
  Status status = Caught([&] { return job_.Step(store_.get()); });
  if (!status.ok()) job_.Fail(status);
  if (job_.has_new_files()) {
    // Whoever reads from now on reads the new files, and those who read the old ones are waited
    // for: they might still look transactions up.
    if (Flush(nullptr, g_shared->flushed_sequence)) {
      WaitForReaders(++g_shared->list_epoch);
    } else {
      job_.Fail(Status::IoError("could not write to the omendb store", reported_));
    }
  }
  DrainLog();
  if (Status failure; job_.TakeEnd(&failure) && !failure.ok()) {
    Report(WARNING, failure, "could not compact the omendb store");
  }
}

// The guard closes the buffer and waits for us; where no guard admitted writers, nobody waits.
bool StoreWorker::MayExit() {
  if (!ShutdownRequestPending) return false;
  if (!g_shared->armed) {
    LWLockAcquire(FreezeLock(), LW_EXCLUSIVE);
    if (!g_shared->armed) g_shared->store_exiting = true;
    LWLockRelease(FreezeLock());
  }
  return g_shared->store_exiting;
}

void StoreWorker::Run() {
  TimestampTz reopen_at = 0;
  while (!MayExit()) {
    if (store_ == nullptr) {
      bool held = HeldAtFailurePoint("before_store_open");
      if (!held && GetCurrentTimestamp() >= reopen_at && !Open()) {
        reopen_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kReopenMs);
      }
      if (store_ == nullptr) Pause(kIdleMs, Wait::kWorkerIdle);
      continue;
    }
    cpu_share_.Update(SomebodyWaits());
    // One at a time: under load there is always a next one, and what follows must not starve.
    bool may_write = GetCurrentTimestamp() >= retry_at_;
    bool flushed = may_write && FlushNext();
    if (may_write) AdvanceDurableLsn();
    PublishDebt();
    context_.oracle.ExchangeWithGuard();
    IngestLeaves();
    bool loading = LoadLeaves();
    WorkOnJob();
    Reclaim();
    EverySecond();
    DrainLog();
    Pause(flushed || loading ? 0 : job_.PauseMs(kIdleMs), Wait::kWorkerIdle);
  }
  // The drop of an unlogged storage is in no WAL: without this the next start would find its rows.
  if (store_ != nullptr) FlushStoragesIfDropped();
  // RocksDB's threads must be gone before C++ destroys its statics.
  SignalBlock block;
  store_.reset();
}

// Exit status 1 is no crash to the postmaster: it would go on with checkpoints that nobody flushes
// for.
void StoreWorker::AtExit(int code, Datum) {
  g_shared->store_latch = nullptr;
  if (code == 0) return;
  if (!PostmasterIsAlive()) DieWithPostmaster();
  LWLockReleaseAll();
  if (g_shared->armed && !WriteBufferIsEmpty()) {
    ereport(PANIC, (errmsg("omendb store worker stopped while the write buffer was not empty")));
  }
  g_shared->store_state = StoreState::kStarting;
  if (g_worker != nullptr && g_worker->store_ != nullptr) {
    SignalBlock block;
    g_worker->store_.reset();
  }
}

}  // namespace
}  // namespace omendb

void omendb_store_worker_main(Datum) {
  using omendb::g_shared;
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  before_shmem_exit(omendb::StoreWorker::AtExit, 0);
  g_shared->store_latch = MyLatch;
  g_shared->store_exiting = false;
  AskAgain(&g_shared->job.request);
  AskAgain(&g_shared->leaf_ingest.request);
  omendb::LoadFailurePoint();
  omendb::g_worker = new omendb::StoreWorker();
  omendb::g_worker->Run();
  // The postmaster starts a worker that ends with status 0 never again.
  proc_exit(omendb::ServerIsStopping() ? 0 : 1);
}
