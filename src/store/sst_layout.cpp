// Layout of a block-based table, as far as it matters here (RocksDB's table/format.h):
//
//   data blocks
//   filter, index, range deletions, properties    each named by a handle below
//   metaindex block                               name -> handle
//   footer, 53 bytes
//     checksum type:   uint8
//     metaindex:       handle
//     index:           handle
//     padding          up to 41 bytes from the start
//     format version:  uint32
//     magic:           uint64
//
//   handle: varint offset, varint size (without the 5-byte trailer of every block)
//   block:  entries (varint shared, varint unshared, varint value size, key, value), restart array
//           of uint32, uint32 number of restarts
//   key:    the user's, then 8 bytes: sequence number << 8 | type, little-endian
#include "store/sst_layout.h"

#include <algorithm>
#include <string>

#include "base/coding.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr size_t kFooterSize = 53;
constexpr uint64_t kMagic = 0x88e241b785f4cff7ull;
constexpr uint64_t kMaxMetaindexSize = 1 << 20;
constexpr size_t kKeyTail = 8;
constexpr char kTypeValue = 1;

struct Handle {
  uint64_t offset = 0, size = 0;
};

bool TakeHandle(Slice* from, Handle* handle) {
  return TakeVarint(from, &handle->offset) && TakeVarint(from, &handle->size);
}

}  // namespace

bool VisitSstBlock(Slice block, const SstEntryVisitor& visit) {
  if (block.size() < 4) return false;
  const uint32_t restarts = LoadFixed<uint32_t>(block.data() + block.size() - 4);
  if (restarts > (block.size() - 4) / 4) return false;
  Slice entries = block.substr(0, block.size() - 4 - 4 * size_t{restarts});
  std::string key;
  while (!entries.empty()) {
    uint64_t shared, unshared, value_size;
    if (!TakeVarint(&entries, &shared) || !TakeVarint(&entries, &unshared) ||
        !TakeVarint(&entries, &value_size) || shared > key.size() || unshared > entries.size() ||
        value_size > entries.size() - unshared) {
      return false;
    }
    key.resize(shared);
    key.append(entries.substr(0, unshared));
    if (!visit(key, entries.substr(unshared, value_size))) return false;
    entries.remove_prefix(unshared + value_size);
  }
  return true;
}

bool ReadSstFirstEntry(Slice head, SstFirstEntry* entry) {
  Slice rest = head;
  uint64_t shared, unshared;
  if (!TakeVarint(&rest, &shared) || !TakeVarint(&rest, &unshared) ||
      !TakeVarint(&rest, &entry->value_size) || shared != 0 || unshared < kKeyTail ||
      unshared > rest.size()) {
    return false;
  }
  entry->user_key = rest.substr(0, unshared - kKeyTail);
  entry->value_at = head.size() - rest.size() + unshared;
  return rest[entry->user_key.size()] == kTypeValue;
}

uint64_t SstDataEnd(const SstBytes& bytes, uint64_t file_size) {
  char footer[kFooterSize];
  if (file_size < kFooterSize || !bytes.Read(file_size - kFooterSize, kFooterSize, footer)) {
    return file_size;
  }
  const uint32_t version = LoadFixed<uint32_t>(footer + 41);
  if (LoadFixed<uint64_t>(footer + 45) != kMagic || version < 1 || version > 5) return file_size;

  Slice handles(footer + 1, 40);
  Handle metaindex, index;
  if (!TakeHandle(&handles, &metaindex) || !TakeHandle(&handles, &index)) return file_size;
  const uint64_t end = file_size - kFooterSize;
  if (metaindex.offset > end || metaindex.size > end - metaindex.offset || metaindex.size < 4 ||
      metaindex.size > kMaxMetaindexSize || index.offset > end) {
    return file_size;
  }
  std::string block(metaindex.size, '\0');
  if (!bytes.Read(metaindex.offset, block.size(), block.data())) return file_size;

  uint64_t data_end = std::min(index.offset, metaindex.offset);
  const bool parsed = VisitSstBlock(block, [&](Slice, Slice value) {
    Handle handle;
    if (!TakeHandle(&value, &handle) || handle.offset > end) return false;
    // A handle without bytes says nothing about where its neighbours are.
    if (handle.size > 0) data_end = std::min(data_end, handle.offset);
    return true;
  });
  return parsed ? data_end : file_size;
}

}  // namespace omendb
