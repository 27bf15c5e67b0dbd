// Where the data blocks of an SST end and its index, filter and properties begin.
#pragma once

#include <cstdint>
#include <functional>

#include "base/types.h"
#include "base/pure.h"

namespace omendb {

// The file's bytes [offset, offset + n) in `to`; false on error or a short read.
class SstBytes {
 public:
  virtual ~SstBytes() = default;
  virtual bool Read(uint64_t offset, size_t n, char* to) const = 0;
};

// Calls visit(internal key, value) for each entry of an uncompressed block (without its
// trailer), in order, until it returns false. False if the bytes are no block or visit said so.
using SstEntryVisitor = std::function<bool(Slice key, Slice value)>;
[[nodiscard]] bool VisitSstBlock(Slice block, const SstEntryVisitor& visit);

// What stands in a block beside the user's key before the first value, at most: three varints, of
// which two are of less than 2^32, and what follows the key.
inline constexpr size_t kSstEntryHead = 1 + 5 + 5 + 8;

// The first entry of a block, by what the block begins with: the whole key has to be among it.
struct SstFirstEntry {
  Slice user_key;
  uint64_t value_at = 0, value_size = 0;  // from the beginning of the block
};
// False if it is none that puts a whole value.
[[nodiscard]] bool ReadSstFirstEntry(Slice head, SstFirstEntry* entry);

// Offset of the first byte behind the data blocks, or file_size if the file does not look like a
// block-based table of a format that we write.
uint64_t SstDataEnd(const SstBytes& bytes, uint64_t file_size);

}  // namespace omendb
