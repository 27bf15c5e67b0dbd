// How much of busy processors the store worker claims against sessions. What nobody waits for,
// which is compaction, makes do with what sessions leave and a small part of the rest.
//
// Linux divides processors among sessions of processes first (autogroups, see sched(7)); to every
// child of the postmaster it gives a group of its own, so that a nice value of a thread says
// nothing against other processes, but one of the group does, and may be taken back without
// privileges. Where there are no autogroups (in most containers) nothing changes.
#pragma once

#include "pg/server.h"

extern "C" {
#include "datatype/timestamp.h"
}

namespace omendb {

class CpuShare {
 public:
  // To be called often, and before work that somebody waits for. needed: there is such work.
  void Update(bool needed);

 private:
  bool is_low_ = false;
  TimestampTz needed_at_ = 0;
};

}  // namespace omendb
