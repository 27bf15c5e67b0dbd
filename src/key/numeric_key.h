// PostgreSQL's numeric as memcomparable bytes. Equal numbers have equal bytes: 1.0 is 1.00.
//
//   class:  uint8     -infinity 1, negative 2, zero 3, positive 4, infinity 5, NaN 6
//   finite and not zero, inverted if negative:
//   weight: uint16 big-endian, of the weight with its sign bit flipped
//   digits: uint16 big-endian each, base-10000 digit + 256, without zeros at either end
//   end:    uint8     0
//
// The *image* of a numeric is what stands behind its varlena header:
//
//   header: uint16    11 = special: then 00 NaN, 01 infinity, 11 -infinity
//                     10 = short: sign:1 display scale:6 weight:7 (two's complement)
//                     00 = positive, 01 = negative: display scale:14, then weight: int16
//   digits: int16 each, native byte order
#pragma once

#include "base/coding.h"
#include "base/pure.h"

namespace omendb {

inline constexpr size_t EncodedNumericBound(size_t image_size) { return image_size + 6; }

// `to` has room for EncodedNumericBound bytes. Returns the end, nullptr if the image is damaged.
char* EncodeNumeric(char* to, Slice image);

// Length of the encoded number at the front of `from`, 0 if there is none.
size_t SkipNumeric(Slice from, bool inverted);

// Display scale of an image, and the smallest that shows it exactly; 0 for NaN and infinity.
struct NumericScales {
  int shown;
  int exact;
};
NumericScales ScalesOf(Slice image);
// The image of exactly one encoded number (not inverted), with the fewest decimals that show it
// exactly or with `scale` if that is more. `to` has room for encoded.size() + 4 bytes. Returns the
// length, 0 if the bytes are no encoding.
size_t DecodeNumeric(Slice encoded, int scale, char* to);

}  // namespace omendb
