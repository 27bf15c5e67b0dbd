#include "worker/session_wakeup.h"

#include "pg/read_view.h"
#include "pg/shared_state.h"

extern "C" {
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/sinval.h"
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

constexpr uint64_t kTolerated = 256ull << 20;
constexpr int kPatienceMs = 10 * 1000;

uint64_t g_held = 0;        // unlinked since the last round
uint64_t g_generation = 0;  // of the last unlink
TimestampTz g_since = 0;    // of the first unlink since the last round

// The interrupt alone reaches sessions between transactions; the others look only for
// invalidations.
void SendInvalidation() {
  SharedInvalidationMessage message;
  memset(&message, 0, sizeof(message));
  message.rc.id = SHAREDINVALRELCACHE_ID;
  message.rc.dbId = InvalidOid;
  message.rc.relId = kOldFilesInvalidation;
  SendSharedInvalidMessages(&message, 1);
}

}  // namespace

void NoteUnlinked(uint64_t bytes, uint64_t generation) {
  if (bytes == 0) return;
  if (g_held == 0) g_since = GetCurrentTimestamp();
  g_held += bytes;
  g_generation = generation;
}

void WakeSessionsThatHoldFiles() {
  if (g_held == 0) return;
  // A little space waits for a minute's worth of patience, much space does not.
  int patience = g_held > kTolerated ? kPatienceMs : 6 * kPatienceMs;
  if (!TimestampDifferenceExceeds(g_since, GetCurrentTimestamp(), patience)) return;
  g_held = 0;
  SendInvalidation();
  int slots = SessionSlotCount();
  for (int i = 0; i < slots; i++) {
    uint64_t generation = g_shared->sessions[i].reader_generation.load();
    if (generation == 0 || generation >= g_generation) continue;
    PGPROC* proc = &ProcGlobal->allProcs[i];
    int pid = proc->pid;
    // The pid and the backend id are checked again by the receiver's slot.
    if (pid != 0) SendProcSignal(pid, PROCSIG_CATCHUP_INTERRUPT, proc->backendId);
  }
}

}  // namespace omendb
