#include "wal/pending_entries.h"

#include <cstring>

#include "pg/storage_directory.h"
#include "wal/log.h"
#include "wal/records.h"

extern "C" {
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// Statements that fill more indexes by turns write more records.
constexpr int kIndexes = 8;
constexpr size_t kBodyRoom = 4096;

// The entries of one index, encoded.
struct Pending {
  StorageId storage;
  uint32 count;
  size_t size;
  size_t key_size;  // of the last entry
  char key[kBodyRoom];
  char body[kBodyRoom];
};

Pending* g_pending[kIndexes];
int g_next;          // to be emptied for another index
bool g_log_at_once;  // the transaction is about to commit

void Clear(Pending* pending) {
  pending->count = 0;
  pending->size = pending->key_size = 0;
}

void Log(Pending* pending) {
  if (pending->count == 0) return;
  LogEncodedIndexEntries(pending->storage, pending->count, Slice(pending->body, pending->size));
  Clear(pending);
}

void Discard() {
  for (Pending* pending : g_pending) {
    if (pending != nullptr) Clear(pending);
  }
}

void AtTransactionEvent(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      LogPendingIndexEntries();
      // What somebody else's callback still inserts would come too late.
      g_log_at_once = true;
      break;
    default:
      Discard();
      g_log_at_once = false;
  }
}

// So what is pending is of the running subtransaction, or of those that it has committed.
void AtSubTransactionEvent(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_START_SUB) LogPendingIndexEntries();
  if (event == SUBXACT_EVENT_ABORT_SUB) Discard();
}

void RegisterOnce() {
  static bool registered = false;
  if (registered) return;
  RegisterXactCallback(AtTransactionEvent, nullptr);
  RegisterSubXactCallback(AtSubTransactionEvent, nullptr);
  registered = true;
}

// That of the index, or an empty one.
Pending* PendingOf(StorageId storage) {
  Pending* empty = nullptr;
  for (Pending*& pending : g_pending) {
    if (pending == nullptr) {
      if (empty != nullptr) break;
      RegisterOnce();
      pending = static_cast<Pending*>(MemoryContextAllocZero(TopMemoryContext, sizeof(Pending)));
    }
    if (pending->count == 0) {
      if (empty == nullptr) empty = pending;
    } else if (pending->storage == storage) {
      return pending;
    }
  }
  if (empty == nullptr) {
    empty = g_pending[g_next];
    g_next = (g_next + 1) % kIndexes;
    Log(empty);
  }
  empty->storage = storage;
  return empty;
}

}  // namespace

void ApplyIndexEntryAndLogLater(WriteTicket* ticket, Relation index, StorageId storage,
                                const IndexEntry& entry, char* body) {
  size_t bound = IndexEntryBound(entry);
  if (g_log_at_once || bound > kBodyRoom || !RelationIsPermanent(index)) {
    LogAndApplyIndexEntries(ticket, index, storage, &entry, 1, body);
    return;
  }
  Pending* pending = PendingOf(storage);
  if (pending->size + bound > kBodyRoom) Log(pending);
  char room[kIndexPrefixRoom];
  Slice prefix(room, IndexPrefix(ticket->segment, storage, entry.key, room));

  START_CRIT_SECTION();
  ApplyIndexEntries(ticket, storage, prefix, &entry, 1);
  char* end = EncodeIndexEntry(entry, Slice(pending->key, pending->key_size),
                               pending->body + pending->size);
  pending->size = static_cast<size_t>(end - pending->body);
  std::memcpy(pending->key, entry.key.data(), entry.key.size());
  pending->key_size = entry.key.size();
  pending->count++;
  END_CRIT_SECTION();
}

void LogPendingIndexEntries() {
  for (Pending* pending : g_pending) {
    if (pending != nullptr) Log(pending);
  }
}

}  // namespace omendb
