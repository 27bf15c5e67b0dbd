#include "store/leaf_files.h"

#include <rocksdb/sst_file_writer.h>
#include <unistd.h>

#include "base/pure.h"
#include "key/leaf_key.h"
#include "store/families.h"
#include "store/rocksdb_status.h"
#include "store/signal_mask.h"

namespace omendb {

LeafFiles::LeafFiles(const std::string& store, StorageId storage, uint64_t target_file_size)
    : store_(store), storage_(storage), target_file_size_(target_file_size) {}

LeafFiles::~LeafFiles() {
  writer_.reset();
  if (!released_) Remove(store_, storage_, files_);
}

void LeafFiles::Remove(const std::string& store, StorageId storage, uint32_t files) {
  for (uint32_t i = 0; i < files; i++) unlink(Path(store, storage, i).c_str());
}

std::string LeafFiles::Path(const std::string& store, StorageId storage, uint32_t number) {
  return store + "/" + kStagingFolder + "/index-" + std::to_string(storage) + "-" +
         std::to_string(number) + ".sst";
}

Status LeafFiles::StartFile() {
  SignalBlock block;
  const rocksdb::Options options(CommonDbOptions(), CommonFamilyOptions(kKeysFamily));
  // The pages stay in the cache: what was just written is what will be read first.
  writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options,
                                                     /*column_family=*/nullptr,
                                                     /*invalidate_page_cache=*/false);
  const rocksdb::Status s = writer_->Open(Path(store_, storage_, files_++));
  return s.ok() ? Status::Ok() : WriteError(s);
}

Status LeafFiles::Finish() {
  if (writer_ == nullptr) return Status::Ok();
  SignalBlock block;
  const rocksdb::Status s = writer_->Finish();  // fsyncs
  writer_.reset();
  return s.ok() ? Status::Ok() : WriteError(s);
}

Status LeafFiles::Put(Slice low, Slice value) {
  if (writer_ == nullptr) OMENDB_RETURN_IF_ERROR(StartFile());
  SetLeafKey(&key_, storage_, low);
  const rocksdb::Status s = writer_->Put(ToRocksDb(key_), ToRocksDb(value));
  if (!s.ok()) return WriteError(s);
  return writer_->FileSize() >= target_file_size_ ? Finish() : Status::Ok();
}

}  // namespace omendb
