// The words that every room shares. Trivial types only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace omendb {

using Slice = std::string_view;

using StorageId = uint64_t;  // one relation storage (one relfilenode); never reused, 0 = none
using BlockNo = uint32_t;    // row block of a storage, 0 .. kMaxBlocks - 1
using SlotNo = uint8_t;      // row of a block, 0 .. 255; the TID's offset number is slot + 1
using Lsn = uint64_t;        // WAL position; 0 = none
using FullXid = uint64_t;    // 64-bit transaction id; 0 = frozen: visible to every snapshot
using CommandNo = uint32_t;  // command id within a transaction
using Value = uint64_t;      // a PostgreSQL Datum: the value itself or a pointer to it

inline constexpr uint32_t kSlotsPerBlock = 256;
inline constexpr uint32_t kBlockBits = 28;  // the top four bits of a TID's block carry an alias
inline constexpr BlockNo kMaxBlocks = 1u << kBlockBits;

// PostgreSQL's FrozenTransactionId: what WAL records and the write buffer have instead of 0 for rows
// that were frozen when they were copied.
inline constexpr FullXid kFrozenXid = 2;

// What one version of a row does. Persisted in WAL records and row blocks: numbers are never reused.
enum class VersionKind : uint8_t {
  kInsert = 1,              // payload: packed row
  kUpdate = 2,              // same TID, no indexed column changed; payload: packed row (whole)
  kDelete = 3,              // no payload
  kMove = 4,                // updated to a new TID; payload: fixed32 block, uint8 slot
  kLock = 5,                // row lock; payload: uint8 strength (LockStrength)
  kSpeculativeConfirm = 6,  // the speculative insert below is a plain insert now; no payload
  kSpeculativeAbort = 7,    // the speculative insert below never happened; no payload
};

// PostgreSQL's LockTupleMode. Persisted.
enum class LockStrength : uint8_t {
  kKeyShare = 0,
  kShare = 1,
  kNoKeyExclusive = 2,
  kExclusive = 3,
};

// VersionMeta::flags. Persisted unless said otherwise.
inline constexpr uint8_t kVersionCommitted = 0x01;       // verdict: xid committed, durably
inline constexpr uint8_t kVersionAborted = 0x02;         // verdict: xid aborted
inline constexpr uint8_t kVersionSpeculative = 0x04;     // insert; payload ends with a uint32 token
inline constexpr uint8_t kVersionKeyUpdated = 0x08;      // kMove that changed a key column
inline constexpr uint8_t kVersionMovedPartition = 0x10;  // kDelete: row went to another partition
inline constexpr uint8_t kVersionHintCommitted = 0x40;   // memory only: a reader saw the commit
inline constexpr uint8_t kVersionHintAborted = 0x80;     // memory only: a reader saw the abort

// Everything that visibility needs to know of a version.
struct VersionMeta {
  FullXid xid;
  Lsn lsn;  // end of the WAL record that made it; orders the versions of one row
  CommandNo cid;
  VersionKind kind;
  uint8_t flags;
};

// True if the kind carries a row that a snapshot can see.
inline bool CarriesRow(VersionKind kind) {
  return kind == VersionKind::kInsert || kind == VersionKind::kUpdate;
}

// One column as far as storage cares; the workers have no catalogs. Persisted in WAL, blocks, meta.
struct Column {
  int16_t length;  // pg_attribute.attlen: > 0 fixed, -1 varlena, -2 C string
  uint8_t align;   // 1, 2, 4 or 8 bytes
  uint8_t flags;   // kColumn*
  friend bool operator==(const Column&, const Column&) = default;
};
inline constexpr uint8_t kColumnByValue = 0x01;
inline constexpr uint8_t kColumnPackable = 0x02;  // varlena may get a 1-byte header (attstorage != 'p')

inline constexpr uint32_t kMaxColumns = 1600;
using Columns = std::span<const Column>;  // a storage's layout; it only ever grows at the end

// What is known of a transaction's end, as a plain value.
enum class Verdict : uint8_t { kUnknown, kCommitted, kAborted };

// Tells folds which versions are garbage. Implementations only read memory: folds run on RocksDB's
// threads. A verdict is durable before it is given (its commit record is on disk).
class TransactionOracle {
 public:
  virtual ~TransactionOracle() = default;
  // Every committed xid below it is visible to every snapshot, now and later. Never moves back.
  virtual FullXid Horizon() const = 0;
  // kUnknown while it runs or as long as nobody has looked yet (asking makes somebody look).
  virtual Verdict Resolve(FullXid xid) const = 0;
};

}  // namespace omendb
