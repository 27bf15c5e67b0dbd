// The leaves of the store as this session reads them, one index at a time. What was read last of an
// index is kept, so that looks at neighbouring entries cost one read.
#pragma once

#include "base/index_entry.h"
#include "base/status.h"
#include "block/index_leaf.h"
#include "pg/read_view.h"

namespace omendb {

class LeafSource;

// The session's source for an index, at the view's generation or newer. Good until the next call
// that may raise or open a reader: for one batch. ERRORs as the store's reader does.
LeafSource* OpenLeafSource(const ReadView& view, StorageId storage);

// Moves over the entries of all leaves of the index; REQUIRES: called inside Guarded.
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

}  // namespace omendb
