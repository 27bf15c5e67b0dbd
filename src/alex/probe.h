// A key on its way through the number spaces, and its comparison with slots.
#pragma once

#include "alex/layout.h"
#include "base/coding.h"

namespace omendb::alex {

template <typename T>
T* At(char* base, uint32_t offset) {
  return reinterpret_cast<T*>(base + uint64_t{offset} * 8);
}

struct Probe {
  Slice key;
  uint64_t tid;
  uint64_t number = 0;
  int inline_size = -1;  // the size an inline slot would name, -1 = needs a record

  // Sets what depends on the space.
  void Enter(const Space* space) {
    if (key.size() == 8 && space->prefix_size == 0 && !space->by_tid) {  // most short
      number = LoadBigEndian64(key.data());
      inline_size = 8;
    } else {
      EnterAny(space);
    }
  }

 private:
  [[gnu::noinline]] void EnterAny(const Space* space) {
    size_t prefix = space->prefix_size;
    inline_size = -1;
    if (prefix > 0 &&
        (key.size() < prefix || std::memcmp(key.data(), space->prefix, prefix) != 0)) {
      number = key.compare(Slice(space->prefix, prefix)) < 0 ? 0 : UINT64_MAX;
      return;
    }
    size_t rest = key.size() - prefix;
    if (space->by_tid) {
      number = rest == 0 ? tid : UINT64_MAX;
    } else if (rest >= 8) {
      number = LoadBigEndian64(key.data() + prefix);
    } else {
      number = 0;
      for (size_t i = 0; i < rest; i++) {
        number |= uint64_t{static_cast<unsigned char>(key[prefix + i])} << (56 - 8 * i);
      }
    }
    // At the ends of a guessed prefix there may be keys without it: a deeper space for them does
    // not have the bytes that a slot leaves out.
    bool edge = space->sure < prefix && (number == 0 || number == UINT64_MAX);
    if (rest <= (space->by_tid ? 0 : 8) && key.size() <= AlexItem::kInlineKeySize && !edge) {
      inline_size = static_cast<int>(rest);
    }
  }
};

// Key and TID of a slot; `buffer` (kBufferSize) holds the key if it is inline.
inline Slice KeyOf(char* base, const Space* space, uint64_t number, uint64_t value, char* buffer,
                   uint64_t* tid) {
  if (value & kRecord) {
    const Record* record = At<Record>(base, OffsetOf(value));
    *tid = record->tid;
    return record->key();
  }
  *tid = value & kTidMask;
  size_t prefix = space->prefix_size, size = InlineSizeOf(value);
  if (prefix + size > AlexItem::kInlineKeySize) return {};  // a torn read; validation fails
  std::memcpy(buffer, space->prefix, prefix);
  number = __builtin_bswap64(number);
  std::memcpy(buffer + prefix, &number, 8);
  return {buffer, prefix + size};
}

// Compares a used slot that has the probe's number with the probe.
inline int CompareTied(char* base, const Space* space, uint64_t value, const Probe& probe) {
  uint64_t tid;
  if ((value & kRecord) == 0 && static_cast<int>(InlineSizeOf(value)) == probe.inline_size) {
    tid = value & kTidMask;
    return tid < probe.tid ? -1 : tid > probe.tid;
  }
  char buffer[AlexItem::kBufferSize];
  Slice key = KeyOf(base, space, probe.number, value, buffer, &tid);
  if (int order = key.compare(probe.key); order != 0) return order;
  return tid < probe.tid ? -1 : tid > probe.tid;
}

}  // namespace omendb::alex

#include "base/pure.h"
