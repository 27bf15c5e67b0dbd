// The leaves of the store as this session reads them. A leaf is found by the leaf directory and
// read from the shared cache or by one Get; where the directory does not know it, the store is
// searched. What the cache has is good for as long as the directory says that the leaf has not
// changed.
#pragma once

#include "base/index_entry.h"
#include "base/status.h"
#include "pg/read_view.h"

namespace omendb {

struct StorageEntry;

// False: the store has no leaves of the index that the view could need. REQUIRES: the view is pinned.
bool StoreHasLeaves(const StorageEntry* entry);

// False: no leaf of the index has the key, at the view's generation or at any later one that could
// matter to it. REQUIRES: the view is pinned, called inside Guarded.
bool LeavesMayHave(StorageEntry* entry, Slice key);

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
