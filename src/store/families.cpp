#include "store/families.h"

#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_partitioner.h>
#include <rocksdb/table.h>
#include <sys/resource.h>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr uint64_t kOwnFileSize = 4ull << 20;

class StoragePartitioner : public rocksdb::SstPartitioner {
 public:
  const char* Name() const override { return "omendb.storage"; }
  rocksdb::PartitionerResult ShouldPartition(const rocksdb::PartitionerRequest& request) override {
    const bool same = FromRocksDb(*request.prev_user_key).substr(0, 8) ==
                      FromRocksDb(*request.current_user_key).substr(0, 8);
    return !same && request.current_output_file_size >= kOwnFileSize ? rocksdb::kRequired
                                                                     : rocksdb::kNotRequired;
  }
  // A file that spans storages may move down as it is; it is split when it is next rewritten.
  bool CanDoTrivialMove(const rocksdb::Slice&, const rocksdb::Slice&) override { return true; }
};

class StoragePartitionerFactory : public rocksdb::SstPartitionerFactory {
 public:
  const char* Name() const override { return "omendb.storage"; }
  std::unique_ptr<rocksdb::SstPartitioner> CreatePartitioner(
      const rocksdb::SstPartitioner::Context&) const override {
    return std::make_unique<StoragePartitioner>();
  }
};

}  // namespace

const char* FamilyName(Family family) {
  static const char* const names[] = {"default", "rows", "keys", "meta"};
  return names[family];
}

void RaiseFileLimit() {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  // If it is refused, the limit is as it was; the owner warns when the files come near it.
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t FileLimit() {
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
}

std::shared_ptr<rocksdb::SstPartitionerFactory> NewStoragePartitioner() {
  return std::make_shared<StoragePartitionerFactory>();
}

rocksdb::ColumnFamilyOptions CommonFamilyOptions(Family family) {
  rocksdb::BlockBasedTableOptions table;
  // One value is a whole row block, far above the 4 kB: a block of the table holds one value, and
  // neither a cache (ours is above) nor compression (it is inside the value) belongs below.
  // An index leaf may have less than 4 kB, and two of them would share a block.
  table.block_size = family == kKeysFamily ? 1024 : 4096;
  table.format_version = 5;
  table.no_block_cache = true;
  table.enable_index_compression = false;  // so that a mapped index is used in place
  table.filter_policy.reset(rocksdb::NewRibbonFilterPolicy(10));
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kNoCompression;
  options.bottommost_compression = rocksdb::kNoCompression;
  // Nothing is ever put into a memtable; it only costs its first arena block.
  options.write_buffer_size = 64 << 10;
  options.arena_block_size = 4 << 10;
  return options;
}

rocksdb::DBOptions CommonDbOptions() {
  rocksdb::DBOptions options;
  options.max_open_files = -1;
  options.max_file_opening_threads = 1;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.track_and_verify_wals_in_manifest = false;
  options.enable_pipelined_write = false;
  return options;
}

}  // namespace omendb
