#include "pg/segment_verdicts.h"

#include <algorithm>

extern "C" {
#include "access/clog.h"
#include "access/transam.h"
#include "utils/memutils.h"
}

namespace omendb {
namespace {

size_t Position(const XidTable& table, FullXid xid) {
  size_t mask = table.capacity - 1;
  size_t at = (xid * 0x9e3779b97f4a7c15ull >> 32) & mask;
  while (table.xids[at] != 0 && table.xids[at] != xid) at = (at + 1) & mask;
  return at;
}

bool Allocate(XidTable* table, size_t capacity) {
  constexpr int kFlags = MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO;
  table->xids = static_cast<FullXid*>(
      MemoryContextAllocExtended(CurrentMemoryContext, capacity * sizeof(FullXid), kFlags));
  table->verdicts = static_cast<Verdict*>(
      MemoryContextAllocExtended(CurrentMemoryContext, capacity * sizeof(Verdict), kFlags));
  table->capacity = capacity;
  return table->xids != nullptr && table->verdicts != nullptr;
}

void Add(XidTable* table, FullXid xid) {
  size_t at = Position(*table, xid);
  if (table->xids[at] == xid) return;
  table->xids[at] = xid;
  if (++table->count < table->capacity / 2) return;
  XidTable larger = *table;
  if (!Allocate(&larger, table->capacity * 2)) {
    FreeXids(&larger);
    table->out_of_memory = true;
    return;
  }
  for (size_t i = 0; i < table->capacity; i++) {
    if (table->xids[i] != 0) larger.xids[Position(larger, table->xids[i])] = table->xids[i];
  }
  pfree(table->xids);
  pfree(table->verdicts);
  *table = larger;
}

void CollectXid(void* context, FullXid xid, std::atomic<uint8_t>*) {
  auto* table = static_cast<XidTable*>(context);
  if (xid == table->last || table->out_of_memory) return;
  table->last = xid;
  Add(table, xid);
}

void MarkVerdict(void* context, FullXid xid, std::atomic<uint8_t>* flags) {
  const auto* table = static_cast<const XidTable*>(context);
  switch (table->verdicts[Position(*table, xid)]) {
    case Verdict::kCommitted:
      flags->fetch_or(kVersionCommitted);
      break;
    case Verdict::kAborted:
      flags->fetch_or(kVersionAborted);
      break;
    case Verdict::kUnknown:
      break;
  }
}

}  // namespace

bool CollectXids(Segment segment, XidTable* table) {
  *table = {};
  if (!Allocate(table, 1024)) table->out_of_memory = true;
  if (!table->out_of_memory) segment.VisitXids(CollectXid, table);
  if (!table->out_of_memory) return true;
  FreeXids(table);
  return false;
}

void MarkVerdicts(Segment segment, XidTable* table) { segment.VisitXids(MarkVerdict, table); }

void FreeXids(XidTable* table) {
  if (table->xids != nullptr) pfree(table->xids);
  if (table->verdicts != nullptr) pfree(table->verdicts);
  table->xids = nullptr;
  table->verdicts = nullptr;
}

Verdict VerdictInRecovery(FullXid full, XLogRecPtr* commit_lsn) {
  if (full == kFrozenXid) return Verdict::kCommitted;
  auto xid = static_cast<TransactionId>(full);
  if (!TransactionIdIsNormal(xid)) return Verdict::kUnknown;
  // More than half a lap behind: the 32-bit number would be taken for another transaction.
  uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
  if (full >= next || next - full >= (uint64{1} << 31) - 1) return Verdict::kUnknown;
  if (TransactionIdPrecedes(xid, ShmemVariableCache->oldestClogXid)) return Verdict::kUnknown;
  XLogRecPtr lsn = 0;
  switch (TransactionIdGetStatus(xid, &lsn)) {
    case TRANSACTION_STATUS_COMMITTED:
      *commit_lsn = std::max(*commit_lsn, lsn);
      return Verdict::kCommitted;
    case TRANSACTION_STATUS_ABORTED:
      return Verdict::kAborted;
    default:
      return Verdict::kUnknown;
  }
}

}  // namespace omendb
