#include <algorithm>
#include <bit>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/index_position.h"
#include "block/bit_packing.h"
#include "block/index_leaf.h"
#include "block/section.h"
#include "base/pure.h"

namespace omendb {

void EntryList::Add(const IndexEntry& entry) {
  if (!entries_.empty()) {
    const size_t last = entries_.size() - 1;
    const uint64_t head = KeyHead(key(last)), new_head = KeyHead(entry.key);
    in_order_ = in_order_ &&
                (head != new_head ? head < new_head
                                  : CompareEntries(key(last), tid(last), entry.key, entry.tid) < 0);
  }
  entries_.push_back({bytes_.size(), entry.tid, static_cast<uint32_t>(entry.key.size()),
                      static_cast<uint32_t>(entry.payload.size()), entry.removed});
  bytes_.append(entry.key);
  bytes_.append(entry.payload);
}

void EntryList::AddRun(const LeafSection& section, uint32_t from, uint32_t end) {
  if (!section.has_numbers()) {
    LeafSection::Hint hint;
    std::string key;
    for (uint32_t i = from; i < end; i++) {
      section.CopyKey(i, &hint, &key);
      Add({key, section.tid(i), section.payload(i), false});
    }
    return;
  }
  uint64_t before = 0;
  const size_t key_size = section.key_size();
  for (uint32_t i = from; i < end; i++) {
    const uint64_t number = section.number(i);
    const TidNumber tid = section.tid(i);
    const Slice payload = section.payload(i);
    if (i == from) {
      char key[kMaxEntryPart];
      section.StoreKey(number, key);
      Add({Slice(key, key_size), tid, payload, false});
    } else {
      in_order_ = in_order_ && (before < number || (before == number && entries_.back().tid < tid));
      const size_t start = bytes_.size();
      entries_.push_back({start, tid, static_cast<uint32_t>(key_size),
                          static_cast<uint32_t>(payload.size()), false});
      bytes_.resize(start + key_size);
      section.StoreKey(number, bytes_.data() + start);
      bytes_.append(payload);
    }
    before = number;
  }
}

size_t EntryList::RawSize(size_t first, size_t end) const {
  if (first == end) return 0;
  const Entry& last = entries_[end - 1];
  return last.start + last.key_size + last.payload_size - entries_[first].start +
         (end - first) * kTidSize;
}

namespace {

uint64_t BlockOf(TidNumber tid) { return tid >> 16; }
uint64_t OffsetOf(TidNumber tid) { return tid & 0xffff; }
size_t Aligned(size_t size, size_t to) { return (size + to - 1) / to * to; }

// The section that holds entries [first, first + count) of a list.
class SectionWriter {
 public:
  SectionWriter(const EntryList& entries, size_t first, size_t end, Slice low, Slice high)
      : entries_(entries), first_(first), count_(end - first), low_(low), high_(high) {}

  Status Check(bool is_base) const {
    if (count_ > kMaxLeafEntries) {
      return Status::LimitExceeded("too many entries for an index leaf",
                                   std::to_string(count_) + " entries.");
    }
    if (low_.size() > kMaxEntryPart + kTidSize || high_.size() > kMaxEntryPart + kTidSize ||
        (!high_.empty() && low_ >= high_)) {
      return Misused("bounds");
    }
    if (!entries_.in_order()) return Misused("order");
    for (size_t i = 0; i < count_; i++) {
      const size_t key = KeyAt(i).size(), payload = PayloadAt(i).size();
      if (key > kMaxEntryPart || payload > kMaxEntryPart) {
        return Status::LimitExceeded("too large an index entry",
                                     "Its key has " + std::to_string(key) +
                                         " bytes and what comes with it " +
                                         std::to_string(payload) + ".");
      }
      if (TidAt(i) >> (8 * kTidSize) || (is_base && entries_.removed(first_ + i))) {
        return Misused("entry");
      }
    }
    if (is_base && count_ > 0 &&
        (ComparePosition(KeyAt(0), TidAt(0), low_) < 0 ||
         (!high_.empty() && ComparePosition(KeyAt(count_ - 1), TidAt(count_ - 1), high_) >= 0))) {
      return Misused("entries out of bounds");
    }
    return Status::Ok();
  }

