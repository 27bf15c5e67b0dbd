#include "store/flush_files.h"

#include <rocksdb/db.h>
#include <unistd.h>

#include "base/pure.h"
#include "key/block_key.h"
#include "key/leaf_key.h"
#include "store/leaf_merge.h"
#include "store/rocksdb_status.h"

namespace omendb {
namespace {

// A run of new blocks or leaves of this size is worth files of its own.
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
  for (Output& output : outputs_) output.writer.reset();
  for (const File& file : files_) unlink(file.path.c_str());
}

Status FlushFiles::Check(const rocksdb::Status& status) {
  return status.ok() ? Status::Ok() : WriteError(status);
}

Status FlushFiles::StartFile(Family family) {
  Output& output = outputs_[family];
  output.file = files_.size();
  files_.push_back({family, prefix_ + std::to_string(files_.size()) + ".sst", "", ""});
  // The pages stay in the cache: what was just written is what will be read first.
  output.writer = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(),
                                                           (*options_)[family], (*handles_)[family],
                                                           /*invalidate_page_cache=*/false);
  return Check(output.writer->Open(files_.back().path));
}

Status FlushFiles::FinishFile(Family family) {
  Output& output = outputs_[family];
  if (output.writer == nullptr) return Status::Ok();
  rocksdb::ExternalSstFileInfo info;
  Status status = Check(output.writer->Finish(&info));  // fsyncs
  bytes_written_ += info.file_size;
  output.writer.reset();
  return status;
}

Status FlushFiles::Write(Family family, Slice key, Kind kind, Slice value) {
  Output& output = outputs_[family];
  if (output.writer == nullptr) OMENDB_RETURN_IF_ERROR(StartFile(family));
  File& file = files_[output.file];
  if (file.smallest.empty()) file.smallest = key;
  file.largest = key;
  rocksdb::SstFileWriter& writer = *output.writer;
  rocksdb::Status s;
  switch (kind) {
    case Kind::kPut:
      s = writer.Put(ToRocksDb(key), ToRocksDb(value));
      break;
    case Kind::kMerge:
      s = writer.Merge(ToRocksDb(key), ToRocksDb(value));
      break;
    case Kind::kDelete:
      s = writer.Delete(ToRocksDb(key));
      break;
  }
  OMENDB_RETURN_IF_ERROR(Check(s));
  return writer.FileSize() >= target_file_size_ ? FinishFile(family) : Status::Ok();
}

Status FlushFiles::WritePending(Family family) {
  Output& output = outputs_[family];
  std::vector<PendingPut> pending = std::move(output.pending);
  output.pending.clear();
  output.pending_bytes = 0;
  for (const PendingPut& put : pending) {
    OMENDB_RETURN_IF_ERROR(Write(family, put.key, Kind::kPut, put.value));
  }
  return Status::Ok();
}

Status FlushFiles::Add(Family family, const std::string& key, Kind kind, Slice value) {
  Output& output = outputs_[family];
  const bool same_storage = Slice(output.last_key).substr(0, 8) == Slice(key).substr(0, 8);
  const bool in_run = kind == Kind::kPut && same_storage;
  output.last_key = key;

  // A file of puts ends with its run: beyond it lie keys that the database may have.
  if (output.puts_only && !in_run) {
    OMENDB_RETURN_IF_ERROR(FinishFile(family));
    output.puts_only = false;
  }
  if (!output.pending.empty() && !in_run) OMENDB_RETURN_IF_ERROR(WritePending(family));
  if (output.puts_only || kind != Kind::kPut) return Write(family, key, kind, value);

  output.pending.push_back({key, std::string(value)});
  output.pending_bytes += value.size();
  if (output.pending_bytes < kOwnFileBytes) return Status::Ok();
  OMENDB_RETURN_IF_ERROR(FinishFile(family));
  output.puts_only = true;
  return WritePending(family);
}

Status FlushFiles::AddBlock(StorageId storage, BlockNo block, bool new_block, Slice value) {
  const std::string key = BlockKey(storage, block);
  if (storage == 0 || key <= outputs_[kRowsFamily].last_key) {
    return Status::Make(StatusCode::kInvalidArgument, "blocks of a flush are out of order",
                        "storage " + std::to_string(storage) + ", block " + std::to_string(block));
  }
  return Add(kRowsFamily, key, new_block ? Kind::kPut : Kind::kMerge, value);
}

