#include "am/dead_entries.h"

#include <algorithm>

#include "am/alex.h"
#include "am/callbacks.h"
#include "mvcc/visibility.h"
#include "pg/write_gate.h"
#include "wal/log.h"
#include "wal/records.h"

extern "C" {
#include "access/parallel.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

namespace {
constexpr int kMostDead = 64;
}  // namespace

struct DeadEntries {
  Relation index, table;
  StorageId storage;
  StringInfoData keys;
  struct {
    int at, size;
    TidNumber tid;
  } items[kMostDead];
  int count;
};

DeadEntries* NewDeadEntries(Relation index, Relation table, StorageId storage) {
  if (table == nullptr || !IsOmendbRelation(table)) return nullptr;
  if (RecoveryInProgress() || IsInParallelMode()) return nullptr;
  auto* dead = static_cast<DeadEntries*>(palloc0(sizeof(DeadEntries)));
  dead->index = index;
  dead->table = table;
  dead->storage = storage;
  initStringInfo(&dead->keys);
  return dead;
}

void NoteDeadEntry(DeadEntries* dead, Slice key, TidNumber tid) {
  if (dead->count == kMostDead) RemoveDeadEntries(dead);
  dead->items[dead->count++] = {dead->keys.len, static_cast<int>(key.size()), tid};
  appendBinaryStringInfo(&dead->keys, key.data(), static_cast<int>(key.size()));
}

namespace {

// The newest transaction that ended one of the rows, for standbys; invalid if nobody ever saw them.
TransactionId LastToEnd(const DeadEntries& dead, const IndexEntry* entries) {
  TM_IndexDelete tids[kMostDead];
  TM_IndexStatus status[kMostDead];
  for (int i = 0; i < dead.count; i++) {
    tids[i] = {NumberToTid(entries[i].tid), static_cast<int16>(i)};
    status[i] = TM_IndexStatus{};
    status[i].knowndeletable = true;
  }
  TM_IndexDeleteOp operation{};
  operation.irel = dead.index;
  operation.ndeltids = dead.count;
  operation.deltids = tids;
  operation.status = status;
  return table_index_delete_tuples(dead.table, &operation);
}

}  // namespace

void RemoveDeadEntries(DeadEntries* dead) {
  if (dead->count == 0) return;
  IndexEntry entries[kMostDead];
  size_t bound = 0, body_bound = 0;
  for (int i = 0; i < dead->count; i++) {
    entries[i] = {Slice(dead->keys.data + dead->items[i].at,
                        static_cast<size_t>(dead->items[i].size)),
                  dead->items[i].tid, Slice(), true};
    bound += Segment::BoundForIndexEntry(entries[i]);
    body_bound += IndexEntryBound(entries[i]);
  }
  std::sort(entries, entries + dead->count, [](const IndexEntry& a, const IndexEntry& b) {
    return CompareEntries(a.key, a.tid, b.key, b.tid) < 0;
  });
  TransactionId last = LastToEnd(*dead, entries);
  auto* body = static_cast<char*>(palloc(body_bound));
  WriteTicket ticket;
  if (WriteGateTryEnter(bound, &ticket)) {
    if (TransactionIdIsValid(last)) LogIndexCleanup(dead->table, WidenXid(last) + 1);
    LogAndApplyIndexEntries(&ticket, dead->index, dead->storage, entries,
                            static_cast<uint32>(dead->count), body);
    WriteGateLeave(&ticket);
  }
  pfree(body);
  dead->count = 0;
  resetStringInfo(&dead->keys);
}

}  // namespace omendb
