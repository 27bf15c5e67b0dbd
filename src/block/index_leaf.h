// An index leaf: what RocksDB holds of a range of an index's entries, as base value, merge operand,
// or both concatenated. Like a block value it is a sequence of sections (leaf_section.h), so that
// merging operands for a reader is appending bytes.
//
// - A *base* section is a whole leaf: all entries in [low, high), none of them removed.
// - A *delta* section is what one flush changed of a leaf: the newest word on each (key, TID),
//   `removed` where it is gone.
//
// LSNs order the sections, not their place: the base with the largest LSN counts, then the deltas
// that are newer, oldest first. What is not newer than the base has been folded into it already
// (RocksDB may apply an operand twice, redo may flush a change again) and is skipped. For this to
// hold, a section's LSN must be larger than those of all earlier flushes that touched the leaf, and
// everything up to it of the leaf must be in this or an earlier flush: give it the largest LSN of
// any change that the flush holds. Entries carry no LSN of their own.
//
// Large entries: a leaf takes keys and payloads of kMaxEntryPart bytes.
// It has no size of its own, only SplitLeaf (leaf_fold.h) aims at one, and a leaf of one entry may
// be larger than that.
#pragma once

#include <string>
#include <vector>

#include "base/index_entry.h"
#include "base/status.h"
#include "base/types.h"
#include "block/leaf_section.h"

namespace omendb {

inline constexpr uint32_t kMaxLeafEntries = 1u << 20;  // of one section; far above any leaf's

// Entries with their bytes; keeps its memory. Slices that it gives are good until Add.
class EntryList {
 public:
  void Clear() {
    entries_.clear();
    bytes_.clear();
    in_order_ = true;
  }
  void Add(const IndexEntry& entry);
  // Entries [from, end) of a section, none of them removed.
  void AddRun(const LeafSection& section, uint32_t from, uint32_t end);
  bool in_order() const { return in_order_; }  // each one behind the one before it
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  IndexEntry operator[](size_t index) const {
    return {key(index), tid(index), payload(index), removed(index)};
  }
  Slice key(size_t index) const {
    const Entry& entry = entries_[index];
    return Slice(bytes_.data() + entry.start, entry.key_size);
  }
  Slice payload(size_t index) const {
    const Entry& entry = entries_[index];
    return Slice(bytes_.data() + entry.start + entry.key_size, entry.payload_size);
  }
  TidNumber tid(size_t index) const { return entries_[index].tid; }
  bool removed(size_t index) const { return entries_[index].removed; }
  // What the entries [first, end) are raw: keys, TIDs, payloads.
  size_t RawSize(size_t first, size_t end) const;

 private:
  struct Entry {
    uint64_t start;  // of the key; the payload follows
    TidNumber tid;
    uint32_t key_size, payload_size;
    bool removed;
  };
  std::vector<Entry> entries_;
  std::string bytes_;
  bool in_order_ = true;
};

// Builds the value of a leaf with all its entries. Keeps its memory from leaf to leaf.
class LeafBuilder {
 public:
  LeafBuilder() = default;
  LeafBuilder(Slice low, Slice high) { Start(low, high); }
  // Positions; empty: minus and plus infinity.
  void Start(Slice low, Slice high);
  // REQUIRES: ascending by (key, TID), in [low, high), not removed. Copies the bytes.
  void Add(const IndexEntry& entry) { entries_.Add(entry); }
  size_t count() const { return entries_.size(); }
  // Appends to *out. kLimitExceeded if entries are too many or too large, kInvalidArgument if they
  // are not as required; *out is unchanged then.
  Status Finish(Lsn lsn, std::string* out) const;

 private:
  std::string low_, high_;
  EntryList entries_;
};

// The same of entries [first, end) of a list. No copies.
Status EncodeLeaf(const EntryList& entries, size_t first, size_t end, Slice low, Slice high,
                  Lsn lsn, std::string* out);

// The same for an operand: what a flush changed of a leaf.
class DeltaBuilder {
 public:
  void Start() { entries_.Clear(); }
  // REQUIRES: ascending by (key, TID). A removed entry needs no payload.
  void Add(const IndexEntry& entry) { entries_.Add(entry); }
  size_t count() const { return entries_.size(); }
  Status Finish(Lsn lsn, std::string* out) const;

