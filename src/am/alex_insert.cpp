// Inserting an entry, and the checks of unique indexes.
//
// A unique check looks at all entries of the key without any lock, waits for whoever may still
// decide, and only then, in the write gate and under the lock for the key, makes sure that no entry
// of the key has come since. The segments behind the active one do not change, and the store only
// gets what they hold, so a look at the active segment tells. Sessions that insert the same key
// pass that point one after the other; the later one starts again and finds the earlier one's row.
#include "am/alex.h"
#include "am/callbacks.h"
#include "pg/storage_table.h"
#include "pg/write_gate.h"
#include "store/leaf_directory.h"
#include "wal/log.h"
#include "wal/pending_entries.h"
#include "wal/records.h"

extern "C" {
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

// What a session keeps for the inserts of one statement into one index.
struct InsertState {
  const IndexCodec* codec;
  StorageId storage;
  StringInfoData key, payload;
  char* body;  // of the WAL record
  size_t body_size;
  IndexReader* reader;  // of unique indexes
  MemoryContext scratch;
  bool may_log_later;  // pending_entries.h
};

InsertState* StateOf(Relation index, Relation table, IndexInfo* info) {
  auto* state = static_cast<InsertState*>(info->ii_AmCache);
  if (state != nullptr) return state;
  MemoryContext caller = MemoryContextSwitchTo(info->ii_Context);
  state = static_cast<InsertState*>(palloc0(sizeof(InsertState)));
  state->codec = NewIndexCodec(index);
  state->storage = StorageForWrite(index);
  initStringInfo(&state->key);
  initStringInfo(&state->payload);
  state->may_log_later = IsOmendbRelation(table);
  if (index->rd_index->indisunique) {
    state->reader = OpenIndexReader(index, state->storage, info->ii_Context);
  }
  state->scratch = AllocSetContextCreate(info->ii_Context, "alex insert", ALLOCSET_SMALL_SIZES);
  MemoryContextSwitchTo(caller);
  info->ii_AmCache = state;
  return state;
}

// Another stripe for each key: the lock is held for a look into memory and the insert.
LWLock* KeyLock(StorageId storage, Slice key) {
  return StripeLock(storage, static_cast<BlockNo>(HashKey(key)));
}

// What a look at the entries of a key said.
enum class KeyCheck { kUnique, kConflict, kWait, kAgain };
struct KeyLook {
  KeyFingerprint seen;  // what the active segment said of the key before
  bool found_own;       // UNIQUE_CHECK_EXISTING: the entry that is checked is there
  // kWait:
  TransactionId xid;
  uint32 token;
};

// Whether the entry is still there: VACUUM takes it away before its TID may mean another row.
bool StillThere(IndexReader* reader, const IndexSpan& key_span, TidNumber tid) {
  IndexSpan span = key_span;
  span.after_position = tid > 0;
  span.tid = tid - 1;
  bool complete;
  return ReadIndexBatch(reader, span, false, 1, &complete) == 1 && BatchEntry(reader, 0).tid == tid;
}

// As nbtree's _bt_check_unique. span: all entries of the key.
KeyCheck LookAtKey(IndexReader* reader, IndexSpan span, Relation table, ItemPointer own,
                   IndexUniqueCheck check, KeyLook* look) {
  constexpr int kBatch = 16;
  SnapshotData dirty;
  InitDirtySnapshot(dirty);
  look->found_own = false;
  WatchKey(reader, span.key);
  for (bool complete = false; !complete;) {
    int count = ReadIndexBatch(reader, span, false, kBatch, &complete);
    if (!span.after_position) {
      look->seen = BatchFingerprint(reader);
      WatchKey(reader, Slice());
    }
    span.after_position = true;
    for (int i = 0; i < count; i++) {
      span.tid = BatchEntry(reader, i).tid;
      ItemPointerData tid = NumberToTid(span.tid);
      if (check == UNIQUE_CHECK_EXISTING && ItemPointerEquals(&tid, own)) {
        look->found_own = true;
        continue;
      }
      if (!table_index_fetch_tuple_check(table, &tid, &dirty, nullptr)) continue;
      if (check == UNIQUE_CHECK_PARTIAL) return KeyCheck::kConflict;
      look->xid = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
      look->token = dirty.speculativeToken;
      if (TransactionIdIsValid(look->xid)) return KeyCheck::kWait;
      // The row to be inserted may be dead itself: CREATE INDEX CONCURRENTLY.
      tid = *own;
      if (!table_index_fetch_tuple_check(table, &tid, SnapshotSelf, nullptr)) {
        return KeyCheck::kUnique;
      }
      return StillThere(reader, span, span.tid) ? KeyCheck::kConflict : KeyCheck::kAgain;
    }
  }
  return KeyCheck::kUnique;
}

[[noreturn]] void RaiseDuplicate(Relation index, Relation table, Datum* values, bool* isnull) {
  // Report conflicts of serializable transactions that the violation would hide.
  CheckForSerializableConflictIn(index, nullptr, InvalidBlockNumber);
  char* key = BuildIndexValueDescription(index, values, isnull);
  ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                  errmsg("duplicate key value violates unique constraint \"%s\"",
                         RelationGetRelationName(index)),
                  key != nullptr ? errdetail("Key %s already exists.", key) : 0,
                  errtableconstraint(table, RelationGetRelationName(index))));
  pg_unreachable();
}

