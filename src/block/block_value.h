// A block value: what RocksDB holds for one row block, as base value, merge operand, or both
// concatenated. It is a sequence of sections, oldest first, so that merging operands for a reader
// is appending bytes.
//
//   section:
//     format:   uint8    1
//     type:     uint8    1 = row image, 2 = deltas (3 and 4: index leaves, leaf_section.h)
//     flags:    uint16   kSection*
//     size:     uint32   whole section with header, multiple of 8
//     lsn:      uint64   largest LSN of what is in it; folded: of everything that went into the
//     fold crc32c:   uint32   of the section with this field 0 reserved: uint32   0 body
//
// A fold (fold.h) writes its whole result as sections marked kSectionFolded with one lsn. Whatever
// follows unmarked and is not newer than that lsn has been folded already (RocksDB may apply an
// operand twice, redo may flush a change again) and is skipped.
//
// Within one value the versions of a slot are ordered by VersionMeta::lsn. Frozen rows have lsn 0:
// a frozen row is older than every other version that is still kept of its slot.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "block/row_image.h"

namespace omendb {

inline constexpr uint8_t kSectionFormat = 1;
inline constexpr uint8_t kSectionRowImage = 1;
inline constexpr uint8_t kSectionDeltas = 2;
inline constexpr uint16_t kSectionFolded = 0x0001;
inline constexpr size_t kSectionHeaderSize = 24;

// A version in a deltas section, drawn in deltas.cpp.
struct DeltaEntry {
  FullXid xid;
  Lsn lsn;
  CommandNo cid;
  uint32_t payload;  // offset in the payload area
  uint32_t size;
  SlotNo slot;
  VersionKind kind;
  uint8_t flags;
  uint8_t reserved;

  VersionMeta meta() const { return {xid, lsn, cid, kind, flags}; }
};
static_assert(sizeof(DeltaEntry) == 32);

// Collects versions of single rows into a deltas section. The section describes its columns. Keeps
// its memory from section to section.
class DeltasBuilder {
 public:
  void Start(Columns columns);
  // REQUIRES: ordered by slot ascending, then lsn descending. Copies the payload.
  void Add(SlotNo slot, const VersionMeta& meta, Slice payload);
  bool empty() const { return entries_.empty(); }
  // Bytes of the section, as Finish would make it now.
  size_t size() const;
  // Appends the section to `out`, whose size must be a multiple of 8 and stays one.
  // REQUIRES: size() fits a section (4 GB).
  void Finish(Lsn lsn, uint16_t section_flags, std::string* out);

 private:
  std::vector<Column> columns_;
  std::vector<DeltaEntry> entries_;
  std::string payloads_;
};

// One stored version of a slot. Row bytes are in an image (image != nullptr) or in payload.
struct StoredVersion {
  VersionMeta meta;
  const RowImage* image = nullptr;
  uint32_t row = 0;  // in image
  Slice payload;     // otherwise: see VersionKind
  Columns columns;   // that the payload, if it is a packed row, was written with
};

// A parsed block value: knows its sections, finds versions. Owns no bytes: they must outlive it and
// be 8-aligned. Lives in the backend's block cache, not on a stack that a longjmp may cut. Parsing
// into a used one keeps its memory.
class BlockView {
 public:
  // verify: check every section's CRC, and what every variable-length value of an image says about
  // its length. Without it the caller vouches that these bytes passed once: on others the lookups
  // stay within them, but values that they return may not.
  // kCorruption with a detail that says what and where.
  static Status Parse(Slice value, bool verify, BlockView* view);

  // Parse in steps, for values that do not stand behind each other: Clear, then AddValue, oldest
  // first. After an error: Clear.
  void Clear();
  Status AddValue(Slice value, bool verify);

  bool empty() const { return images_.empty() && deltas_.empty(); }
  // No deltas, one image, all frozen: every row is visible to everyone.
  const RowImage* plain_image() const;  // or nullptr
  // Slots that have any version at all, as a 256-bit map.
  const uint64_t* slots() const { return slots_; }
  // Slots that have at least one delta (others have image versions only: at most one, but in a
  // chain of operands that holds an image twice).
  const uint64_t* delta_slots() const { return delta_slots_; }

  // Newest version of the slot that is older than `before` (start with ~0); false = no more.
  // Equal LSNs of one slot are the same version and are given once. Frozen image rows come last.
  bool NextVersion(SlotNo slot, Lsn before, StoredVersion* version) const;
  // ...and after a version with lsn 0 there is nothing more.

  // Of everything there was, skipped versions too.
  Lsn max_lsn() const { return max_lsn_; }
  bool has_folded() const { return has_folded_; }
  // The longest description of columns among the sections (all are prefixes of one layout).
  // kCorruption if they contradict each other. The vector is only memory to use.
  Status Layout(std::vector<Column>* layout) const;

 private:
  // Of a section that is not folded, what a fold before it in the value has seen is skipped.
  struct Image {
    RowImage image;
    bool skips;
    Lsn skip_upto;
    bool Skips(Lsn lsn) const { return skips && lsn <= skip_upto; }
  };
  struct Deltas {
    const DeltaEntry* entries;
    uint32_t count;
    bool skips;
    Lsn skip_upto;
    Columns columns;
    const char* payloads;
    bool Skips(Lsn lsn) const { return skips && lsn <= skip_upto; }
  };
  Status AddDeltas(Slice section, bool skips);

  std::vector<Image> images_;
  std::vector<Deltas> deltas_;
  uint64_t slots_[kSlotsPerBlock / 64] = {};
  uint64_t delta_slots_[kSlotsPerBlock / 64] = {};
  Lsn max_lsn_ = 0, folded_lsn_ = 0;
  bool has_folded_ = false;
};

}  // namespace omendb
