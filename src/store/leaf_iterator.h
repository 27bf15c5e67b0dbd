// Walks the leaves of one index, in the primary or in a reader.
#pragma once

#include "base/status.h"
#include "base/types.h"

namespace omendb {

// Sees the generation that it was made at, and no other storage. Like everything in the room it is
// for one thread, and must not outlive its store.
class LeafIterator {
 public:
  virtual ~LeafIterator() = default;
  virtual bool Valid() const = 0;     // false past either end or on error: see status()
  virtual Status status() const = 0;  // an error stays; make a new iterator
  // The leaf that covers the position: the last whose low one is not behind it.
  // (RocksDB reads the leaf before it too, and Next has to find its way forward again.)
  virtual void Seek(Slice position) = 0;
  // The leaf with this low position, or else the first behind it: for whoever knows from elsewhere
  // where the leaf begins. Half the price of Seek.
  virtual void SeekLow(Slice low) = 0;
  virtual void First() = 0;
  virtual void Last() = 0;
  virtual void Next() = 0;  // REQUIRES: Valid()
  virtual void Prev() = 0;  // REQUIRES: Valid()
  // Until the next move, at any alignment. REQUIRES: Valid()
  virtual Slice low() const = 0;
  virtual Slice value() const = 0;
};

}  // namespace omendb
