// One index in the leaf directory, as the store worker keeps it up. If the directory has no room
// the index is left out of it: everything works without.
#pragma once

#include <string>
#include <vector>

#include "block/index_leaf.h"
#include "store/leaf_directory.h"
#include "store/leaf_map_slot.h"

namespace omendb {

// A leaf as a flush needs it.
struct LeafPlace {
  std::string low, high;  // positions; an empty high is the end of the index
  LeafInfo info;
  bool damaged = false;  // nothing is known of what is in it
};

// Store worker, main thread. Trivial handle.
class LeafMap {
 public:
  LeafMap(const LeafDirectory& directory, LeafMapSlot* slot) : directory_(directory), slot_(slot) {}

  // Before the first leaves of the index become part of the store.
  void NoteFlush();
  bool Find(Slice position, LeafPlace* place) const;
  // The leaf that the view shows is known from now on, and where the next one begins (nullptr: that
  // is known, or there is none). (Moves the view.)
  void Learn(Slice low, const Slice* next_low, LeafView* view);
  bool Knows(Slice low) const;  // it was learnt or written
  // A leaf was written anew by the flush of this generation, with entries [first, end) of a list.
  void NoteWritten(Slice low, uint64_t generation, const EntryList& entries, size_t first,
                   size_t end);
  // Whether changes fill the leaf's filter so much, now or soon, that it should be learnt again.
  static bool WantsNewFilter(const LeafInfo& info, uint64_t changes, bool soon);
  // A key with this hash will be among the changes of the leaf.
  void PrepareMerge(const LeafPlace& place, uint64_t hash) const;
  // Changes were added to it as an operand.
  void NoteMerged(const LeafPlace& place, uint64_t generation, uint64_t changes,
                  const std::vector<uint64_t>& added);
  void NoteDeleted(Slice low);
  void Forget();  // all of it

 private:
  bool EnsureMap();
  void Put(Slice low, const LeafInfo& info);
  void Refuse();
  void FillFilter(const EntryList& entries, size_t first, size_t end, LeafInfo* info) const;

  LeafDirectory directory_;
  LeafMapSlot* slot_;
};

}  // namespace omendb
