// Verdicts about transactions, for segments that are about to be flushed and for compaction.
//
// A verdict "committed" is given only once the commit record is on disk (asynchronous commits!).
// On a standby only what clog says explicitly counts: prepared transactions and those of a crashed
// primary are not known there. The guard's process only: it needs a place in the ProcArray.
#pragma once

#include "pg/server.h"

namespace omendb {

// Sets kVersionCommitted and kVersionAborted in a frozen segment, and has its WAL on disk then.
void JudgeSegment(int index);
// Answers the store worker's questions, if there are any.
void AnswerOracle();
// Publishes how far back snapshots reach.
void PublishHorizon();

}  // namespace omendb
