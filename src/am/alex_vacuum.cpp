// VACUUM: walks all entries, and removes those whose rows are dead to everyone. Whoever calls it
// has told the standbys (heap's and our own VACUUM log the horizon before).
#include "am/alex.h"
#include "pg/shown_entries.h"
#include "pg/storage_table.h"

extern "C" {
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

struct Cleanup {
  IndexBulkDeleteResult* stats;
  IndexBulkDeleteCallback callback;
  void* callback_state;
  IndexWriter writer;
};

void RemoveIfDead(const IndexEntry& entry, void* argument) {
  auto* cleanup = static_cast<Cleanup*>(argument);
  ItemPointerData tid = NumberToTid(entry.tid);
  if (!cleanup->callback(&tid, cleanup->callback_state)) {
    cleanup->stats->num_index_tuples++;
    return;
  }
  WriteIndexEntry(&cleanup->writer, IndexEntry{entry.key, entry.tid, Slice(), true});
  cleanup->stats->tuples_removed++;
}

// Heap may use the TIDs again from now on, and mark their pages as seen by all: waits until nobody
// shows an entry from before. As btree waits for the pins of its pages, for as long as it takes.
void WaitForShownEntries() {
  constexpr int kPatienceMs = 1000;
  if (StartMarkRound(kPatienceMs)) return;
  while (!OldEntriesGone(kPatienceMs)) {
  }
}

void SetPages(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
  stats->num_pages = static_cast<BlockNumber>(AlexPages(info->index, stats->num_index_tuples));
}

}  // namespace

IndexBulkDeleteResult* alex_bulkdelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                       IndexBulkDeleteCallback callback, void* callback_state) {
  if (stats == nullptr) {
    stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
  }
  stats->estimated_count = false;
  stats->num_index_tuples = 0;
  if (StorageId storage = AlexStorage(info->index)) {
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "alex vacuum", ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    Cleanup cleanup{stats, callback, callback_state, {}};
    StartIndexWriter(&cleanup.writer, info->index, storage);
    VisitIndexEntries(info->index, storage, RemoveIfDead, &cleanup);
    FinishIndexWriter(&cleanup.writer);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(context);
    if (IsHeapIndex(info->index)) WaitForShownEntries();
  }
  SetPages(info, stats);
  return stats;
}

IndexBulkDeleteResult* alex_vacuumcleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
  if (info->analyze_only) return stats;
  if (stats == nullptr) {
    stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
    // Nothing was removed: what the table has is as good as a count.
    stats->num_index_tuples = info->num_heap_tuples;
    stats->estimated_count = true;
    SetPages(info, stats);
  }
  return stats;
}

}  // namespace omendb
