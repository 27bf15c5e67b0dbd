// One section of an index leaf: sorted entries, packed so that any of them is found and read where
// it stands, and verified without the others.
//
//   head
//     section header (section.h), type 5 = leaf, 6 = leaf deltas; flags 0. Its checksum is that of
//                     the head
//     LeafHeader
//     low, high       bounds of a leaf; no bytes: infinity. Deltas have none
//     prefix          what all keys begin with
//     padding         zero, to a multiple of 4
//     checksums       uint32 CRC32C of each page of the body: 512 bytes, the last one what is left
//     padding         zero, to a multiple of 8
//   body
//     keys, in bits   numbers: count integers of key_width bits, key's rest - min_number
//                     prefixed: for each group of 16 entries where it starts in `rests`
//     TIDs, in bits   count integers: (block - min_block) << offset_width | offset - min_offset
//     removed         a bit for each entry, if kLeafRemoved
//     payload ends    count integers of payload_width bits; 0 bits: payloads are equally long
//     rests           prefixed: what follows the prefix, see below
//     payloads
//     padding         zero, to a multiple of 8 and until every packed integer can be read as a word
//
// Numbers: all keys are equally long and differ in their last 8 bytes at most; these, without the
// prefix, are a big-endian number. key_width is at most 56, or 64.
//
// Prefixed: an entry's rest is stored as what it does not share with the first entry of its group,
// so that each is read without those between. Other than RocksDB's blocks, where an entry refers to
// the one before it: costs half a byte more, and stepping back costs what stepping forward does.
//
//   rest:
//     shared: varint   not for the first of a group
//     size:   varint   of what follows; not if all keys are equally long
//     bytes
//
// (Types 3 and 4 were sections with one checksum and the bounds behind the packed integers.)
#pragma once

#include <cstring>
#include <string>

#include "base/coding.h"
#include "base/index_entry.h"
#include "base/status.h"
#include "base/types.h"
#include "block/bit_packing.h"

namespace omendb {

inline constexpr uint8_t kSectionLeaf = 5;
inline constexpr uint8_t kSectionLeafDeltas = 6;

inline constexpr uint8_t kLeafNumbers = 1;
inline constexpr uint8_t kLeafPrefixed = 2;
inline constexpr uint8_t kLeafRemoved = 0x01;  // LeafHeader::flags
inline constexpr uint32_t kLeafGroup = 16;
inline constexpr uint16_t kLeafSizesDiffer = 0xffff;
inline constexpr size_t kLeafPage = 512;

struct LeafHeader {
  uint32_t count;
  uint32_t rests_size, payloads_size;
  uint32_t min_block;
  uint64_t min_number, span;  // numbers: the smallest, the largest less the smallest
  uint32_t head_size;
  uint16_t low_size, high_size, prefix_size;
  uint16_t key_size;  // of every key, or kLeafSizesDiffer
  uint16_t min_offset;
  uint8_t key_format, flags;
  uint8_t key_width, block_width, offset_width, payload_width;
  uint32_t reserved;  // 0
};
static_assert(sizeof(LeafHeader) == 56);

inline size_t LeafPages(size_t body) { return (body + kLeafPage - 1) / kLeafPage; }

// A value that is read in pieces by who needs few of its bytes.
class LeafPieces {
 public:
  virtual ~LeafPieces() = default;
  // Copies bytes [at, at + size). at: a multiple of 8. False: they cannot be had any more.
  [[nodiscard]] virtual bool Copy(size_t at, size_t size, char* to) = 0;
};

// A parsed section. Owns no bytes; they may stand at any address. Trivially destructible.
class LeafSection {
 public:
  // What the buffer of a key has of this section: the prefix, and where the rest of a prefixed key
  // ends. The next one is read from there on.
  struct Hint {
    uint32_t index = ~0u;
    uint32_t at = 0;
  };

  // Opens the section that starts `value`. verify: its checksum and the sizes of its parts. Without
  // it the calls below stay within the bytes all the same, but may return anything.
  static Status Open(Slice value, bool verify, LeafSection* section);
  // Opens a section that is a whole value of `size` bytes, with no more of it than the head if its
  // keys are numbers: pages of the body come into `room`, which takes the value, when they are
  // needed. verify: checksums of what comes. False: the value is something else or not to be had.
  [[nodiscard]] static bool OpenInPieces(LeafPieces* pieces, size_t size, bool verify, char* room,
                                         LeafSection* section);
  // A page could not be had, or was damaged: what was found since is not to be believed.
  bool lost() const { return lost_; }
  // Has the bytes of an entry come, before they are read; false: the section is lost.
  [[nodiscard]] bool Fetch(uint32_t index) const {
    return pieces_ == nullptr || (!lost_ && FetchEntry(index));
  }

