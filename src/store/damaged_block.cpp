#include "store/damaged_block.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <vector>

#include "base/types.h"
#include "block/block_value.h"
#include "block/index_leaf.h"
#include "store/block_merge.h"
#include "store/leaf_merge.h"
#include "store/sst_layout.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr int kXxh3 = 4;  // rocksdb::kXXH3, the checksum of our tables
constexpr size_t kMaxBlock = 1u << 30;
constexpr size_t kTypeByte = 1;  // compression type, between block and checksum

struct Mismatch {
  uint32_t computed;
  int type;
  std::string file;
  uint64_t offset, size;
};

// "... block checksum mismatch: stored = 1, computed = 2, type = 4  in FILE offset 3 size 4"
bool ParseMismatch(const std::string& error, Mismatch* mismatch) {
  const size_t start = error.find("block checksum mismatch: ");
  if (start == std::string::npos) return false;
  uint32_t stored;
  int consumed = 0;
  if (sscanf(error.c_str() + start,
             "block checksum mismatch: stored = %" SCNu32 ", computed = %" SCNu32
             ", type = %d in %n",
             &stored, &mismatch->computed, &mismatch->type, &consumed) != 3 ||
      consumed == 0) {
    return false;
  }
  const size_t name = start + consumed;
  const size_t name_end = error.find(" offset ", name);
  if (name_end == std::string::npos) return false;
  mismatch->file = error.substr(name, name_end - name);
  return sscanf(error.c_str() + name_end, " offset %" SCNu64 " size %" SCNu64, &mismatch->offset,
                &mismatch->size) == 2;
}

bool ReadBlock(const Mismatch& mismatch, std::string* block) {
  if (mismatch.size > kMaxBlock) return false;
  const int fd = open(mismatch.file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  block->resize(mismatch.size);
  const ssize_t got = pread(fd, block->data(), block->size(), static_cast<off_t>(mismatch.offset));
  close(fd);
  return got == static_cast<ssize_t>(block->size());
}

// What the file is of is not known here; a value says by its first section what it is. If that is
// what was damaged, it is neither.
bool IsLeaf(Slice value) {
  return value.size() > 1 && (value[1] == kSectionLeaf || value[1] == kSectionLeafDeltas);
}

Status CheckValue(Slice value) {
  if (IsLeaf(value)) {
    LeafView view;
    return LeafView::Parse(value, true, &view);
  }
  std::vector<uint64_t> aligned(value.size() / 8 + 1);
  std::memcpy(aligned.data(), value.data(), value.size());
  BlockView view;
  return BlockView::Parse(Slice(reinterpret_cast<char*>(aligned.data()), value.size()), true,
                          &view);
}

}  // namespace

bool PassDamagedBlock(const std::string& error, PrimaryFileSystem* file_system, std::string* what) {
  Mismatch mismatch;
  std::string block;
  if (!ParseMismatch(error, &mismatch) || mismatch.type != kXxh3 || !ReadBlock(mismatch, &block)) {
    return false;
  }
  bool explained = false;
  const bool parsed = VisitSstBlock(block, [&](Slice key, Slice value) {
    const Status status = CheckValue(value);
    if (!status.ok()) {
      explained = true;
      // An internal key ends with eight bytes of sequence number and type.
      const Slice user_key = key.substr(0, key.size() < 8 ? 0 : key.size() - 8);
      *what = (IsLeaf(value) ? DescribeLeafKey(user_key) : DescribeBlockKey(user_key)) + ": " +
              status.detail();
    }
    return true;
  });
  if (!parsed || !explained) return false;
  *what += " (" + mismatch.file + ", offset " + std::to_string(mismatch.offset) + ")";
  file_system->Amend(mismatch.file, mismatch.offset + mismatch.size + kTypeByte, mismatch.computed);
  return true;
}

}  // namespace omendb
