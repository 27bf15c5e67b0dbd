#include "block/leaf_packer.h"

#include "base/index_position.h"
#include "base/pure.h"
#include "block/leaf_fold.h"

namespace omendb {
namespace {

// As full as the leaves that an append leaves behind.
constexpr uint32_t kPackedCount = kMaxLeafCount / 16 * 15;
constexpr size_t kPackedBytes = kMaxLeafBytes / 16 * 15;

}  // namespace

Status LeafPacker::EmitLeaf(Slice high) {
  value_.clear();
  OMENDB_RETURN_IF_ERROR(EncodeLeaf(entries_, 0, entries_.size(), low_, high, lsn_, &value_));
  OMENDB_RETURN_IF_ERROR(emit_(low_, value_));
  low_ = high;
  entries_.Clear();
  raw_size_ = 0;
  return Status::Ok();
}

Status LeafPacker::Add(const IndexEntry& entry) {
  const size_t size = entry.key.size() + kTidSize + entry.payload.size();
  if (!entries_.empty() && (entries_.size() == kPackedCount || raw_size_ + size > kPackedBytes)) {
    OMENDB_RETURN_IF_ERROR(EmitLeaf(Position(entry.key, entry.tid)));
  }
  entries_.Add(entry);
  raw_size_ += size;
  return Status::Ok();
}

Status LeafPacker::Finish() { return entries_.empty() ? Status::Ok() : EmitLeaf(Slice()); }

}  // namespace omendb