Status FlushFiles::AddLeaf(StorageId storage, Slice low, Kind kind, Slice value) {
  const std::string key = LeafKey(storage, low);
  if (storage == 0 || key <= outputs_[kKeysFamily].last_key) {
    return Status::Make(StatusCode::kInvalidArgument, "index leaves of a flush are out of order",
                        DescribeLeafKey(key));
  }
  return Add(kKeysFamily, key, kind, value);
}

Status FlushFiles::PutLeaf(StorageId storage, Slice low, Slice value) {
  return AddLeaf(storage, low, Kind::kPut, value);
}

Status FlushFiles::MergeLeaf(StorageId storage, Slice low, Slice deltas) {
  return AddLeaf(storage, low, Kind::kMerge, deltas);
}

Status FlushFiles::DeleteLeaf(StorageId storage, Slice low) {
  return AddLeaf(storage, low, Kind::kDelete, Slice());
}

void FlushFiles::AddLeafFiles(StorageId storage, std::vector<std::string> paths) {
  // Which part of the storage each one has does not matter to the tombstones of others.
  const std::string bound = StorageBound(storage);
  for (std::string& path : paths) files_.push_back({kKeysFamily, std::move(path), bound, bound});
}

Status FlushFiles::WriteState(Family family, const StoreState& state) {
  OMENDB_RETURN_IF_ERROR(StartFile(family));
  OMENDB_RETURN_IF_ERROR(
      Check(outputs_[family].writer->Put(ToRocksDb(kStateKey), rocksdb::Slice(state.Encode()))));
  return FinishFile(family);
}

Status FlushFiles::WriteMeta(const StoreState& state) {
  OMENDB_RETURN_IF_ERROR(StartFile(kMetaFamily));
  rocksdb::SstFileWriter& writer = *outputs_[kMetaFamily].writer;
  OMENDB_RETURN_IF_ERROR(Check(writer.Put(ToRocksDb(kStateKey), rocksdb::Slice(state.Encode()))));
  for (const auto& [key, value] : meta_) {
    if (key <= kStateKey) {
      return Status::Make(StatusCode::kInvalidArgument, "a key of meta is reserved");
    }
    OMENDB_RETURN_IF_ERROR(Check(value.has_value() ? writer.Put(key, *value) : writer.Delete(key)));
  }
  return FinishFile(kMetaFamily);
}

bool FlushFiles::KeysBetween(Family family, const std::string& low, const std::string& high) const {
  for (const File& file : files_) {
    if (file.family != family || file.smallest.empty()) continue;  // tombstones
    if (file.largest >= low && file.smallest < high) return true;
  }
  return false;
}

// One file for neighbouring storages as long as no keys of this flush lie in between. Keys of a
// dropped storage itself make the files overlap: then the order of the files decides, and the
// tombstones come last.
Status FlushFiles::WriteTombstones(Family family) {
  StorageId last = 0;
  for (StorageId storage : dropped_) {
    const std::string low = StorageBound(storage), high = StorageBound(storage + 1);
    if (last != 0 && KeysBetween(family, StorageBound(last + 1), low)) {
      OMENDB_RETURN_IF_ERROR(FinishFile(family));
    }
    if (outputs_[family].writer == nullptr) OMENDB_RETURN_IF_ERROR(StartFile(family));
    OMENDB_RETURN_IF_ERROR(Check(outputs_[family].writer->DeleteRange(low, high)));
    last = storage;
  }
  return FinishFile(family);
}

Status FlushFiles::Finish(const StoreState& state) {
  for (Family family : {kRowsFamily, kKeysFamily}) {
    OMENDB_RETURN_IF_ERROR(WritePending(family));
    OMENDB_RETURN_IF_ERROR(FinishFile(family));
    // A storage is a table's or an index's; it is not known here which.
    if (!dropped_.empty()) OMENDB_RETURN_IF_ERROR(WriteTombstones(family));
    OMENDB_RETURN_IF_ERROR(WriteState(family, state));
  }
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
