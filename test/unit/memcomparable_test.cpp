#include "key/memcomparable.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "key/inet_key.h"
#include "key/numeric_key.h"

namespace omendb {
namespace {

std::mt19937_64 g_random(20260101);

uint64_t Draw(uint64_t below) { return g_random() % below; }

int Sign(int order) { return order < 0 ? -1 : order > 0; }

std::string Inverted(std::string bytes) {
  InvertBytes(bytes.data(), bytes.data() + bytes.size());
  return bytes;
}

// Two encodings order as `order`, inverted the other way round, and neither begins the other.
void ExpectOrder(const std::string& a, const std::string& b, int order) {
  EXPECT_EQ(Sign(a.compare(b)), Sign(order));
  EXPECT_EQ(Sign(Inverted(a).compare(Inverted(b))), -Sign(order));
  if (order != 0) {
    EXPECT_FALSE(a.starts_with(b));
    EXPECT_FALSE(b.starts_with(a));
  }
  // The end of the prefix is above everything that starts with it, and not above the next value.
  std::string end = a;
  end.resize(MakePrefixEnd(end.data(), end.size()));
  if (end.empty()) return;
  EXPECT_LT(a + std::string(20, '\xff'), end);
  if (order < 0) {
    EXPECT_LE(end, b);
  }
}

template <typename Skip>
void ExpectSkip(const std::string& encoded, Skip skip) {
  std::string tail = "\x01\x02";
  EXPECT_EQ(skip(encoded + tail, false), encoded.size());
  EXPECT_EQ(skip(Inverted(encoded) + tail, true), encoded.size());
  for (size_t i = 0; i < encoded.size(); i++) {
    EXPECT_EQ(skip(Slice(encoded).substr(0, i), false), 0u);
  }
}

template <typename T>
std::string Encoded(char* (*encode)(char*, T), T value, size_t bound) {
  std::string bytes(bound, '\0');
  bytes.resize(encode(bytes.data(), value) - bytes.data());
  return bytes;
}

int64_t SomeInt() {
  switch (Draw(4)) {
    case 0:
      return static_cast<int64_t>(Draw(7)) - 3;
    case 1:
      return std::numeric_limits<int64_t>::max() - static_cast<int64_t>(Draw(3));
    case 2:
      return std::numeric_limits<int64_t>::min() + static_cast<int64_t>(Draw(3));
    default:
      return static_cast<int64_t>(g_random() >> Draw(64)) * (Draw(2) ? 1 : -1);
  }
}

TEST(Memcomparable, IntegersKeepTheirOrder) {
  for (int i = 0; i < 20000; i++) {
    int64_t a = SomeInt(), b = Draw(5) ? SomeInt() : a;
    std::string ea = Encoded<int64_t>(EncodeInt64, a, 8), eb = Encoded<int64_t>(EncodeInt64, b, 8);
    ExpectOrder(ea, eb, a < b ? -1 : a > b);
    EXPECT_EQ(DecodeInt64(ea.data()), a);
    auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
    ea = Encoded<uint64_t>(EncodeUnsigned64, ua, 8);
    ExpectOrder(ea, Encoded<uint64_t>(EncodeUnsigned64, ub, 8), ua < ub ? -1 : ua > ub);
    EXPECT_EQ(DecodeUnsigned64(ea.data()), ua);
    auto sa = static_cast<int32_t>(a), sb = static_cast<int32_t>(b);
    ea = Encoded<int32_t>(EncodeInt32, sa, 4);
    ExpectOrder(ea, Encoded<int32_t>(EncodeInt32, sb, 4), sa < sb ? -1 : sa > sb);
    EXPECT_EQ(DecodeInt32(ea.data()), sa);
    __int128 wa = static_cast<__int128>(a) * SomeInt(), wb = Draw(5) ? b : wa;
    ea = Encoded<__int128>(EncodeInt128, wa, 16);
    ExpectOrder(ea, Encoded<__int128>(EncodeInt128, wb, 16), wa < wb ? -1 : wa > wb);
    EXPECT_TRUE(DecodeInt128(ea.data()) == wa);
  }
}

double SomeDouble() {
  static const std::vector<double> kSpecial = {0.0,
                                               -0.0,
                                               1.0,
                                               -1.0,
                                               0.1,
                                               5e-324,
                                               -5e-324,
                                               1e308,
                                               -1e308,
                                               std::numeric_limits<double>::infinity(),
                                               -std::numeric_limits<double>::infinity(),
                                               std::numeric_limits<double>::quiet_NaN(),
                                               -std::numeric_limits<double>::quiet_NaN()};
  if (Draw(2)) return kSpecial[Draw(kSpecial.size())];
  return std::bit_cast<double>(g_random());
}

TEST(Memcomparable, DoublesKeepTheirOrderWithNaNAboveAll) {
  for (int i = 0; i < 20000; i++) {
    double a = SomeDouble(), b = Draw(5) ? SomeDouble() : a;
    int order = std::isnan(a) ? !std::isnan(b) : std::isnan(b) ? -1 : a < b ? -1 : a > b;
    std::string ea = Encoded<double>(EncodeDouble, a, 8);
    ExpectOrder(ea, Encoded<double>(EncodeDouble, b, 8), order);
    double back = DecodeDouble(ea.data());
    EXPECT_TRUE(back == a || (std::isnan(a) && std::isnan(back)));
    EXPECT_FALSE(back == 0 && std::signbit(back));
  }
}

std::string SomeBytes(bool zeros) {
  std::string bytes;
  for (size_t n = Draw(Draw(10) ? 6 : 400); bytes.size() < n;) {
    char byte = "\x00\x00\xff\x01\x61\xfe"[Draw(6)];
    if (zeros || byte != 0) bytes.push_back(byte);
  }
  return bytes;
}

TEST(Memcomparable, BytesAndStringsKeepTheirOrder) {
  for (int i = 0; i < 20000; i++) {
    std::string a = SomeBytes(true), b = Draw(3) ? SomeBytes(true) : a + SomeBytes(true);
    std::string ea = Encoded<Slice>(EncodeBytes, a, EncodedBytesBound(a.size()));
    ExpectOrder(ea, Encoded<Slice>(EncodeBytes, b, EncodedBytesBound(b.size())), a.compare(b));
    ExpectSkip(ea, SkipBytes);
    std::string back(ea.size(), '\0');
    int64_t size = DecodeBytes(ea, back.data());
    ASSERT_EQ(size, static_cast<int64_t>(a.size()));
    EXPECT_EQ(back.substr(0, size), a);
    EXPECT_EQ(DecodeBytes(Slice(ea).substr(0, ea.size() - 1), back.data()), -1);
    EXPECT_EQ(DecodeBytes(ea + "x", back.data()), -1);

    a = SomeBytes(false), b = Draw(3) ? SomeBytes(false) : a + SomeBytes(false);
    ea = Encoded<Slice>(EncodeString, a, EncodedStringBound(a.size()));
    ExpectOrder(ea, Encoded<Slice>(EncodeString, b, EncodedStringBound(b.size())), a.compare(b));
    ExpectSkip(ea, SkipString);
  }
}

TEST(Memcomparable, GarbageIsNoEncoding) {
  for (int i = 0; i < 50000; i++) {
    std::string garbage(Draw(30), '\0');
    for (char& byte : garbage) byte = Draw(2) ? "\x00\x01\xff\x02\x04"[Draw(5)] : Draw(256);
    char room[100];
    if (DecodeBytes(garbage, room) >= 0) {
      EXPECT_EQ(SkipBytes(garbage, false), garbage.size());
    }
    if (size_t size = DecodeNumeric(garbage, Draw(100), room); size > 0) {
      // Whatever is accepted is a number with this encoding.
      EXPECT_LE(size, garbage.size() + 4);
      EXPECT_EQ(Encoded<Slice>(EncodeNumeric, Slice(room, size), EncodedNumericBound(size)),
                garbage);
    }
    size_t skipped = SkipInet(garbage, Draw(2));
    EXPECT_LE(skipped, garbage.size());
    if (char* end = EncodeNumeric(room, garbage); end != nullptr) {
      EXPECT_EQ(SkipNumeric(Slice(room, end - room), false), static_cast<size_t>(end - room));
    }
    if (char* end = EncodeInet(room, garbage); end != nullptr) {
      EXPECT_EQ(SkipInet(Slice(room, end - room), false), static_cast<size_t>(end - room));
    }
  }
}

// A number as a model can compare it: 40 digits in front of the point and 40 behind.
struct Decimal {
  int kind;  // -1 -infinity, 0 finite, 1 infinity, 2 NaN
  bool negative;
  std::string digits;  // 80 decimal digits
  int scale;
};

std::strong_ordering Compare(const Decimal& a, const Decimal& b) {
  if (a.kind != b.kind || a.kind != 0) return a.kind <=> b.kind;
  if (a.negative != b.negative) return b.negative <=> a.negative;
  return a.negative ? b.digits <=> a.digits : a.digits <=> b.digits;
}

// As PostgreSQL stores it.
std::string ImageOf(const Decimal& number, bool long_form) {
  std::string image;
  if (number.kind != 0) {
    AppendFixed<uint16_t>(&image, number.kind == 2 ? 0xc000 : number.kind == 1 ? 0xd000 : 0xf000);
    return image;
  }
  std::vector<int16_t> digits;
  for (size_t i = 0; i < 80; i += 4) digits.push_back(std::stoi(number.digits.substr(i, 4)));
  int weight = 9;
  while (!digits.empty() && digits.back() == 0) digits.pop_back();
  while (!digits.empty() && digits.front() == 0) digits.erase(digits.begin()), weight--;
  if (digits.empty()) weight = 0;
  bool negative = number.negative && !digits.empty();
  if (number.scale > 63) long_form = true;
  if (long_form) {
    AppendFixed<uint16_t>(&image, (negative ? 0x4000 : 0) | number.scale);
    AppendFixed<int16_t>(&image, weight);
  } else {
    AppendFixed<uint16_t>(&image,
                          0x8000 | (negative ? 0x2000 : 0) | number.scale << 7 | (weight & 0x7f));
  }
  for (int16_t digit : digits) AppendFixed(&image, digit);
  return image;
}

Decimal SomeDecimal() {
  Decimal number = {0, Draw(2) == 0, std::string(80, '0'), 0};
  if (Draw(20) == 0) number.kind = std::vector<int>{-1, 1, 2}[Draw(3)];
  size_t from = Draw(80), to = std::min<size_t>(80, from + Draw(Draw(3) ? 8 : 60));
  for (size_t i = from; i < to; i++) number.digits[i] = Draw(3) ? '0' + Draw(10) : '0';
  if (number.digits == std::string(80, '0')) number.negative = false;
  size_t last = number.digits.find_last_not_of('0');
  int exact = last == std::string::npos || last < 40 ? 0 : last - 39;
  number.scale = exact + (Draw(2) ? 0 : Draw(70));
  return number;
}

TEST(Memcomparable, NumericsKeepTheirOrderAndComeBack) {
  for (int i = 0; i < 30000; i++) {
    Decimal a = SomeDecimal(), b = SomeDecimal();
    if (Draw(4) == 0) {
      b = a;
      b.scale += Draw(5);
      if (Draw(2)) b.digits[Draw(80)] = '0' + Draw(10);
      if (b.digits == std::string(80, '0')) b.negative = false;
    }
    if (a.digits == std::string(80, '0')) a.negative = false;
    std::string image = ImageOf(a, Draw(3) == 0), other = ImageOf(b, Draw(3) == 0);
    auto order = Compare(a, b);
    std::string ea = Encoded<Slice>(EncodeNumeric, image, EncodedNumericBound(image.size()));
    std::string eb = Encoded<Slice>(EncodeNumeric, other, EncodedNumericBound(other.size()));
    ExpectOrder(ea, eb, order < 0 ? -1 : order > 0);
    ExpectSkip(ea, SkipNumeric);

    std::string back(ea.size() + 4, '\0');
    back.resize(DecodeNumeric(ea, ScalesOf(image).shown, back.data()));
    EXPECT_EQ(back, ImageOf(a, false));
    // Without a scale: the fewest decimals.
    back.assign(ea.size() + 4, '\0');
    back.resize(DecodeNumeric(ea, 0, back.data()));
    size_t last = a.digits.find_last_not_of('0');
    if (a.kind == 0) {
      int exact = last == std::string::npos || last < 40 ? 0 : static_cast<int>(last) - 39;
      EXPECT_EQ(ScalesOf(back).shown, exact);
      EXPECT_EQ(ScalesOf(image).exact, exact);
    }
  }
}

TEST(Memcomparable, NumericsFarFromThePoint) {
  auto image = [](int weight, int16_t digit, bool negative) {
    std::string bytes;
    AppendFixed<uint16_t>(&bytes, (negative ? 0x4000 : 0) | (weight < 0 ? -weight * 4 : 0));
    AppendFixed<int16_t>(&bytes, weight);
    AppendFixed(&bytes, digit);
    return bytes;
  };
  std::vector<std::string> ascending = {image(32767, 1, true),    image(100, 1, true),
                                        image(-4095, 1, true),    image(-4095, 1, false),
                                        image(-4095, 2, false),   image(100, 1, false),
                                        image(32767, 9999, false)};
  std::string before;
  for (const std::string& number : ascending) {
    std::string encoded = Encoded<Slice>(EncodeNumeric, number, EncodedNumericBound(number.size()));
    EXPECT_LT(before, encoded);
    std::string back(encoded.size() + 4, '\0');
    back.resize(DecodeNumeric(encoded, ScalesOf(number).shown, back.data()));
    EXPECT_EQ(back, number);
    before = encoded;
  }
}

// network_cmp() of the server.
int CompareBits(const std::string& a, const std::string& b, size_t bits) {
  for (size_t i = 0; i < bits; i++) {
    int left = static_cast<unsigned char>(a[2 + i / 8]) >> (7 - i % 8) & 1;
    int right = static_cast<unsigned char>(b[2 + i / 8]) >> (7 - i % 8) & 1;
    if (left != right) return left - right;
  }
  return 0;
}

int CompareInet(const std::string& a, const std::string& b) {
  if (a[0] != b[0]) return a[0] - b[0];
  int abits = static_cast<unsigned char>(a[1]), bbits = static_cast<unsigned char>(b[1]);
  if (int order = CompareBits(a, b, std::min(abits, bbits))) return order;
  if (abits != bbits) return abits - bbits;
  return CompareBits(a, b, 8 * (a.size() - 2));
}

std::string SomeInet() {
  std::string image(Draw(2) ? 6 : 18, '\0');
  image[0] = image.size() == 6 ? 2 : 3;
  image[1] = Draw(8 * (image.size() - 2) + 1);
  for (size_t i = 2; i < image.size(); i++)
    image[i] = Draw(3) ? "\x00\x0a\xff"[Draw(3)] : Draw(256);
  return image;
}

TEST(Memcomparable, AddressesKeepTheirOrder) {
  for (int i = 0; i < 20000; i++) {
    std::string a = SomeInet(), b = SomeInet();
    if (Draw(2)) {
      b = a;
      if (Draw(2)) b[1] = Draw(8 * (b.size() - 2) + 1);
      if (Draw(2)) b[2 + Draw(b.size() - 2)] = Draw(256);
    }
    std::string ea = Encoded<Slice>(EncodeInet, a, kEncodedInetBound);
    ExpectOrder(ea, Encoded<Slice>(EncodeInet, b, kEncodedInetBound), CompareInet(a, b));
    ExpectSkip(ea, SkipInet);
    std::string back(kInetImageBound, '\0');
    back.resize(DecodeInet(ea, back.data()));
    EXPECT_EQ(back, a);
  }
}

TEST(Memcomparable, ConcatenatedColumnsOrderAsTuples) {
  for (int i = 0; i < 20000; i++) {
    std::string a[2], b[2], ea, eb;
    for (int c = 0; c < 2; c++) {
      a[c] = SomeBytes(true), b[c] = Draw(2) ? a[c] : SomeBytes(true);
      ea += Encoded<Slice>(EncodeBytes, a[c], EncodedBytesBound(a[c].size()));
      eb += Encoded<Slice>(EncodeBytes, b[c], EncodedBytesBound(b[c].size()));
    }
    int order = a[0] != b[0] ? a[0].compare(b[0]) : a[1].compare(b[1]);
    EXPECT_EQ(Sign(ea.compare(eb)), Sign(order));
  }
}

}  // namespace
}  // namespace omendb
