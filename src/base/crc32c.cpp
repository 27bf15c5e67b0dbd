#include "base/crc32c.h"

#include <array>
#include <cstring>

#include "base/pure.h"

namespace omendb {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t Portable(uint32_t crc, const unsigned char* at, size_t size) {
  for (; size > 0; size--) crc = kTable[(crc ^ *at++) & 0xff] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Hardware(uint32_t crc, const unsigned char* at,
                                                    size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; size--) crc = __builtin_ia32_crc32qi(crc, *at++);
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(uint32_t crc, Slice data) {
  const auto* at = reinterpret_cast<const unsigned char*>(data.data());
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~Hardware(~crc, at, data.size());
#endif
  return ~Portable(~crc, at, data.size());
}

}  // namespace omendb