  size_t size() const { return size_; }  // bytes
  bool is_base() const { return is_base_; }
  Lsn lsn() const { return lsn_; }
  uint32_t count() const { return header_.count; }
  Slice low() const { return low_; }
  Slice high() const { return high_; }

  // First entry that is not before (key, tid); count() if there is none. `key` is any byte string.
  uint32_t LowerBound(Slice key, TidNumber tid) const;

  TidNumber tid(uint32_t index) const {
    const uint64_t bits = UnpackBits(tids_, index, tid_width_);
    const uint64_t offset = bits & ((uint64_t{1} << header_.offset_width) - 1);
    return (header_.min_block + (bits >> header_.offset_width)) << 16 |
           (header_.min_offset + offset);
  }
  bool removed(uint32_t index) const {
    return removed_ != nullptr && (removed_[index / 8] >> index % 8 & 1);
  }
  Slice payload(uint32_t index) const;
  // Into a buffer that keeps its memory; nobody else writes there as long as the hint is used.
  void CopyKey(uint32_t index, Hint* hint, std::string* key) const;

  // Keys as numbers: equally long ones, and in their order.
  bool has_numbers() const { return header_.key_format == kLeafNumbers; }
  size_t key_size() const { return header_.key_size; }
  uint64_t number(uint32_t index) const { return header_.min_number + Number(index); }
  // REQUIRES: has_numbers(), room for key_size() bytes.
  void StoreKey(uint64_t number, char* key) const {
    const size_t size = key_size() - prefix_.size();
    char bytes[8];
    StoreFixed(bytes, __builtin_bswap64(number));
    memcpy(key, prefix_.data(), prefix_.size());
    memcpy(key + prefix_.size(), bytes + sizeof(bytes) - size, size);
  }

 private:
  struct Rest {
    uint32_t shared = 0;
    Slice bytes;
  };

  Status OpenHead(Slice value, bool verify);
  Status OpenParts(Slice section);
  Status VerifyParts() const;
  // Of the body. False: lost.
  bool FetchBytes(const char* from, size_t size) const {
    return pieces_ == nullptr || size == 0 || FetchPages(from, size);
  }
  bool FetchPages(const char* from, size_t size) const;
  bool FetchEntry(uint32_t index) const;
  bool FetchBits(const char* bits, uint32_t index, uint32_t width) const {
    const size_t bit = size_t{index} * width;
    return FetchBytes(bits + bit / 8, (bit + width + 7) / 8 - bit / 8);
  }
  bool PageIsWhole(size_t page) const;
  uint64_t Number(uint32_t index) const {
    return header_.key_width == 64 ? LoadFixed<uint64_t>(keys_ + size_t{8} * index)
                                   : UnpackBits(keys_, index, header_.key_width);
  }
  uint32_t LowerBoundNumber(Slice rest, TidNumber tid) const;
  uint32_t LowerBoundRest(Slice rest, TidNumber tid) const;
  uint32_t GroupStart(uint32_t group) const {
    return static_cast<uint32_t>(UnpackBits(keys_, group, header_.key_width));
  }
  // Reads the rest at *at and moves behind it. False if it does not lie within the bytes.
  bool TakeRest(bool first, uint32_t* at, Rest* rest) const;
  uint64_t PayloadEnd(uint32_t index) const;

  LeafHeader header_ = {};
  bool is_base_ = false;
  uint32_t size_ = 0;
  uint32_t tid_width_ = 0, payload_size_ = 0;  // payload_size_: if all are equally long
  Lsn lsn_ = 0;
  const char *keys_ = nullptr, *tids_ = nullptr, *removed_ = nullptr, *payload_ends_ = nullptr;
  Slice low_, high_, prefix_, rests_, payloads_;
  const char* checksums_ = nullptr;
  Slice body_;
  // In pieces: where pages come from, which ones are there. Their room is writable.
  LeafPieces* pieces_ = nullptr;
  bool verifies_ = false;
  mutable uint64_t fetched_ = 0;
  mutable bool lost_ = false;
};

}  // namespace omendb