void WaitFor(const KeyLook& look, Relation index, ItemPointer own) {
  if (look.token != 0) {
    SpeculativeInsertionWait(look.xid, look.token);
  } else {
    XactLockTableWait(look.xid, index, own, XLTW_InsertIndex);
  }
}

// Waits until the key can be inserted, or raises. False: there may be a conflict (PARTIAL).
bool CheckUnique(InsertState* state, Relation index, Relation table, Datum* values, bool* isnull,
                 ItemPointer own, IndexUniqueCheck check, KeyFingerprint* seen) {
  // A buffer ends with a zero byte that does not count. With it, a key stands behind all its
  // entries and before every other key.
  Slice key = SliceOf(state->key);
  IndexSpan span{key, Slice(key.data(), key.size() + 1), false, false, key, 0};
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    KeyLook look;
    switch (LookAtKey(state->reader, span, table, own, check, &look)) {
      case KeyCheck::kConflict:
        if (check == UNIQUE_CHECK_PARTIAL) return false;
        RaiseDuplicate(index, table, values, isnull);
      case KeyCheck::kWait:
        WaitFor(look, index, own);
        continue;
      case KeyCheck::kAgain:
        continue;
      case KeyCheck::kUnique:
        break;
    }
    if (check == UNIQUE_CHECK_EXISTING && !look.found_own) {
      ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                      errmsg("failed to re-find tuple within index \"%s\"",
                             RelationGetRelationName(index)),
                      errhint("This may be because of a non-immutable index expression."),
                      errtableconstraint(table, RelationGetRelationName(index))));
    }
    *seen = look.seen;
    return true;
  }
}

}  // namespace

bool alex_insert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation table,
                 IndexUniqueCheck check, bool, IndexInfo* info) {
  (void)GetCurrentTransactionId();
  InsertState* state = StateOf(index, table, info);
  MemoryContext caller = MemoryContextSwitchTo(state->scratch);
  bool has_null = EncodeIndexTuple(state->codec, values, isnull, &state->key, &state->payload);
  CheckEntrySize(index, SliceOf(state->key), SliceOf(state->payload));
  bool checked = check != UNIQUE_CHECK_NO && (!has_null || index->rd_index->indnullsnotdistinct);
  IndexEntry entry{SliceOf(state->key), TidToNumber(*tid), SliceOf(state->payload), false};
  size_t bound = IndexEntryBound(entry);
  if (bound > state->body_size) {
    state->body = static_cast<char*>(MemoryContextAlloc(info->ii_Context, 2 * bound));
    state->body_size = 2 * bound;
  }

  // A key with a NULL conflicts with nothing: as unique as one that was looked for and not found.
  bool is_unique = check != UNIQUE_CHECK_NO;
  for (;;) {
    KeyFingerprint seen{};
    bool must_stand = false;  // nothing may have come since the check
    if (checked) {
      is_unique = CheckUnique(state, index, table, values, isnull, tid, check, &seen);
      if (check == UNIQUE_CHECK_EXISTING) break;
      must_stand = is_unique;
    }
    WriteTicket ticket = WriteGateEnter(Segment::BoundForIndexEntry(entry));
    LWLock* lock = nullptr;
    if (checked) {
      lock = KeyLock(state->storage, entry.key);
      LWLockAcquire(lock, LW_EXCLUSIVE);
    }
    bool stands = !must_stand || CurrentFingerprint(state->storage, entry.key) == seen;
    if (stands) {
      if (state->may_log_later) {
        ApplyIndexEntryAndLogLater(&ticket, index, state->storage, entry, state->body);
      } else {
        LogAndApplyIndexEntries(&ticket, index, state->storage, &entry, 1, state->body);
      }
    }
    if (lock != nullptr) LWLockRelease(lock);
    WriteGateLeave(&ticket);
    if (stands) break;
  }
  MemoryContextSwitchTo(caller);
  MemoryContextReset(state->scratch);
  return is_unique;
}

}  // namespace omendb
