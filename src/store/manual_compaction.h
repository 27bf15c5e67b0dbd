// A compaction that somebody asked for, on a thread of its own: the owner of the store goes on
// flushing meanwhile. All calls on the owner's thread.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "store/families.h"
#include "base/pure.h"

namespace omendb {

// Keys [low, high] of a family; all of them if both are empty.
struct KeyRange {
  Family family;
  std::string low, high;
};

// Whether values at the bottom are folded again even if nothing lies above them.
enum class BottomLevel { kRewrite, kKeep };

class ManualCompaction {
 public:
  // passed_blocks: how many damaged blocks compactions have stepped over so far. The database and
  // its handles stay open until the compaction has ended.
  ManualCompaction(rocksdb::DB* db, const std::vector<rocksdb::ColumnFamilyHandle*>& handles,
                   std::vector<KeyRange> ranges, BottomLevel bottom,
                   std::function<uint64_t()> passed_blocks);
  ~ManualCompaction() { Stop(); }
  ManualCompaction(const ManualCompaction&) = delete;
  ManualCompaction& operator=(const ManualCompaction&) = delete;

  bool ended() const { return ended_.load(std::memory_order_acquire); }
  // Makes it end soon, with kUnavailable.
  void Cancel() { canceled_.store(true); }
  void Stop() {
    Cancel();
    if (thread_.joinable()) thread_.join();
  }
  Status Wait();

 private:
  void Run();
  Status Compact(const KeyRange& range);

  rocksdb::DB* const db_;
  const std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  const std::vector<KeyRange> ranges_;
  const BottomLevel bottom_;
  const std::function<uint64_t()> passed_blocks_;
  std::atomic<bool> canceled_{false}, ended_{false};
  Status status_;  // the thread's until ended_
  std::thread thread_;
};

}  // namespace omendb
