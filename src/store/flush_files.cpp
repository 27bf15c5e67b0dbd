#include "store/flush_files.h"

#include <rocksdb/db.h>
#include <unistd.h>

#include "base/pure.h"
#include "key/block_key.h"
#include "store/rocksdb_status.h"

namespace omendb {
namespace {

// A run of new blocks of this size is worth files of its own.
constexpr uint64_t kOwnFileBytes = 4ull << 20;

std::string StorageBound(StorageId storage) {
  std::string key;
  AppendBigEndian64(&key, storage);
  return key;
}

}  // namespace

FlushFiles::FlushFiles(std::string prefix, uint64_t target_file_size,
                       const rocksdb::Options (*options)[kFamilies],
                       const std::vector<rocksdb::ColumnFamilyHandle*>* handles)
    : prefix_(std::move(prefix)),
      target_file_size_(target_file_size),
      options_(options),
      handles_(handles) {}

FlushFiles::~FlushFiles() {
  writer_.reset();
  for (const File& file : files_) unlink(file.path.c_str());
}

Status FlushFiles::Check(const rocksdb::Status& status) {
  return status.ok() ? Status::Ok() : WriteError(status);
}

Status FlushFiles::StartFile(Family family) {
  files_.push_back({family, prefix_ + std::to_string(files_.size()) + ".sst", "", ""});
  // The pages stay in the cache: what was just written is what will be read first.
  writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), (*options_)[family],
                                                     (*handles_)[family],
                                                     /*invalidate_page_cache=*/false);
  return Check(writer_->Open(files_.back().path));
}

Status FlushFiles::FinishFile() {
  if (writer_ == nullptr) return Status::Ok();
  rocksdb::ExternalSstFileInfo info;
  Status status = Check(writer_->Finish(&info));  // fsyncs
  bytes_written_ += info.file_size;
  writer_.reset();
  return status;
}

Status FlushFiles::WriteRow(Slice key, bool new_block, Slice value) {
  if (writer_ == nullptr) OMENDB_RETURN_IF_ERROR(StartFile(kRowsFamily));
  File& file = files_.back();
  if (file.smallest.empty()) file.smallest = key;
  file.largest = key;
  OMENDB_RETURN_IF_ERROR(Check(new_block ? writer_->Put(ToRocksDb(key), ToRocksDb(value))
                                         : writer_->Merge(ToRocksDb(key), ToRocksDb(value))));
  return writer_->FileSize() >= target_file_size_ ? FinishFile() : Status::Ok();
}

Status FlushFiles::WritePending() {
  std::vector<PendingBlock> pending = std::move(pending_);
  pending_.clear();
  pending_bytes_ = 0;
  for (const PendingBlock& block : pending) {
    OMENDB_RETURN_IF_ERROR(WriteRow(block.key, true, block.value));
  }
  return Status::Ok();
}

Status FlushFiles::AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value) {
  const std::string key = BlockKey(storage, block);
  if (storage == 0 || key <= last_key_) {
    return Status::Make(StatusCode::kInvalidArgument, "blocks of a flush are out of order",
                        "storage " + std::to_string(storage) + ", block " + std::to_string(block));
  }
  const bool same_storage = Slice(last_key_).substr(0, 8) == Slice(key).substr(0, 8);
  last_key_ = key;

  // A file of new blocks ends with its run: beyond it lie keys that the database may have.
  if (new_blocks_only_ && (!new_block || !same_storage)) {
    OMENDB_RETURN_IF_ERROR(FinishFile());
    new_blocks_only_ = false;
  }
  if (!pending_.empty() && (!new_block || !same_storage)) OMENDB_RETURN_IF_ERROR(WritePending());
  if (new_blocks_only_ || !new_block) return WriteRow(key, new_block, value);

  pending_.push_back({key, std::string(value)});
  pending_bytes_ += value.size();
  if (pending_bytes_ < kOwnFileBytes) return Status::Ok();
  OMENDB_RETURN_IF_ERROR(FinishFile());
  new_blocks_only_ = true;
  return WritePending();
}

Status FlushFiles::WriteState(Family family, const StoreState& state) {
  OMENDB_RETURN_IF_ERROR(StartFile(family));
  OMENDB_RETURN_IF_ERROR(Check(writer_->Put(ToRocksDb(kStateKey), rocksdb::Slice(state.Encode()))));
  return FinishFile();
}

Status FlushFiles::WriteMeta(const StoreState& state) {
  OMENDB_RETURN_IF_ERROR(StartFile(kMetaFamily));
  OMENDB_RETURN_IF_ERROR(Check(writer_->Put(ToRocksDb(kStateKey), rocksdb::Slice(state.Encode()))));
  for (const auto& [key, value] : meta_) {
    if (key <= kStateKey) {
      return Status::Make(StatusCode::kInvalidArgument, "a key of meta is reserved");
    }
    OMENDB_RETURN_IF_ERROR(
        Check(value.has_value() ? writer_->Put(key, *value) : writer_->Delete(key)));
  }
  return FinishFile();
}

bool FlushFiles::RowsBetween(const std::string& low, const std::string& high) const {
  for (const File& file : files_) {
    if (file.family != kRowsFamily || file.smallest.empty()) continue;  // tombstones
    if (file.largest >= low && file.smallest < high) return true;
  }
  return false;
}

// One file for neighbouring storages as long as no rows of this flush lie in between. Rows of a
// dropped storage itself make the files overlap: then the order of the files decides, and the
// tombstones come last.
Status FlushFiles::WriteTombstones() {
  StorageId last = 0;
  for (StorageId storage : dropped_) {
    const std::string low = StorageBound(storage), high = StorageBound(storage + 1);
    if (last != 0 && RowsBetween(StorageBound(last + 1), low)) {
      OMENDB_RETURN_IF_ERROR(FinishFile());
    }
    if (writer_ == nullptr) OMENDB_RETURN_IF_ERROR(StartFile(kRowsFamily));
    OMENDB_RETURN_IF_ERROR(Check(writer_->DeleteRange(low, high)));
    last = storage;
  }
  return FinishFile();
}

Status FlushFiles::Finish(const StoreState& state) {
  OMENDB_RETURN_IF_ERROR(WritePending());
  OMENDB_RETURN_IF_ERROR(FinishFile());
  if (!dropped_.empty()) OMENDB_RETURN_IF_ERROR(WriteTombstones());
  OMENDB_RETURN_IF_ERROR(WriteState(kRowsFamily, state));
  OMENDB_RETURN_IF_ERROR(WriteState(kKeysFamily, state));
  return WriteMeta(state);
}

std::vector<rocksdb::IngestExternalFileArg> FlushFiles::IngestArgs() const {
  std::vector<rocksdb::IngestExternalFileArg> args;
  for (Family family : kOurFamilies) {
    rocksdb::IngestExternalFileArg arg;
    arg.column_family = (*handles_)[family];
    for (const File& file : files_) {
      if (file.family == family) arg.external_files.push_back(file.path);
    }
    arg.options.move_files = true;
    // The sequence number goes into the manifest only: no write into a file that is already synced.
    arg.options.write_global_seqno = false;
    args.push_back(std::move(arg));
  }
  return args;
}

}  // namespace omendb
