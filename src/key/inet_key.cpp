#include "key/inet_key.h"

namespace omendb {
namespace {

// AF_INET on every platform that PostgreSQL runs on; it calls IPv6 one more.
constexpr char kFamilyV4 = 2;
constexpr char kFamilyV6 = 3;

size_t AddressSize(char family) { return family == kFamilyV4 ? 4 : family == kFamilyV6 ? 16 : 0; }

}  // namespace

char* EncodeInet(char* to, Slice image) {
  if (image.size() < 2) return nullptr;
  size_t size = AddressSize(image[0]);
  size_t bits = static_cast<unsigned char>(image[1]);
  if (size == 0 || image.size() != 2 + size || bits > 8 * size) return nullptr;
  const char* address = image.data() + 2;
  *to++ = image[0];
  for (size_t i = 0; i < size; i++) {
    size_t kept = bits > 8 * i ? bits - 8 * i : 0;
    unsigned mask = kept >= 8 ? 0xff : 0xff00u >> kept & 0xff;
    *to++ = static_cast<char>(static_cast<unsigned char>(address[i]) & mask);
  }
  *to++ = image[1];
  std::memcpy(to, address, size);
  return to + size;
}

size_t SkipInet(Slice from, bool inverted) {
  if (from.empty()) return 0;
  size_t size = AddressSize(inverted ? static_cast<char>(~from[0]) : from[0]);
  size_t whole = 2 + 2 * size;
  return size == 0 || from.size() < whole ? 0 : whole;
}

size_t DecodeInet(Slice encoded, char* to) {
  size_t whole = SkipInet(encoded, false);
  if (whole == 0 || whole != encoded.size()) return 0;
  size_t size = AddressSize(encoded[0]);
  to[0] = encoded[0];
  to[1] = encoded[1 + size];
  std::memcpy(to + 2, encoded.data() + 2 + size, size);
  return 2 + size;
}

}  // namespace omendb
