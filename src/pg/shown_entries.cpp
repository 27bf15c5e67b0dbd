#include "pg/shown_entries.h"

#include "pg/server.h"
#include "pg/shared_state.h"

extern "C" {
#include "access/xact.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/wait_event.h"
}

namespace omendb {
namespace {

// What is published before any mark was made is round 1; 0 says that nothing is shown.
uint64_t CurrentRound() { return g_shared->mark_rounds.load() + 1; }

void AtTransactionEnd(XactEvent, void*) { NothingShown(); }
void AtSubTransactionEnd(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_ABORT_SUB) NothingShown();
}
void AtExit(int, Datum) { NothingShown(); }

void RegisterOnce() {
  static bool registered = false;
  if (registered) return;
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubTransactionEnd, nullptr);
  before_shmem_exit(AtExit, 0);
  registered = true;
}

bool AnyOlderThan(uint64_t round) {
  const SessionSlot* own = OwnSessionSlot();
  for (int i = 0; i < SessionSlotCount(); i++) {
    const SessionSlot* slot = &g_shared->sessions[i];
    uint64_t shown = slot->shown_round.load();
    if (slot != own && shown != 0 && shown < round) return true;
  }
  return false;
}

}  // namespace

// Published before the round is looked at, as the round is started before the slots are looked at.
// All of these are sequentially consistent, so one of the two sees the other.
uint64_t StartShownBatch() {
  RegisterOnce();
  for (;;) {
    uint64_t round = CurrentRound();
    if (MayShowFrom(round)) return round;
  }
}

bool MayShowFrom(uint64_t round) {
  OwnSessionSlot()->shown_round.store(round);
  return CurrentRound() == round;
}

void NothingShown() { OwnSessionSlot()->shown_round.store(0, std::memory_order_release); }

bool StartMarkRound(int patience_ms) {
  g_shared->mark_rounds.fetch_add(1);
  return OldEntriesGone(patience_ms);
}

bool OldEntriesGone(int patience_ms) {
  uint64_t round = CurrentRound();
  bool gone = !AnyOlderThan(round);
  if (gone) return true;
  pgstat_report_wait_start(WaitEventOf(Wait::kShownEntries));
  for (int waited = 0; !gone && waited < patience_ms; waited++) {
    // The startup process has interrupts of its own.
    if (!InRecovery) CHECK_FOR_INTERRUPTS();
    pg_usleep(1000);
    gone = !AnyOlderThan(round);
  }
  pgstat_report_wait_end();
  return gone;
}

}  // namespace omendb
