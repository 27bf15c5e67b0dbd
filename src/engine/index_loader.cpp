#include "engine/index_loader.h"

#include <algorithm>
#include <string>

#include "block/leaf_packer.h"
#include "engine/index_writer.h"
#include "pg/guard.h"
#include "pg/leaf_ingest.h"
#include "pg/read_view.h"
#include "pg/settings.h"
#include "pg/shared_state.h"
#include "store/leaf_files.h"
#include "wal/log.h"
#include "wal/records.h"

extern "C" {
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

struct IndexLoader {
  Relation index;
  StorageId storage;
  MemoryContextCallback callback;
  LeafFiles files;
  LeafPacker leaves;
  std::string first_key, last_key;
  bool handed_over = false;

  IndexLoader(Relation relation, StorageId id, Lsn lsn)
      : index(relation),
        storage(id),
        callback{},
        files(StorePath(), id, static_cast<uint64_t>(g_target_file_size_kb) * 1024),
        leaves(lsn, [this](Slice low, Slice value) { return files.Put(low, value); }) {}
};

namespace {

// Entries of one record.
constexpr uint32 kEntriesAtOnce = 1024;
constexpr size_t kBytesAtOnce = 64 << 10;

void Delete(void* argument) {
  auto* loader = static_cast<IndexLoader*>(argument);
  if (loader->handed_over) loader->files.Release();
  delete loader;
}

// What is to be logged next.
struct LogBatch {
  Relation index;
  StorageId storage;
  IndexEntry entries[kEntriesAtOnce];
  uint32 count;
  StringInfoData bytes;  // of their keys and payloads; has room for kBytesAtOnce and one entry
  char* body;
  size_t bound;
};

void LogEntries(LogBatch* batch) {
  if (batch->count == 0) return;
  LogIndexEntries(batch->index, batch->storage, batch->entries, batch->count, batch->body);
  batch->count = 0;
  batch->bound = 0;
  resetStringInfo(&batch->bytes);
}

Slice Copy(StringInfo bytes, Slice from) {
  int at = bytes->len;
  appendBinaryStringInfo(bytes, from.data(), static_cast<int>(from.size()));
  return Slice(bytes->data + at, from.size());
}

void AddToBatch(const IndexEntry& entry, void* argument) {
  auto* batch = static_cast<LogBatch*>(argument);
  size_t bound = IndexEntryBound(entry);
  if (batch->count == kEntriesAtOnce || batch->bound + bound > kBytesAtOnce) LogEntries(batch);
  batch->bound += bound;
  Slice key = Copy(&batch->bytes, entry.key);
  batch->entries[batch->count++] = {key, entry.tid, Copy(&batch->bytes, entry.payload), false};
}

void LogContents(Relation index, StorageId storage) {
  if (!RelationIsPermanent(index)) return;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb index log", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  auto* batch = static_cast<LogBatch*>(palloc0(sizeof(LogBatch)));
  batch->index = index;
  batch->storage = storage;
  initStringInfo(&batch->bytes);
  // Slices point into it: it must not move.
  constexpr int kLargestEntry = 2 * (static_cast<int>(kMaxEntryPart) + 64);
  enlargeStringInfo(&batch->bytes, static_cast<int>(kBytesAtOnce) + kLargestEntry);
  batch->body = static_cast<char*>(palloc(kBytesAtOnce + kLargestEntry));
  VisitIndexEntries(index, storage, AddToBatch, batch);
  LogEntries(batch);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

}  // namespace

IndexLoader* StartIndexLoader(Relation index, StorageId storage, MemoryContext owner) {
  IndexLoader* loader = nullptr;
  Guarded([&] {
    // All later flushes have a larger number.
    loader = new IndexLoader(index, storage, std::max<Lsn>(1, g_shared->generation));
    return Status::Ok();
  });
  loader->callback.func = Delete;
  loader->callback.arg = loader;
  MemoryContextRegisterResetCallback(owner, &loader->callback);
  return loader;
}

void LoadIndexEntry(IndexLoader* loader, const IndexEntry& entry) {
  Guarded([&] {
    if (loader->first_key.empty()) loader->first_key.assign(entry.key);
    loader->last_key.assign(entry.key);
    return loader->leaves.Add(entry);
  });
}

void FinishIndexLoader(IndexLoader* loader) {
  Guarded([&] {
    OMENDB_RETURN_IF_ERROR(loader->leaves.Finish());
    return loader->files.Finish();
  });
  if (loader->files.files() == 0) return;
  IngestLeafFiles(loader->storage, loader->files.files(),
                  CommonKeyPrefix(loader->first_key, loader->last_key, kIndexPrefixRoom),
                  &loader->handed_over);
  LogContents(loader->index, loader->storage);
}

}  // namespace omendb