  Status Write(uint8_t type, Lsn lsn, std::string* out) {
    DescribeKeys();
    DescribeTids();
    DescribePayloads();
    h_.count = static_cast<uint32_t>(count_);
    h_.low_size = static_cast<uint16_t>(low_.size());
    h_.high_size = static_cast<uint16_t>(high_.size());

    size_t bits = PackedSize(NumbersOfKeys(), h_.key_width) + PackedSize(h_.count, tid_width());
    if (h_.flags & kLeafRemoved) bits += (count_ + 7) / 8;
    bits += PackedSize(h_.count, h_.payload_width);
    const size_t end = bits + rests_.size() + h_.payloads_size;
    // PackBits and UnpackBits reach up to 7 bytes behind an array.
    const size_t body = Aligned(std::max(end, bits + 8), 8);
    size_t head = kSectionHeaderSize + sizeof(LeafHeader);
    head = Aligned(head + low_.size() + high_.size() + h_.prefix_size, sizeof(uint32_t));
    const size_t checksums = head;
    head = Aligned(head + LeafPages(body) * sizeof(uint32_t), 8);
    const size_t size = head + body;
    if (size > kMaxSectionSize) {
      return Status::LimitExceeded("too large an index leaf", std::to_string(size) + " bytes.");
    }
    h_.head_size = static_cast<uint32_t>(head);
    const size_t start = out->size();
    out->resize(start + size);
    char* const section = out->data() + start;
    StoreFixed(section + kSectionHeaderSize, h_);
    WriteBounds(section + kSectionHeaderSize + sizeof(LeafHeader));
    WriteBody(section + head);
    for (size_t page = 0; page < LeafPages(body); page++) {
      const Slice bytes = Slice(section + head, body).substr(page * kLeafPage, kLeafPage);
      StoreFixed(section + checksums + page * sizeof(uint32_t), Crc32c(0, bytes));
    }
    SealSection(section, size, head, type, 0, lsn);
    return Status::Ok();
  }

 private:
  static Status Misused(const char* what) {
    return Status::Make(StatusCode::kInvalidArgument, "an index leaf was given wrong entries",
                        what);
  }
  Slice KeyAt(size_t i) const { return entries_.key(first_ + i); }
  Slice PayloadAt(size_t i) const { return entries_.payload(first_ + i); }
  TidNumber TidAt(size_t i) const { return entries_.tid(first_ + i); }
  Slice RestAt(size_t i) const {
    Slice rest = KeyAt(i);
    rest.remove_prefix(h_.prefix_size);
    return rest;
  }
  uint32_t tid_width() const { return uint32_t{h_.block_width} + h_.offset_width; }
  uint32_t NumbersOfKeys() const {
    return h_.key_format == kLeafNumbers ? h_.count : static_cast<uint32_t>(groups_.size());
  }

  void DescribeKeys() {
    if (count_ == 0) {
      h_.key_format = kLeafNumbers;
      return;
    }
    const size_t size = KeyAt(0).size();
    bool alike = true;
    for (size_t i = 1; i < count_; i++) alike = alike && KeyAt(i).size() == size;
    h_.prefix_size = static_cast<uint16_t>(SharedBytes(KeyAt(0), KeyAt(count_ - 1)));
    h_.key_size = alike ? static_cast<uint16_t>(size) : kLeafSizesDiffer;
    if (alike && size - h_.prefix_size <= 8) {
      h_.key_format = kLeafNumbers;
      h_.min_number = NumberAt(0);
      h_.span = NumberAt(count_ - 1) - h_.min_number;
      const int width = std::bit_width(h_.span);
      h_.key_width = static_cast<uint8_t>(width > static_cast<int>(kMaxPackedWidth) ? 64 : width);
      return;
    }
    h_.key_format = kLeafPrefixed;
    for (size_t i = 0; i < count_; i++) AddRest(i, alike);
    h_.key_width = static_cast<uint8_t>(std::bit_width(groups_.back()));
    h_.rests_size = static_cast<uint32_t>(rests_.size());
  }

  uint64_t NumberAt(size_t i) const {
    const Slice key = KeyAt(i);
    const size_t bytes = key.size() - h_.prefix_size;
    uint64_t number = 0;
    if (key.size() >= 8 && bytes > 0) {
      number = LoadBigEndian64(key.data() + key.size() - 8);
      return number & ~uint64_t{0} >> (64 - 8 * bytes);
    }
    for (char byte : RestAt(i)) number = number << 8 | static_cast<unsigned char>(byte);
    return number;
  }

  void AddRest(size_t i, bool alike) {
    Slice rest = RestAt(i);
    if (i % kLeafGroup == 0) {
      groups_.push_back(rests_.size());
    } else {
      const size_t shared = SharedBytes(rest, RestAt(i - i % kLeafGroup));
      AppendVarint(&rests_, shared);
      rest.remove_prefix(shared);
    }
    if (!alike) AppendVarint(&rests_, rest.size());
    rests_.append(rest);
  }

