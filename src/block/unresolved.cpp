#include "block/unresolved.h"

#include <algorithm>

#include "base/coding.h"
#include "base/pure.h"
#include "block/block_value.h"
#include "block/deltas_layout.h"
#include "block/row_image.h"
#include "block/section.h"

namespace omendb {
namespace {

void Count(FullXid xid, uint8_t flags, FullXid* oldest) {
  if (xid == 0 || (flags & (kVersionCommitted | kVersionAborted)) != 0) return;
  *oldest = std::min(*oldest, xid);
}

Status CountImage(Slice section, FullXid* oldest) {
  RowImage image;
  OMENDB_RETURN_IF_ERROR(RowImage::OpenTrusted(section, &image));
  for (uint32_t i = 0; i < image.stamps(); i++) {
    const RowStamp stamp = image.stamp_at(i);
    Count(stamp.xid, stamp.flags, oldest);
  }
  return Status::Ok();
}

Status CountDeltas(Slice section, FullXid* oldest) {
  constexpr size_t kEntriesAt = kSectionHeaderSize + sizeof(DeltasHeader);
  if (section.size() < kEntriesAt) return DamagedBlock("deltas without header");
  const auto header = LoadFixed<DeltasHeader>(section.data() + kSectionHeaderSize);
  if (kEntriesAt + uint64_t{header.entries} * sizeof(DeltaEntry) > section.size()) {
    return DamagedBlock("%u deltas in %zu bytes", header.entries, section.size());
  }
  const auto* entries = reinterpret_cast<const DeltaEntry*>(section.data() + kEntriesAt);
  for (uint32_t i = 0; i < header.entries; i++) Count(entries[i].xid, entries[i].flags, oldest);
  return Status::Ok();
}

}  // namespace

Status OldestUnresolvedXid(Slice value, FullXid* oldest) {
  *oldest = kNoUnresolvedXid;
  while (!value.empty()) {
    SectionHeader header;
    OMENDB_RETURN_IF_ERROR(ReadSection(value, true, &header));
    const Slice section = value.substr(0, header.size);
    value.remove_prefix(header.size);
    OMENDB_RETURN_IF_ERROR(header.type == kSectionDeltas ? CountDeltas(section, oldest)
                                                         : CountImage(section, oldest));
  }
  return Status::Ok();
}

}  // namespace omendb
