// The record of index entries: as wal/records.h says.
#include <cstring>

#include "base/coding.h"
#include "wal/records.h"

namespace omendb {
namespace {

constexpr uint8_t kEntryRemoved = 0x01;
constexpr uint8_t kEntryHasPayload = 0x02;

char* StoreBytes(char* to, Slice bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

}  // namespace

// kIndexEntries, format 1:
//   format:  uint8
//   flags:   uint8    0; where other records say that they clear marks
//   storage: varint
//   count:   varint, at least 1
//   count times:
//     flags:   uint8    bit 0: removed; bit 1: has a payload
//     shared:  varint   leading bytes of the key that are those of the key before
//     rest:    varint   number of further bytes; they follow
//     tid:     6 bytes, big-endian
//     payload: varint size and bytes, only if flags bit 1
size_t EncodeHead(const IndexEntriesRecord& record, char* to) {
  char* at = to;
  *at++ = static_cast<char>(kRecordFormat);
  *at++ = 0;
  at = StoreVarint(at, record.storage);
  at = StoreVarint(at, record.count);
  return static_cast<size_t>(at - to);
}

size_t IndexEntryBound(const IndexEntry& entry) {
  return 1 + 3 * kMaxVarint + kTidSize + entry.key.size() + entry.payload.size();
}

char* EncodeIndexEntry(const IndexEntry& entry, Slice previous_key, char* to) {
  size_t shared = SharedBytes(entry.key, previous_key);
  *to++ = static_cast<char>((entry.removed ? kEntryRemoved : 0) |
                            (entry.payload.empty() ? 0 : kEntryHasPayload));
  to = StoreVarint(to, shared);
  to = StoreVarint(to, entry.key.size() - shared);
  to = StoreBytes(to, entry.key.substr(shared));
  StoreTid(to, entry.tid);
  to += kTidSize;
  if (entry.payload.empty()) return to;
  to = StoreVarint(to, entry.payload.size());
  return StoreBytes(to, entry.payload);
}

bool IndexEntryReader::Next(IndexEntry* entry) {
  uint8_t flags;
  uint64_t shared, rest, payload = 0;
  if (!TakeFixed(&rest_, &flags) || (flags & ~(kEntryRemoved | kEntryHasPayload)) != 0 ||
      !TakeVarint(&rest_, &shared) || shared > key_size_ || !TakeVarint(&rest_, &rest) ||
      rest > kMaxEntryPart - shared || shared + rest == 0 || rest_.size() < rest + kTidSize) {
    return false;
  }
  std::memcpy(key_ + shared, rest_.data(), rest);
  key_size_ = shared + rest;
  entry->key = Slice(key_, key_size_);
  entry->tid = LoadTid(rest_.data() + rest);
  entry->removed = (flags & kEntryRemoved) != 0;
  rest_.remove_prefix(rest + kTidSize);
  if ((flags & kEntryHasPayload) != 0 && (!TakeVarint(&rest_, &payload) || payload == 0 ||
                                          payload > kMaxEntryPart || payload > rest_.size())) {
    return false;
  }
  entry->payload = rest_.substr(0, payload);
  rest_.remove_prefix(payload);
  return true;
}

bool Decode(Slice bytes, IndexEntriesRecord* record) {
  uint8_t format, flags;
  uint64_t count;
  if (!TakeFixed(&bytes, &format) || format != kRecordFormat || !TakeFixed(&bytes, &flags) ||
      flags != 0 || !TakeVarint(&bytes, &record->storage) || record->storage == 0 ||
      !TakeVarint(&bytes, &count) || count == 0 || count > UINT32_MAX) {
    return false;
  }
  record->count = static_cast<uint32_t>(count);
  record->entries = bytes;
  IndexEntryReader reader(bytes);
  IndexEntry entry;
  for (uint32_t i = 0; i < record->count; i++) {
    if (!reader.Next(&entry)) return false;
  }
  return reader.AtEnd();
}

}  // namespace omendb
