#include "block/section.h"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"
#include "block/leaf_section.h"
#include "base/pure.h"

namespace omendb {
namespace {

uint32_t SectionChecksum(Slice section) {
  constexpr size_t kAt = offsetof(SectionHeader, crc32c);
  constexpr char kZero[sizeof(uint32_t)] = {};
  uint32_t crc = Crc32c(0, section.substr(0, kAt));
  crc = Crc32c(crc, Slice(kZero, sizeof(kZero)));
  return Crc32c(crc, section.substr(kAt + sizeof(uint32_t)));
}

// What distinguishes the sections of one kind of value.
struct SectionKind {
  uint8_t first_type, last_type;
  uint16_t flags;  // that are known
  Status (*damaged)(const char* format, ...) __attribute__((format(printf, 1, 2)));
};
constexpr SectionKind kBlockSections = {kSectionRowImage, kSectionDeltas, kSectionFolded,
                                        DamagedBlock};
constexpr SectionKind kLeafSections = {kSectionLeaf, kSectionLeafDeltas, 0, DamagedLeaf};

__attribute__((format(printf, 2, 0))) Status Damaged(const char* what, const char* format,
                                                     va_list args) {
  char detail[200];
  std::vsnprintf(detail, sizeof(detail), format, args);
  return Status::Corruption(what, detail);
}

Status VerifyChecksum(const SectionKind& kind, Slice checked, const SectionHeader& header) {
  const uint32_t found = SectionChecksum(checked);
  if (found == header.crc32c) return Status::Ok();
  return kind.damaged("checksum of a section is %08x, expected %08x", found, header.crc32c);
}

Status ReadSectionOf(const SectionKind& kind, Slice value, SectionHeader* header) {
  if (value.size() < kSectionHeaderSize) return kind.damaged("%zu stray bytes", value.size());
  *header = LoadFixed<SectionHeader>(value.data());
  if (header->format != kSectionFormat) {
    return kind.damaged("unknown section format %u", header->format);
  }
  if (header->type < kind.first_type || header->type > kind.last_type) {
    return kind.damaged("unknown section type %u", header->type);
  }
  if ((header->flags & ~kind.flags) || header->reserved != 0) {
    return kind.damaged("unknown section flags %#x", header->flags);
  }
  if (header->size < kSectionHeaderSize || header->size % 8 != 0 || header->size > value.size()) {
    return kind.damaged("section of %u bytes where %zu are left", header->size, value.size());
  }
  return Status::Ok();
}

}  // namespace

Status DamagedBlock(const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status status = Damaged("damaged row block", format, args);
  va_end(args);
  return status;
}

Status DamagedLeaf(const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status status = Damaged("damaged index leaf", format, args);
  va_end(args);
  return status;
}

void SealSection(char* section, size_t size, size_t checked, uint8_t type, uint16_t flags,
                 Lsn lsn) {
  SectionHeader header = {};
  header.format = kSectionFormat;
  header.type = type;
  header.flags = flags;
  header.size = static_cast<uint32_t>(size);
  header.lsn = lsn;
  StoreFixed(section, header);
  header.crc32c = SectionChecksum(Slice(section, checked));
  StoreFixed(section, header);
}

Status ReadSection(Slice value, bool verify, SectionHeader* header) {
  OMENDB_RETURN_IF_ERROR(ReadSectionOf(kBlockSections, value, header));
  return verify ? VerifyChecksum(kBlockSections, value.substr(0, header->size), *header)
                : Status::Ok();
}

Status ReadLeafSection(Slice value, SectionHeader* header) {
  return ReadSectionOf(kLeafSections, value, header);
}

Status VerifyLeafHead(Slice head, const SectionHeader& header) {
  return VerifyChecksum(kLeafSections, head, header);
}

}  // namespace omendb