 private:
  EntryList entries_;
};

// A parsed leaf and a place in it. Owns none of its bytes, which may stand at any address and must
// outlive it. Parsing into a used one keeps its memory, and nothing else allocates once the buffers
// of the keys have grown. Entries come in order of (key, TID), each with its newest word, removed
// ones left out.
class LeafView {
 public:
  LeafView() = default;
  LeafView(const LeafView&) = delete;
  LeafView& operator=(const LeafView&) = delete;

  // verify: every section's checksum and the sizes of its parts. Without it the caller vouches that
  // these bytes passed once: on others the calls stay within them, but may return anything.
  // kCorruption with a detail that says what and where; also for a value without any section.
  static Status Parse(Slice value, bool verify, LeafView* view);

  // The same of a value that comes in pieces: LeafSection::OpenInPieces. False: it is no base
  // alone, or not to be had. Then moves may find the view lost: it shows nothing any more, and
  // entry() is still what it was before the move. What the bytes mean is not verified, as Parse
  // does beside their checksums; what is shown lies within them all the same.
  [[nodiscard]] static bool ParseInPieces(LeafPieces* pieces, size_t size, bool verify, char* room,
                                          LeafView* view);
  bool lost() const { return used_ > 0 && cursors_[0].section.lost(); }

  // Parse in steps, for values that do not stand behind each other: Clear, AddValue (oldest first),
  // Finish. After an error: Clear.
  void Clear();
  Status AddValue(Slice value, bool verify);
  Status Finish();

  // A value of operands only says nothing about bounds: then both are empty and has_base() false.
  bool has_base() const { return has_base_; }
  Slice low() const { return has_base_ ? base().low() : Slice(); }
  Slice high() const { return has_base_ ? base().high() : Slice(); }
  bool Covers(Slice key, TidNumber tid) const;
  bool CoversPosition(Slice position) const {
    return position >= low() && (high().empty() || position < high());
  }
  // The base has this many entries, and so many deltas (and words in them) count beside it.
  uint32_t base_count() const { return has_base_ ? base().count() : 0; }
  size_t deltas() const { return used_ - has_base_; }
  uint64_t delta_count() const;
  Lsn lsn() const { return lsn_; }  // the largest of any section

  // Moves. `key` is any byte string: the beginning of keys stands before all of them.
  void First();
  void Last();
  void Seek(Slice key, TidNumber tid);        // the first entry at or behind (key, tid)
  void SeekBefore(Slice key, TidNumber tid);  // the last entry before it
  void Next();                                // REQUIRES: Valid()
  void Prev();                                // REQUIRES: Valid()
  bool Valid() const { return current_ != nullptr; }
  // Its key until the next move. REQUIRES: Valid()
  const IndexEntry& entry() const { return entry_; }
  // For who goes on by Next: adds the entries behind this one that come before any change, and
  // moves to the last of them without showing it. REQUIRES: it was not parsed in pieces.
  void TakeRun(EntryList* entries);

 private:
  // One section and a place in it, between entries: forward the one at `place` is next, backward
  // the one before it.
  struct Cursor {
    LeafSection section;
    uint32_t place = 0;
    uint32_t loaded = ~0u;  // whose key and tid are below
    LeafSection::Hint hint;
    uint64_t head = 0;  // what orders most keys: their first bytes
    std::string key;
    TidNumber tid = 0;
  };

  const LeafSection& base() const { return cursors_[used_ - 1].section; }
  void SetPlaces(Slice key, TidNumber tid);
  // The entry that a move in this direction comes to; false if there is none.
  static bool LoadNext(Cursor* cursor, bool forward);
  static int Compare(const Cursor& one, const Cursor& other);
  // From the places on.
  template <bool kForward>
  void Start();
  template <bool kForward>
  void Find();
  template <bool kForward>
  bool Insert(Cursor* cursor, size_t at, size_t end);
  template <bool kForward>
  void Turn();

  std::vector<LeafSection> sections_;  // until Finish
  std::vector<Cursor> cursors_;        // newest first; those from used_ on only keep memory
  size_t used_ = 0;
  bool has_base_ = false;  // then the last one
  bool forward_ = true;
  // Cursors with entries to come, by these and the newest of equal ones first. The first moved_ of
  // them had the current entry and have moved past it.
  std::vector<Cursor*> order_;
  size_t moved_ = 0;
  Lsn lsn_ = 0;
  Cursor* current_ = nullptr;
  IndexEntry entry_;
};

}  // namespace omendb
