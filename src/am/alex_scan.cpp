// Index scans: the ranges that the conditions leave, one batch of entries after the other.
#include "am/alex.h"
#include "am/dead_entries.h"
#include "am/index_quals.h"
#include "pg/failure_point.h"
#include "pg/shown_entries.h"

extern "C" {
#include "access/htup_details.h"
#include "access/itup.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace omendb {
namespace {

// Batches start small, for LIMIT and unique keys, and grow with the scan.
constexpr int kFirstBatch = 8;
constexpr int kLargestBatch = 512;

// A place among the entries: in which range, and at which entry.
struct Place {
  IndexRangeMark range;
  bool in_range;
  bool at_entry;       // else before the first entry of the range
  StringInfoData key;  // of the entry
  TidNumber tid;
};

struct AlexScan {
  const IndexCodec* codec;
  IndexQuals* quals;
  IndexReader* reader;  // nullptr: the index is empty for good
  DeadEntries* dead;    // nullptr: none so far, or they are left to VACUUM
  bool started;
  bool in_range;  // `range` is what the batch is from
  IndexRange range;
  bool backward;    // direction of the batch
  bool complete;    // the range has no more behind the batch
  int count, next;  // entries of the batch, the next one to look at
  int limit;
  bool shown;        // entries may be shown without a look at their rows, or at newer ones
  uint64 round;      // of the batch, if so: shown_entries.h
  bool has_current;  // current_* is the entry last given
  Place current, marked;
  bool has_mark;
  MemoryContext tuple_context;  // what xs_itup is made in
};

AlexScan* ScanOf(IndexScanDesc scan) { return static_cast<AlexScan*>(scan->opaque); }

void SavePosition(Place* place, const IndexEntry& entry) {
  resetStringInfo(&place->key);
  appendBinaryStringInfo(&place->key, entry.key.data(), static_cast<int>(entry.key.size()));
  place->tid = entry.tid;
  place->at_entry = true;
}

void ReadBatch(AlexScan* scan, const IndexSpan& span, bool backward) {
  if (scan->shown) scan->round = StartShownBatch();
  scan->count = ReadIndexBatch(scan->reader, span, backward, scan->limit, &scan->complete);
  scan->next = 0;
  scan->backward = backward;
  scan->limit = Min(scan->limit * 4, kLargestBatch);
}

IndexSpan SpanOf(const AlexScan& scan) {
  return IndexSpan{scan.range.low, scan.range.high, scan.range.high_unbounded, false, Slice(), 0};
}

// Leaves what is left of a batch unread, to be read again.
void DropBatch(AlexScan* scan) {
  scan->count = scan->next = 0;
  scan->complete = false;
}

// The next entry in the direction, wherever the last one was. False at the end.
bool NextEntry(AlexScan* scan, bool backward, IndexEntry* entry) {
  if (scan->shown && scan->next < scan->count && !MayShowFrom(scan->round)) DropBatch(scan);
  for (;;) {
    if (!scan->in_range) {
      if (!NextIndexRange(scan->quals, backward, &scan->range)) return false;
      scan->in_range = true;
      scan->current.at_entry = false;
      ReadBatch(scan, SpanOf(*scan), backward);
    } else if (scan->backward != backward || (scan->next == scan->count && !scan->complete)) {
      IndexSpan span = SpanOf(*scan);
      if (scan->current.at_entry) {
        span.after_position = true;
        span.key = SliceOf(scan->current.key);
        span.tid = scan->current.tid;
        ReadBatch(scan, span, backward);
      } else {
        // Turned round before anything of the range was given: it has nothing in this direction.
        scan->count = scan->next = 0;
        scan->backward = backward;
        scan->complete = true;
      }
    }
    if (scan->next < scan->count) {
      *entry = BatchEntry(scan->reader, scan->next++);
      SavePosition(&scan->current, *entry);
      return true;
    }
    if (scan->complete) scan->in_range = false;
  }
}

// The tuple for an index-only scan.
void ShowTuple(IndexScanDesc scan, const IndexEntry& entry) {
  AlexScan* state = ScanOf(scan);
  MemoryContextReset(state->tuple_context);
  MemoryContext caller = MemoryContextSwitchTo(state->tuple_context);
  Datum values[INDEX_MAX_KEYS];
  bool isnull[INDEX_MAX_KEYS];
  DecodeIndexEntry(state->codec, entry.key, entry.payload, values, isnull);
  scan->xs_itup = index_form_tuple(scan->xs_itupdesc, values, isnull);
  scan->xs_itup->t_tid = scan->xs_heaptid;
  MemoryContextSwitchTo(caller);
}

void Restart(IndexScanDesc scan) {
  AlexScan* state = ScanOf(scan);
  state->started = false;
  state->in_range = false;
  state->count = state->next = 0;
  state->limit = kFirstBatch;
  state->current.at_entry = false;
  state->has_mark = false;
}

void Prepare(IndexScanDesc scan) {
  AlexScan* state = ScanOf(scan);
  if (state->started) return;
  state->started = true;
  MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(state));
  if (state->quals == nullptr) {
    state->quals =
        PrepareIndexQuals(state->codec, scan->indexRelation, scan->keyData, scan->numberOfKeys);
  } else {
    RescanIndexQuals(state->quals, scan->indexRelation, scan->keyData, scan->numberOfKeys);
  }
  MemoryContextSwitchTo(caller);
  // Heap may use a TID again between the batch and the fetch. An MVCC snapshot does not see the new
  // row; ON CONFLICT, which looks at what is not committed yet, would take it for one of the key.
  // It cannot compare the keys again, for those with a NULL it does not take for equal.
  bool sees_newer =
      scan->xs_snapshot != nullptr && scan->xs_snapshot->snapshot_type == SNAPSHOT_DIRTY;
  state->shown = scan->xs_want_itup || sees_newer;
  pgstat_count_index_scan(scan->indexRelation);
}

// The entry last given is of a row that nobody sees any more.
void NoteDead(IndexScanDesc scan) {
  AlexScan* state = ScanOf(scan);
  if (state->dead == nullptr) {
    MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(state));
    state->dead =
        NewDeadEntries(scan->indexRelation, scan->heapRelation, AlexStorage(scan->indexRelation));
    MemoryContextSwitchTo(caller);
  }
  if (state->dead != nullptr)
    NoteDeadEntry(state->dead, SliceOf(state->current.key), state->current.tid);
}

}  // namespace

