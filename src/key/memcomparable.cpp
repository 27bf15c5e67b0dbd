#include "key/memcomparable.h"

namespace omendb {
namespace {

constexpr char kEscape = 0;
constexpr char kEscapedZero = static_cast<char>(0xff);
constexpr char kTerminator = 1;

}  // namespace

char* EncodeBytes(char* to, Slice value) {
  const char* from = value.data();
  const char* end = from + value.size();
  while (from != end) {
    auto* zero = static_cast<const char*>(std::memchr(from, 0, end - from));
    size_t plain = (zero != nullptr ? zero : end) - from;
    std::memcpy(to, from, plain);
    to += plain;
    from += plain;
    if (zero != nullptr) {
      *to++ = kEscape;
      *to++ = kEscapedZero;
      from++;
    }
  }
  *to++ = kEscape;
  *to++ = kTerminator;
  return to;
}

int64_t DecodeBytes(Slice encoded, char* to) {
  char* start = to;
  for (size_t i = 0; i < encoded.size(); i++) {
    if (encoded[i] != kEscape) {
      *to++ = encoded[i];
      continue;
    }
    if (++i == encoded.size()) return -1;
    if (encoded[i] == kTerminator) return i + 1 == encoded.size() ? to - start : -1;
    if (encoded[i] != kEscapedZero) return -1;
    *to++ = 0;
  }
  return -1;
}

size_t SkipBytes(Slice from, bool inverted) {
  char mask = inverted ? static_cast<char>(0xff) : 0;
  size_t at = 0;
  for (;;) {
    at = from.find(static_cast<char>(kEscape ^ mask), at);
    if (at == Slice::npos || at + 1 >= from.size()) return 0;
    char next = from[at + 1] ^ mask;
    if (next == kTerminator) return at + 2;
    if (next != kEscapedZero) return 0;
    at += 2;
  }
}

size_t SkipString(Slice from, bool inverted) {
  size_t at = from.find(inverted ? static_cast<char>(0xff) : '\0');
  return at == Slice::npos ? 0 : at + 1;
}

}  // namespace omendb
