// PostgreSQL's inet and cidr as memcomparable bytes: by family, network, length of the network
// part, and then the whole address.
//
//   family:  uint8          as PostgreSQL has it; smaller for IPv4
//   network: 4 or 16 bytes  the address with the bits behind the network part cleared
//   bits:    uint8          length of the network part
//   address: 4 or 16 bytes
//
// The image of an inet is what stands behind its varlena header: family, bits, address.
#pragma once

#include "base/coding.h"
#include "base/pure.h"

namespace omendb {

inline constexpr size_t kEncodedInetBound = 34;
inline constexpr size_t kInetImageBound = 18;

// Returns the end, nullptr if the image is damaged.
char* EncodeInet(char* to, Slice image);
// Length of the encoded address at the front of `from`, 0 if there is none.
size_t SkipInet(Slice from, bool inverted);
// The image of exactly one encoded address (not inverted). Returns its length, 0 if there is none.
size_t DecodeInet(Slice encoded, char* to);

}  // namespace omendb
