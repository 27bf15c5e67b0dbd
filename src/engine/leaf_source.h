// The leaves of the store as this session reads them. A leaf is found by the leaf directory and
// read in pieces from the shared cache or from where its base was found in a file, or whole by one
// Get; where the directory does not know it, the store is searched. What the cache has is good for
// as long as the directory says that the leaf has not changed.
#pragma once

#include <optional>
#include <span>

#include "base/index_entry.h"
#include "base/status.h"
#include "pg/read_view.h"
#include "store/leaf_directory.h"

namespace omendb {

struct StorageEntry;

// False: the store has no leaves of the index that the view could need. REQUIRES: the view is
// pinned.
bool StoreHasLeaves(const StorageEntry* entry);

// Asks whether the leaves of an index may have a key, at the view's generation or at any later one
// that could matter to it. approaches: as for LeafDirectory::ProbeKey. REQUIRES: the view is
// pinned, used inside one Guarded.
class LeafProbe {
 public:
  LeafProbe(StorageEntry* entry, Slice key, std::span<alex::Approach> approaches);
  bool MayHave() const { return probe_.MayHave(); }

 private:
  std::optional<AlexEpoch> epoch_;
  LeafDirectory::KeyProbe probe_;
};

// Moves over the entries of all leaves of an index. REQUIRES: called inside Guarded.
class LeafSource {
 public:
  virtual ~LeafSource() = default;
  virtual Status Seek(Slice key, TidNumber tid) = 0;        // first entry at or behind it
  virtual Status SeekBefore(Slice key, TidNumber tid) = 0;  // last entry before it
  virtual Status SeekToLast() = 0;
  virtual Status Next() = 0;
  virtual Status Prev() = 0;
  virtual bool Valid() const = 0;
  virtual const IndexEntry& entry() const = 0;
};

// The session's source for an index, at the view's generation or newer. Good until the next call
// that may raise or open a reader: for one batch. ERRORs as the store's reader does.
LeafSource* OpenLeafSource(const ReadView& view, StorageId storage, StorageEntry* entry);

}  // namespace omendb
