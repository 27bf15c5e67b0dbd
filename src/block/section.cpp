#include "block/section.h"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"
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

}  // namespace

Status DamagedBlock(const char* format, ...) {
  char detail[200];
  va_list args;
  va_start(args, format);
  std::vsnprintf(detail, sizeof(detail), format, args);
  va_end(args);
  return Status::Corruption("damaged row block", detail);
}

void SealSection(char* section, size_t size, uint8_t type, uint16_t flags, Lsn lsn) {
  SectionHeader header = {};
  header.format = kSectionFormat;
  header.type = type;
  header.flags = flags;
  header.size = static_cast<uint32_t>(size);
  header.lsn = lsn;
  StoreFixed(section, header);
  header.crc32c = SectionChecksum(Slice(section, size));
  StoreFixed(section, header);
}

Status ReadSection(Slice value, bool verify, SectionHeader* header) {
  if (value.size() < kSectionHeaderSize) return DamagedBlock("%zu stray bytes", value.size());
  *header = LoadFixed<SectionHeader>(value.data());
  if (header->format != kSectionFormat) {
    return DamagedBlock("unknown section format %u", header->format);
  }
  if (header->type != kSectionRowImage && header->type != kSectionDeltas) {
    return DamagedBlock("unknown section type %u", header->type);
  }
  if ((header->flags & ~kSectionFolded) || header->reserved != 0) {
    return DamagedBlock("unknown section flags %#x", header->flags);
  }
  if (header->size < kSectionHeaderSize || header->size % 8 != 0 || header->size > value.size()) {
    return DamagedBlock("section of %u bytes where %zu are left", header->size, value.size());
  }
  if (verify) {
    const uint32_t found = SectionChecksum(value.substr(0, header->size));
    if (found != header->crc32c) {
      return DamagedBlock("checksum of a section is %08x, expected %08x", found, header->crc32c);
    }
  }
  return Status::Ok();
}

}  // namespace omendb
