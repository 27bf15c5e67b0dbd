// The frame of a section, drawn in block_value.h. Index leaves have the same, with types of their
// own.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "block/block_value.h"

namespace omendb {

struct SectionHeader {
  uint8_t format;
  uint8_t type;
  uint16_t flags;
  uint32_t size;
  uint64_t lsn;
  uint32_t crc32c;
  uint32_t reserved;
};
static_assert(sizeof(SectionHeader) == kSectionHeaderSize);

// Largest section: sizes and offsets are 32 bits wide.
inline constexpr size_t kMaxSectionSize = 0xfffffff8u;

// Writes the header of a finished section, checksum last: of its first `checked` bytes.
void SealSection(char* section, size_t size, size_t checked, uint8_t type, uint16_t flags, Lsn lsn);

// Reads and checks the header of the section that starts `value`, which is 8-aligned.
// verify: its checksum too.
Status ReadSection(Slice value, bool verify, SectionHeader* header);
// The same for a section of an index leaf, whose checksum is that of its head.
Status ReadLeafSection(Slice value, SectionHeader* header);
Status VerifyLeafHead(Slice head, const SectionHeader& header);

// kCorruption, "damaged row block", with a printf-like detail.
Status DamagedBlock(const char* format, ...) __attribute__((format(printf, 1, 2)));

// kCorruption, "damaged index leaf".
Status DamagedLeaf(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace omendb
