// The SSTs of a new index, written by the session that builds it, in the folder where the store
// worker builds its own; PrimaryStore::Flush::AddLeafFiles takes them into the database.
//
// Nothing is in the database of the index's storage, so they go straight to the bottom level.
#pragma once

#include <memory>
#include <string>

#include "base/pure.h"
#include "base/status.h"
#include "base/types.h"

namespace rocksdb {
class SstFileWriter;
}

namespace omendb {

class LeafFiles {
 public:
  // store: folder of the database.
  LeafFiles(const std::string& store, StorageId storage, uint64_t target_file_size);
  ~LeafFiles();  // removes the files, unless they were released
  LeafFiles(const LeafFiles&) = delete;
  LeafFiles& operator=(const LeafFiles&) = delete;

  // The name of one of these files.
  static std::string Path(const std::string& store, StorageId storage, uint32_t number);
  static void Remove(const std::string& store, StorageId storage, uint32_t files);

  // REQUIRES: ascending by low.
  Status Put(Slice low, Slice value);
  // Files are on disk when it returns: all that Path names, with numbers below files(). What is put
  // afterwards goes into another one.
  Status Finish();
  uint32_t files() const { return files_; }
  // They are somebody else's from now on.
  void Release() { released_ = true; }

 private:
  Status StartFile();

  const std::string store_;
  const StorageId storage_;
  const uint64_t target_file_size_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::string key_;
  uint32_t files_ = 0;
  bool released_ = false;
};

}  // namespace omendb
