// PostgreSQL's growing strings as C++ sees them.
#pragma once

#include "base/types.h"
#include "pg/server.h"

extern "C" {
#include "lib/stringinfo.h"
}

namespace omendb {

// Good until the string grows.
inline Slice SliceOf(const StringInfoData& text) {
  return Slice(text.data, static_cast<size_t>(text.len));
}

}  // namespace omendb
