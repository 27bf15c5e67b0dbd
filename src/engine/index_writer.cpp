#include "engine/index_writer.h"

#include "engine/index_reader.h"
#include "pg/string_info.h"
#include "pg/vacuum_cost.h"
#include "pg/write_gate.h"
#include "wal/log.h"
#include "wal/records.h"

extern "C" {
#include "commands/vacuum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
void StartIndexWriter(IndexWriter* writer, Relation index, StorageId storage) {
  memset(static_cast<void*>(writer), 0, sizeof(*writer));
  writer->index = index;
  writer->storage = storage;
  initStringInfo(&writer->bytes);
}

void WriteIndexEntry(IndexWriter* writer, const IndexEntry& entry) {
  size_t bound = Segment::BoundForIndexEntry(entry);
  // A record takes a part of a segment only, for others write as well.
  if (writer->count == kIndexWriterEntries ||
      (writer->count > 0 && writer->bound + bound > WriteGateLimit() / 4)) {
    FinishIndexWriter(writer);
  }
  writer->bound += bound;
  writer->body_bound += IndexEntryBound(entry);
  IndexWriter::Item* item = &writer->items[writer->count++];
  *item = {writer->bytes.len, static_cast<int>(entry.key.size()),
           static_cast<int>(entry.payload.size()), entry.tid, entry.removed};
  appendBinaryStringInfo(&writer->bytes, entry.key.data(), item->key_size);
  appendBinaryStringInfo(&writer->bytes, entry.payload.data(), item->payload_size);
}

void FinishIndexWriter(IndexWriter* writer) {
  if (writer->count == 0) return;
  if (writer->body_bound > writer->body_size) {
    if (writer->body != nullptr) pfree(writer->body);
    writer->body_size = 2 * writer->body_bound;
    writer->body = static_cast<char*>(palloc(writer->body_size));
  }
  IndexEntry entries[kIndexWriterEntries];
  Slice bytes = SliceOf(writer->bytes);
  for (uint32 i = 0; i < writer->count; i++) {
    const IndexWriter::Item& item = writer->items[i];
    auto at = static_cast<size_t>(item.at);
    auto key_size = static_cast<size_t>(item.key_size);
    entries[i] = {bytes.substr(at, key_size), item.tid,
                  bytes.substr(at + key_size, static_cast<size_t>(item.payload_size)),
                  item.removed};
  }
  WriteTicket ticket = WriteGateEnter(writer->bound);
  LogAndApplyIndexEntries(&ticket, writer->index, writer->storage, entries, writer->count,
                          writer->body);
  WriteGateLeave(&ticket);
  resetStringInfo(&writer->bytes);
  writer->count = 0;
  writer->bound = writer->body_bound = 0;
}

void VisitIndexEntries(Relation index, StorageId storage,
                       void (*visit)(const IndexEntry& entry, void* argument), void* argument) {
  constexpr int kBatch = 512;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb index walk", ALLOCSET_SMALL_SIZES);
  IndexReader* reader = OpenIndexReader(index, storage, context);
  StringInfoData key;  // of the last entry
  initStringInfo(&key);
  IndexSpan span{Slice(), Slice(), true, false, Slice(), 0};
  for (bool complete = false; !complete;) {
    vacuum_delay_point();
    // So many entries are about what a page of a btree has.
    ChargePageRead();
    int count = ReadIndexBatch(reader, span, false, kBatch, &complete);
    for (int i = 0; i < count; i++) {
      IndexEntry entry = BatchEntry(reader, i);
      if (i == count - 1) {
        resetStringInfo(&key);
        appendBinaryStringInfo(&key, entry.key.data(), static_cast<int>(entry.key.size()));
        span.after_position = true;
        span.key = SliceOf(key);
        span.tid = entry.tid;
      }
      visit(entry, argument);
    }
  }
  pfree(key.data);
  MemoryContextDelete(context);
}

void CopyIndexEntries(Relation from_relation, StorageId from, Relation to_relation, StorageId to) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb index copy", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  IndexWriter writer;
  StartIndexWriter(&writer, to_relation, to);
  VisitIndexEntries(
      from_relation, from,
      [](const IndexEntry& entry, void* argument) {
        WriteIndexEntry(static_cast<IndexWriter*>(argument), entry);
      },
      &writer);
  FinishIndexWriter(&writer);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

}  // namespace omendb
