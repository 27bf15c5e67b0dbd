#include "block/fold.h"

#include "base/coding.h"
#include "base/pure.h"
#include "block/bit_packing.h"
#include "block/section.h"

namespace omendb {
namespace {

// What a thread keeps from fold to fold. RocksDB's threads fold thousands of blocks in a row.
struct FoldWorkspace {
  BlockView view;
  VersionFold fold;
  std::vector<StoredVersion> versions;
  std::vector<Column> layout;
  std::vector<std::vector<uint64_t>> copies;  // of values that are not 8-aligned
};

Slice Aligned(Slice value, std::vector<std::vector<uint64_t>>* copies) {
  if (reinterpret_cast<uintptr_t>(value.data()) % 8 == 0) return value;
  std::vector<uint64_t>& copy = copies->emplace_back(value.size() / 8 + 1);
  std::memcpy(copy.data(), value.data(), value.size());
  return Slice(reinterpret_cast<const char*>(copy.data()), value.size());
}

}  // namespace

Status FoldBlock(const std::vector<Slice>& values, FoldScope scope, const TransactionOracle& oracle,
                 std::string* out) {
  thread_local FoldWorkspace work;
  out->clear();
  work.view.Clear();
  work.copies.clear();
  for (const Slice value : values) {
    OMENDB_RETURN_IF_ERROR(work.view.AddValue(Aligned(value, &work.copies), true));
  }
  const BlockView& view = work.view;
  if (scope == FoldScope::kPartial && view.has_folded()) {
    return Status::Make(StatusCode::kInvalidArgument, "partial fold of a folded block value");
  }
  if (values.size() == 1 && view.has_folded() && view.plain_image() != nullptr &&
      LoadFixed<SectionHeader>(values[0].data()).size == values[0].size()) {
    out->assign(values[0]);
    return Status::Ok();
  }
  OMENDB_RETURN_IF_ERROR(view.Layout(&work.layout));
  work.fold.Start(scope, &oracle);
  for (uint32_t slot = 0; slot < kSlotsPerBlock; slot++) {
    if (!TestBit(view.slots(), slot)) continue;
    work.versions.clear();
    StoredVersion version;
    for (Lsn before = ~Lsn{0}; view.NextVersion(static_cast<SlotNo>(slot), before, &version);
         before = version.meta.lsn) {
      work.versions.push_back(version);
    }
    OMENDB_RETURN_IF_ERROR(work.fold.AddSlot(static_cast<SlotNo>(slot), work.versions));
  }
  return work.fold.Finish(view.max_lsn(), work.layout, out);
}

}  // namespace omendb
