// The SSTs of one flush, built beside the database and then ingested all at once.
//
// No two files of a family overlap: RocksDB would put all of them into level 0 otherwise. Rows and
// index leaves come in key order and are cut into files along the way; a long enough run of new
// blocks (or whole leaves) of one storage becomes files of its own, which overlap nothing in the
// database either if all in it is new, and go straight to the bottom level, never to be written
// again. Shorter runs travel with the changes around them.
#pragma once

#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "store/families.h"
#include "store/store_state.h"
#include "base/pure.h"

namespace omendb {

class FlushFiles {
 public:
  // Files are named `prefix` and a number. All pointers outlive this object.
  FlushFiles(std::string prefix, uint64_t target_file_size,
             const rocksdb::Options (*options)[kFamilies],
             const std::vector<rocksdb::ColumnFamilyHandle*>* handles);
  ~FlushFiles();  // removes what was not ingested
  FlushFiles(const FlushFiles&) = delete;
  FlushFiles& operator=(const FlushFiles&) = delete;

  Status AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value);
  Status PutLeaf(StorageId storage, Slice low, Slice value);
  Status MergeLeaf(StorageId storage, Slice low, Slice deltas);
  Status DeleteLeaf(StorageId storage, Slice low);
  // Files of leaf_files.h, from now on this object's. REQUIRES: nothing else of the storage.
  void AddLeafFiles(StorageId storage, std::vector<std::string> paths);
  void PutMeta(Slice key, Slice value) { meta_[std::string(key)] = std::string(value); }
  void DeleteMeta(Slice key) { meta_[std::string(key)] = std::nullopt; }
  void DropStorage(StorageId storage) { dropped_.insert(storage); }

  // Finishes all files; `state` goes into every family. The files are on disk when it returns.
  Status Finish(const StoreState& state);
  std::vector<rocksdb::IngestExternalFileArg> IngestArgs() const;
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  struct File {
    Family family;
    std::string path, smallest, largest;  // user keys
  };
  enum class Kind { kPut, kMerge, kDelete };
  struct PendingPut {
    std::string key, value;
  };
  // Where the keys of one family have come to.
  struct Output {
    std::unique_ptr<rocksdb::SstFileWriter> writer;
    size_t file = 0;         // in files_
    bool puts_only = false;  // what the open file holds
    std::string last_key;
    std::vector<PendingPut> pending;  // run of puts that is still too short for a file
    uint64_t pending_bytes = 0;
  };

  Status StartFile(Family family);
  Status FinishFile(Family family);
  Status Check(const rocksdb::Status& status);
  Status Add(Family family, const std::string& key, Kind kind, Slice value);
  Status AddLeaf(StorageId storage, Slice low, Kind kind, Slice value);
  Status Write(Family family, Slice key, Kind kind, Slice value);
  Status WritePending(Family family);
  Status WriteState(Family family, const StoreState& state);
  Status WriteMeta(const StoreState& state);
  Status WriteTombstones(Family family);
  bool KeysBetween(Family family, const std::string& low, const std::string& high) const;

  const std::string prefix_;
  const uint64_t target_file_size_;
  const rocksdb::Options (*const options_)[kFamilies];
  const std::vector<rocksdb::ColumnFamilyHandle*>* const handles_;

  std::vector<File> files_;
  Output outputs_[kFamilies];
  std::map<std::string, std::optional<std::string>> meta_;
  std::set<StorageId> dropped_;
  uint64_t bytes_written_ = 0;
};

}  // namespace omendb
