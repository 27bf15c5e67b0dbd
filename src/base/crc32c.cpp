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
// The instruction takes three cycles and one can begin in each: three streams of so many bytes side
// by side, then what is known of the one in front is carried over the one behind it. (V. Gopal et
// al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011.)
constexpr size_t kLongStream = 1024, kShortStream = 128;

// What a checksum becomes behind so many zeros. The step is linear: a table for each of its bytes.
class Shift {
 public:
  constexpr explicit Shift(size_t zeros) {
    uint32_t bits[32];
    for (uint32_t i = 0; i < 32; i++) {
      bits[i] = uint32_t{1} << i;
      for (size_t zero = 0; zero < zeros; zero++) {
        bits[i] = kTable[bits[i] & 0xff] ^ (bits[i] >> 8);
      }
    }
    for (uint32_t byte = 0; byte < 4; byte++) {
      for (uint32_t value = 0; value < 256; value++) {
        for (uint32_t i = 0; i < 8; i++) {
          if ((value >> i & 1) != 0) tables_[byte][value] ^= bits[byte * 8 + i];
        }
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][crc >> 8 & 0xff] ^ tables_[2][crc >> 16 & 0xff] ^
           tables_[3][crc >> 24];
  }

 private:
  std::array<std::array<uint32_t, 256>, 4> tables_{};
};
constexpr Shift kOverLong(kLongStream), kOverShort(kShortStream);

uint64_t WordAt(const unsigned char* at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

template <size_t stream>
__attribute__((target("sse4.2"))) uint32_t ThreeStreams(uint32_t crc, const unsigned char** at,
                                                        size_t* size, const Shift& over) {
  for (; *size >= 3 * stream; *size -= 3 * stream, *at += 3 * stream) {
    uint64_t first = crc, second = 0, third = 0;
    for (size_t i = 0; i < stream; i += 8) {
      first = __builtin_ia32_crc32di(first, WordAt(*at + i));
      second = __builtin_ia32_crc32di(second, WordAt(*at + stream + i));
      third = __builtin_ia32_crc32di(third, WordAt(*at + 2 * stream + i));
    }
    crc = over(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    crc = over(crc) ^ static_cast<uint32_t>(third);
  }
  return crc;
}

__attribute__((target("sse4.2"))) uint32_t Hardware(uint32_t crc, const unsigned char* at,
                                                    size_t size) {
  crc = ThreeStreams<kLongStream>(crc, &at, &size, kOverLong);
  crc = ThreeStreams<kShortStream>(crc, &at, &size, kOverShort);
  uint64_t wide = crc;
  for (; size >= 8; size -= 8, at += 8) wide = __builtin_ia32_crc32di(wide, WordAt(at));
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
