// A deltas section, version 1. All integers little-endian.
//
//   section header (block_value.h), type 2
//   entries:  uint32
//   columns:  uint16   that the packed rows below were written with; 0 if there are none
//   zero:     uint16
//   entries:  32 bytes each, ordered by slot ascending, then lsn descending
//     xid:      uint64
//     lsn:      uint64
//     cid:      uint32
//     payload:  uint32   offset in the payload area
//     size:     uint32   of the payload
//     slot:     uint8
//     kind:     uint8    VersionKind
//     flags:    uint8    kVersion*, the persisted ones
//     zero:     uint8
//   columns:  length int16, align uint8, flags uint8 each
//   payloads: of each version as its VersionKind says, to the end of the section
#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/pure.h"
#include "block/bit_packing.h"
#include "block/block_value.h"
#include "block/deltas_layout.h"
#include "block/section.h"

namespace omendb {
namespace {

constexpr uint8_t kPersistedFlags =
    static_cast<uint8_t>(~(kVersionHintCommitted | kVersionHintAborted));

bool PayloadFits(VersionKind kind, size_t size) {
  switch (kind) {
    case VersionKind::kInsert:
    case VersionKind::kUpdate:
      return size >= 2;
    case VersionKind::kMove:
      return size == 5;
    case VersionKind::kLock:
      return size == 1;
    case VersionKind::kDelete:
    case VersionKind::kSpeculativeConfirm:
    case VersionKind::kSpeculativeAbort:
      return size == 0;
  }
  return false;
}

}  // namespace

void DeltasBuilder::Start(Columns columns) {
  columns_.assign(columns.begin(), columns.end());
  entries_.clear();
  payloads_.clear();
}

void DeltasBuilder::Add(SlotNo slot, const VersionMeta& meta, Slice payload) {
  DeltaEntry entry = {};
  entry.xid = meta.xid;
  entry.lsn = meta.lsn;
  entry.cid = meta.cid;
  entry.payload = static_cast<uint32_t>(payloads_.size());
  entry.size = static_cast<uint32_t>(payload.size());
  entry.slot = slot;
  entry.kind = meta.kind;
  entry.flags = meta.flags & kPersistedFlags;
  entries_.push_back(entry);
  payloads_.append(payload);
}

size_t DeltasBuilder::size() const {
  return AlignUp(kSectionHeaderSize + sizeof(DeltasHeader) + entries_.size() * sizeof(DeltaEntry) +
                     columns_.size() * sizeof(Column) + payloads_.size(),
                 8);
}

void DeltasBuilder::Finish(Lsn lsn, uint16_t section_flags, std::string* out) {
  const size_t start = out->size();
  const size_t section_size = size();
  out->resize(start + section_size);  // zeroes what Finish does not write
  char* const section = out->data() + start;
  DeltasHeader header = {};
  header.entries = static_cast<uint32_t>(entries_.size());
  header.columns = static_cast<uint16_t>(columns_.size());
  char* at = section + kSectionHeaderSize;
  StoreFixed(at, header);
  at += sizeof(header);
  if (!entries_.empty()) std::memcpy(at, entries_.data(), entries_.size() * sizeof(DeltaEntry));
  at += entries_.size() * sizeof(DeltaEntry);
  if (!columns_.empty()) std::memcpy(at, columns_.data(), columns_.size() * sizeof(Column));
  at += columns_.size() * sizeof(Column);
  if (!payloads_.empty()) std::memcpy(at, payloads_.data(), payloads_.size());
  SealSection(section, section_size, section_size, kSectionDeltas, section_flags, lsn);
}

Status BlockView::AddDeltas(Slice section, bool skips) {
  uint64_t at = kSectionHeaderSize + sizeof(DeltasHeader);
  if (section.size() < at) return DamagedBlock("deltas without header");
  const auto header = LoadFixed<DeltasHeader>(section.data() + kSectionHeaderSize);
  const uint64_t entries_at = at;
  at += uint64_t{header.entries} * sizeof(DeltaEntry);
  const uint64_t columns_at = at;
  at += uint64_t{header.columns} * sizeof(Column);
  if (header.columns > kMaxColumns || at > section.size()) {
    return DamagedBlock("%u deltas with %u columns in %zu bytes", header.entries, header.columns,
                        section.size());
  }
  Deltas deltas = {};
  deltas.entries = reinterpret_cast<const DeltaEntry*>(section.data() + entries_at);
  deltas.count = header.entries;
  deltas.skips = skips;
  deltas.skip_upto = folded_lsn_;
  deltas.columns =
      Columns(reinterpret_cast<const Column*>(section.data() + columns_at), header.columns);
  deltas.payloads = section.data() + at;
  for (const Column column : deltas.columns) {
    if (!ColumnIsSane(column)) return DamagedBlock("deltas with an impossible column type");
  }
  const uint64_t payload_size = section.size() - at;
  bool any = false;
  for (uint32_t i = 0; i < deltas.count; i++) {
    const DeltaEntry& entry = deltas.entries[i];
    if (uint64_t{entry.payload} + entry.size > payload_size ||
        !PayloadFits(entry.kind, entry.size)) {
      return DamagedBlock("delta %u of kind %u: %u bytes at %u", i,
                          static_cast<unsigned>(entry.kind), entry.size, entry.payload);
    }
    if (i > 0 && (entry.slot < (&entry)[-1].slot ||
                  (entry.slot == (&entry)[-1].slot && entry.lsn >= (&entry)[-1].lsn))) {
      return DamagedBlock("delta %u is out of order", i);
    }
    max_lsn_ = std::max(max_lsn_, entry.lsn);
    if (!deltas.Skips(entry.lsn)) {
      SetBit(slots_, entry.slot);
      SetBit(delta_slots_, entry.slot);
      any = true;
    }
  }
  if (any) deltas_.push_back(deltas);
  return Status::Ok();
}

}  // namespace omendb
