#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace omendb {
namespace {

// Bit by bit, as the polynomial says.
uint32_t Model(uint32_t crc, Slice data) {
  crc = ~crc;
  for (char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

std::string RandomBytes(size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(Crc32cTest, KnownValues) {
  // RFC 3720, B.4, and the check value of the catalogues.
  EXPECT_EQ(Crc32c(0, "123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(0, std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(0, std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(0, ""), 0u);
  EXPECT_EQ(Crc32c(7, ""), 7u);
}

TEST(Crc32cTest, AllSizesAndPlaces) {
  const std::string bytes = RandomBytes(8000);
  for (size_t size = 0; size < 1000; size++) {
    const Slice data(bytes.data() + size % 9, size);
    ASSERT_EQ(Crc32c(0, data), Model(0, data)) << size;
  }
  for (size_t size = 1000; size < 7990; size += 61) {
    const Slice data(bytes.data() + size % 9, size);
    ASSERT_EQ(Crc32c(12345, data), Model(12345, data)) << size;
  }
}

TEST(Crc32cTest, InParts) {
  const std::string bytes = RandomBytes(7000);
  const uint32_t whole = Crc32c(0, bytes);
  for (size_t first = 0; first <= bytes.size(); first += 97) {
    const uint32_t begun = Crc32c(0, Slice(bytes).substr(0, first));
    ASSERT_EQ(Crc32c(begun, Slice(bytes).substr(first)), whole) << first;
  }
}

}  // namespace
}  // namespace omendb
