// Reads the leaves of an index into the leaf directory, when a reader has missed one: after a start
// nothing is known of them. A little at a time, so that flushes go on beside it.
#pragma once

#include <cstdint>
#include <string>

#include "store/primary_store.h"

namespace omendb {

struct StorageEntry;

// Store worker, main thread.
class LeafLoader {
 public:
  // Reads some leaves, if any are wanted. *more: there are others.
  Status Step(PrimaryStore* store, bool* more);
  // An index is being read.
  bool is_loading() const { return entry_ != nullptr; }
  // The directory may have room again, as storages are gone: indexes that it had none for may ask
  // once more. Not often: for one that is too large all the memory is filled in vain.
  void NoteRoom() { room_ = true; }

 private:
  void AdmitRefused();
  bool PickIndex();
  Status Load(PrimaryStore* store, bool* finished);

  StorageEntry* entry_ = nullptr;  // of the index that is read
  uint64_t storage_ = 0;
  std::string low_;  // of the leaf to go on with
  bool room_ = false;
  int64_t admitted_ = 0;  // when
};

}  // namespace omendb