  void DescribeTids() {
    if (count_ == 0) return;
    uint64_t min_block = ~0ull, max_block = 0, min_offset = ~0ull, max_offset = 0;
    for (size_t i = 0; i < count_; i++) {
      const TidNumber tid = TidAt(i);
      min_block = std::min(min_block, BlockOf(tid));
      max_block = std::max(max_block, BlockOf(tid));
      min_offset = std::min(min_offset, OffsetOf(tid));
      max_offset = std::max(max_offset, OffsetOf(tid));
      if (entries_.removed(first_ + i)) h_.flags = kLeafRemoved;
    }
    h_.min_block = static_cast<uint32_t>(min_block);
    h_.min_offset = static_cast<uint16_t>(min_offset);
    h_.block_width = static_cast<uint8_t>(std::bit_width(max_block - min_block));
    h_.offset_width = static_cast<uint8_t>(std::bit_width(max_offset - min_offset));
  }

  void DescribePayloads() {
    if (count_ == 0) return;
    const size_t size = PayloadAt(0).size();
    size_t total = 0;
    bool alike = true;
    for (size_t i = 0; i < count_; i++) {
      total += PayloadAt(i).size();
      alike = alike && PayloadAt(i).size() == size;
    }
    // What does not fit into 32 bits is refused with the section's size.
    h_.payloads_size = static_cast<uint32_t>(std::min<size_t>(total, kMaxSectionSize));
    if (!alike) h_.payload_width = static_cast<uint8_t>(std::bit_width(h_.payloads_size));
  }

  void WriteBounds(char* to) const {
    const Slice prefix = count_ == 0 ? Slice() : KeyAt(0).substr(0, h_.prefix_size);
    for (Slice part : {low_, high_, prefix}) to = std::copy(part.begin(), part.end(), to);
  }

  void WriteBody(char* to) const {
    if (h_.key_format == kLeafPrefixed) {
      to = PackBits(to, NumbersOfKeys(), h_.key_width, [&](uint32_t i) { return groups_[i]; });
    } else if (h_.key_width == 64) {
      for (size_t i = 0; i < count_; i++, to += 8) StoreFixed(to, NumberAt(i) - h_.min_number);
    } else {
      to = PackBits(to, h_.count, h_.key_width,
                    [&](uint32_t i) { return NumberAt(i) - h_.min_number; });
    }
    to = PackBits(to, h_.count, tid_width(), [&](uint32_t i) {
      const TidNumber tid = TidAt(i);
      return (BlockOf(tid) - h_.min_block) << h_.offset_width | (OffsetOf(tid) - h_.min_offset);
    });
    if (h_.flags & kLeafRemoved) {
      to = PackBits(to, h_.count, 1,
                    [&](uint32_t i) -> uint64_t { return entries_.removed(first_ + i); });
    }
    uint64_t payload_end = 0;
    to = PackBits(to, h_.count, h_.payload_width,
                  [&](uint32_t i) { return payload_end += PayloadAt(i).size(); });
    to = std::copy(rests_.begin(), rests_.end(), to);
    for (size_t i = 0; i < count_; i++) {
      const Slice payload = PayloadAt(i);
      to = std::copy(payload.begin(), payload.end(), to);
    }
  }

  const EntryList& entries_;
  const size_t first_, count_;
  const Slice low_, high_;
  LeafHeader h_ = {};
  std::string rests_;
  std::vector<uint64_t> groups_;
};

Status Encode(const EntryList& entries, size_t first, size_t end, uint8_t type, Slice low,
              Slice high, Lsn lsn, std::string* out) {
  SectionWriter writer(entries, first, end, low, high);
  OMENDB_RETURN_IF_ERROR(writer.Check(type == kSectionLeaf));
  return writer.Write(type, lsn, out);
}

}  // namespace

Status EncodeLeaf(const EntryList& entries, size_t first, size_t end, Slice low, Slice high,
                  Lsn lsn, std::string* out) {
  return Encode(entries, first, end, kSectionLeaf, low, high, lsn, out);
}

void LeafBuilder::Start(Slice low, Slice high) {
  low_ = low;
  high_ = high;
  entries_.Clear();
}

Status LeafBuilder::Finish(Lsn lsn, std::string* out) const {
  return EncodeLeaf(entries_, 0, entries_.size(), low_, high_, lsn, out);
}

Status DeltaBuilder::Finish(Lsn lsn, std::string* out) const {
  return Encode(entries_, 0, entries_.size(), kSectionLeafDeltas, Slice(), Slice(), lsn, out);
}

}  // namespace omendb
