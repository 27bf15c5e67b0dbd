#include "key/numeric_key.h"

#include "key/memcomparable.h"

namespace omendb {
namespace {

enum Class : char { kMinusInfinity = 1, kNegative, kZero, kPositive, kInfinity, kNaN };

constexpr uint16_t kKindMask = 0xc000;
constexpr uint16_t kNegativeLong = 0x4000;
constexpr uint16_t kShort = 0x8000;
constexpr uint16_t kSpecial = 0xc000;
constexpr uint16_t kSpecialMask = 0xf000;
constexpr uint16_t kSpecialInfinity = 0xd000;
constexpr uint16_t kSpecialMinusInfinity = 0xf000;
constexpr uint16_t kShortNegative = 0x2000;
constexpr int kShortScaleShift = 7;
constexpr int kShortScaleMax = 0x3f;
constexpr int kShortWeightMin = -64;
constexpr int kShortWeightMax = 63;
constexpr uint16_t kLongScaleMask = 0x3fff;

constexpr size_t kDigitSize = 2;
constexpr int kBase = 10000;
constexpr int kDecimalsPerDigit = 4;
// Keeps the first byte of a digit above the end byte.
constexpr int kDigitOffset = 256;

struct Number {
  Class kind;
  int scale;
  int weight;
  const char* digits;  // may be unaligned
  size_t count;
};

int DigitAt(const char* digits, size_t i) { return LoadFixed<int16_t>(digits + i * kDigitSize); }

bool Parse(Slice image, Number* number) {
  *number = {};
  if (image.size() < sizeof(uint16_t)) return false;
  uint16_t header = LoadFixed<uint16_t>(image.data());
  size_t header_size = sizeof(header);
  bool negative;
  switch (header & kKindMask) {
    case kSpecial: {
      uint16_t special = header & kSpecialMask;
      number->kind = special == kSpecialInfinity        ? kInfinity
                     : special == kSpecialMinusInfinity ? kMinusInfinity
                                                        : kNaN;
      return true;
    }
    case kShort:
      negative = (header & kShortNegative) != 0;
      number->scale = header >> kShortScaleShift & kShortScaleMax;
      number->weight = (header & 0x40) != 0 ? (header & 0x3f) - 64 : header & 0x3f;
      break;
    default:
      if (image.size() < header_size + sizeof(int16_t)) return false;
      negative = (header & kKindMask) == kNegativeLong;
      number->scale = header & kLongScaleMask;
      number->weight = LoadFixed<int16_t>(image.data() + header_size);
      header_size += sizeof(int16_t);
  }
  number->digits = image.data() + header_size;
  number->count = (image.size() - header_size) / kDigitSize;
  // Numbers are stored without zeros at either end; the encoding depends on it.
  while (number->count > 0 && DigitAt(number->digits, number->count - 1) == 0) number->count--;
  while (number->count > 0 && DigitAt(number->digits, 0) == 0) {
    number->digits += kDigitSize;
    number->count--;
    number->weight--;
  }
  number->kind = number->count == 0 ? kZero : negative ? kNegative : kPositive;
  return true;
}

// Decimals behind the point that are not zero.
int ExactScale(int weight, size_t count, int last_digit) {
  int decimals = (static_cast<int>(count) - weight - 1) * kDecimalsPerDigit;
  if (decimals <= 0) return 0;
  for (; last_digit % 10 == 0; last_digit /= 10) decimals--;
  return decimals < 0 ? 0 : decimals;
}

char* StoreUint16(char* to, uint16_t value) {
  StoreFixed(to, __builtin_bswap16(value));
  return to + sizeof(value);
}

}  // namespace

char* EncodeNumeric(char* to, Slice image) {
  Number number;
  if (!Parse(image, &number)) return nullptr;
  *to++ = number.kind;
  if (number.kind != kNegative && number.kind != kPositive) return to;
  char* value = to;
  to = StoreUint16(to, static_cast<uint16_t>(number.weight + 0x8000));
  for (size_t i = 0; i < number.count; i++) {
    int digit = DigitAt(number.digits, i);
    if (digit < 0 || digit >= kBase) return nullptr;
    to = StoreUint16(to, static_cast<uint16_t>(digit + kDigitOffset));
  }
  *to++ = 0;
  if (number.kind == kNegative) InvertBytes(value, to);
  return to;
}

size_t SkipNumeric(Slice from, bool inverted) {
  if (from.empty()) return 0;
  char mask = inverted ? static_cast<char>(0xff) : 0;
  char kind = from[0] ^ mask;
  if (kind < kMinusInfinity || kind > kNaN) return 0;
  if (kind != kNegative && kind != kPositive) return 1;
  char end = kind == kNegative ? static_cast<char>(~mask) : mask;
  for (size_t at = 1 + sizeof(uint16_t); at < from.size(); at += kDigitSize) {
    if (from[at] == end) return at + 1;
  }
  return 0;
}

NumericScales ScalesOf(Slice image) {
  Number number;
  if (!Parse(image, &number) || number.count == 0) return {number.scale, 0};
  int last_digit = DigitAt(number.digits, number.count - 1);
  return {number.scale, ExactScale(number.weight, number.count, last_digit)};
}

size_t DecodeNumeric(Slice encoded, int scale, char* to) {
  if (encoded.empty() || SkipNumeric(encoded, false) != encoded.size()) return 0;
  char* start = to;
  char kind = encoded[0];
  bool negative = kind == kNegative;
  uint16_t mask = negative ? 0xffff : 0;
  int weight = 0;
  size_t count = 0;
  switch (kind) {
    case kMinusInfinity:
    case kInfinity:
    case kNaN:
      StoreFixed<uint16_t>(to, kind == kNaN        ? kSpecial
                               : kind == kInfinity ? kSpecialInfinity
                                                   : kSpecialMinusInfinity);
      return sizeof(uint16_t);
    case kZero:
      break;
    default: {
      weight = (__builtin_bswap16(LoadFixed<uint16_t>(encoded.data() + 1)) ^ mask) - 0x8000;
      count = (encoded.size() - 1 - sizeof(uint16_t) - 1) / kDigitSize;
      if (count == 0) return 0;
    }
  }
  const char* digits = encoded.data() + 1 + sizeof(uint16_t);
  auto digit_at = [&](size_t i) {
    return (__builtin_bswap16(LoadFixed<uint16_t>(digits + i * kDigitSize)) ^ mask) - kDigitOffset;
  };
  for (size_t i = 0; i < count; i++) {
    if (digit_at(i) < 0 || digit_at(i) >= kBase) return 0;
  }
  if (count > 0) {
    if (digit_at(0) == 0 || digit_at(count - 1) == 0) return 0;
    int exact = ExactScale(weight, count, digit_at(count - 1));
    if (scale < exact) scale = exact;
  }
  if (scale <= kShortScaleMax && weight >= kShortWeightMin && weight <= kShortWeightMax) {
    StoreFixed<uint16_t>(
        to, kShort | (negative ? kShortNegative : 0) | scale << kShortScaleShift | (weight & 0x7f));
    to += sizeof(uint16_t);
  } else {
    StoreFixed<uint16_t>(to, (negative ? kNegativeLong : 0) | (scale & kLongScaleMask));
    StoreFixed<int16_t>(to + sizeof(uint16_t), static_cast<int16_t>(weight));
    to += 2 * sizeof(uint16_t);
  }
  for (size_t i = 0; i < count; i++, to += kDigitSize) {
    StoreFixed(to, static_cast<int16_t>(digit_at(i)));
  }
  return to - start;
}

}  // namespace omendb