IndexScanDesc alex_beginscan(Relation index, int nkeys, int norderbys) {
  IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
  auto* state = static_cast<AlexScan*>(palloc0(sizeof(AlexScan)));
  state->codec = NewIndexCodec(index);
  if (StorageId storage = AlexStorage(index)) {
    state->reader = OpenIndexReader(index, storage, CurrentMemoryContext);
  }
  state->tuple_context =
      AllocSetContextCreate(CurrentMemoryContext, "alex tuple", ALLOCSET_SMALL_SIZES);
  initStringInfo(&state->current.key);
  initStringInfo(&state->marked.key);
  scan->xs_itupdesc = RelationGetDescr(index);
  scan->opaque = state;
  Restart(scan);
  return scan;
}

void alex_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey, int) {
  if (keys != nullptr && scan->numberOfKeys > 0) {
    memmove(scan->keyData, keys, static_cast<size_t>(nkeys) * sizeof(ScanKeyData));
  }
  Restart(scan);
}

bool alex_gettuple(IndexScanDesc scan, ScanDirection direction) {
  AlexScan* state = ScanOf(scan);
  if (state->reader == nullptr) return false;
  Prepare(scan);
  if (scan->kill_prior_tuple && state->current.at_entry) NoteDead(scan);
  IndexEntry entry;
  while (NextEntry(state, ScanDirectionIsBackward(direction), &entry)) {
    if (!EntryMatches(state->quals, entry.key)) continue;
    scan->xs_heaptid = NumberToTid(entry.tid);
    scan->xs_recheck = state->quals->recheck;
    if (scan->xs_want_itup) {
      ShowTuple(scan, entry);
    } else if (state->shown) {
      VisitFailurePoint("newest_entry");
    }
    return true;
  }
  if (state->shown) NothingShown();
  return false;
}

int64 alex_getbitmap(IndexScanDesc scan, TIDBitmap* bitmap) {
  AlexScan* state = ScanOf(scan);
  if (state->reader == nullptr) return 0;
  Prepare(scan);
  state->limit = kLargestBatch;
  int64 found = 0;
  IndexEntry entry;
  while (NextEntry(state, false, &entry)) {
    if (!EntryMatches(state->quals, entry.key)) continue;
    ItemPointerData tid = NumberToTid(entry.tid);
    tbm_add_tuples(bitmap, &tid, 1, state->quals->recheck);
    if (++found % 1024 == 0) CHECK_FOR_INTERRUPTS();
  }
  return found;
}

void alex_endscan(IndexScanDesc scan) {
  if (ScanOf(scan)->shown) NothingShown();
  if (ScanOf(scan)->dead != nullptr) RemoveDeadEntries(ScanOf(scan)->dead);
  if (ScanOf(scan)->reader != nullptr) CloseIndexReader(ScanOf(scan)->reader);
}

void alex_markpos(IndexScanDesc scan) {
  AlexScan* state = ScanOf(scan);
  if (state->reader == nullptr) return;
  Place* mark = &state->marked;
  state->has_mark = state->started;
  if (!state->started) return;
  mark->range = MarkIndexRange(state->quals);
  mark->in_range = state->in_range;
  mark->at_entry = state->in_range && state->current.at_entry;
  if (mark->at_entry)
    SavePosition(mark, IndexEntry{SliceOf(state->current.key), state->current.tid, {}});
}

// Back to the marked entry: the next one given is the one behind it.
void alex_restrpos(IndexScanDesc scan) {
  AlexScan* state = ScanOf(scan);
  if (state->reader == nullptr) return;
  if (!state->has_mark) {
    Restart(scan);
    return;
  }
  const Place& mark = state->marked;
  state->in_range = RestoreIndexRange(state->quals, mark.range, &state->range) && mark.in_range;
  state->count = state->next = 0;
  state->complete = false;
  state->backward = false;
  state->current.at_entry = mark.at_entry;
  if (mark.at_entry) SavePosition(&state->current, IndexEntry{SliceOf(mark.key), mark.tid, {}});
}

bool IsHeapIndex(Relation index) {
  HeapTuple table = SearchSysCache1(RELOID, ObjectIdGetDatum(index->rd_index->indrelid));
  if (!HeapTupleIsValid(table)) return false;
  bool heap = reinterpret_cast<Form_pg_class>(GETSTRUCT(table))->relam == HEAP_TABLE_AM_OID;
  ReleaseSysCache(table);
  return heap;
}

// A standby's startup process marks heap's pages without asking who still shows an entry.
bool alex_canreturn(Relation index, int) { return !IsHeapIndex(index) || !RecoveryInProgress(); }

}  // namespace omendb
