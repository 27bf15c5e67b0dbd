#include "block/leaf_section.h"

#include <algorithm>

#include "base/crc32c.h"
#include "block/index_leaf.h"
#include "block/section.h"
#include "base/pure.h"

namespace omendb {
namespace {

// Sizes as they are taken off a section from the front.
class Parts {
 public:
  explicit Parts(Slice section, size_t at) : section_(section), at_(at) {}
  void Align(size_t to) { at_ = std::min((at_ + to - 1) / to * to, section_.size()); }
  const char* Bits(uint32_t count, uint32_t width) {
    if (width == 64) return Bytes(size_t{8} * count).data();
    if (count > 0 && at_ + PackedReach(count, width) > section_.size()) fits_ = false;
    return Bytes(PackedSize(count, width)).data();
  }
  Slice Bytes(size_t size) {
    if (size > section_.size() - at_) fits_ = false;
    if (!fits_) return Slice();
    const Slice part = section_.substr(at_, size);
    at_ += size;
    return part;
  }
  bool fit() const { return fits_; }

 private:
  const Slice section_;
  size_t at_;
  bool fits_ = true;
};

constexpr size_t kPartsAt = kSectionHeaderSize + sizeof(LeafHeader);
// What is copied of a value at first: the whole head if keys are not long.
constexpr size_t kFirstPiece = 256;
constexpr size_t kMostPieces = 64;  // pages, by the bits of a word

// Not below which an interpolated search looks again: what keys that are spread at random deviate.
constexpr uint32_t kFirstStep = 16;

}  // namespace

Status LeafSection::Open(Slice value, bool verify, LeafSection* section) {
  *section = {};
  OMENDB_RETURN_IF_ERROR(section->OpenHead(value, verify));
  OMENDB_RETURN_IF_ERROR(section->OpenParts(value.substr(0, section->size_)));
  if (!verify) return Status::Ok();
  for (size_t page = 0; page < LeafPages(section->body_.size()); page++) {
    if (!section->PageIsWhole(page)) return DamagedLeaf("checksum of page %zu", page);
  }
  return section->VerifyParts();
}

bool LeafSection::OpenInPieces(LeafPieces* pieces, size_t size, bool verify, char* room,
                               LeafSection* section) {
  const Slice value(room, size);
  size_t there = std::min(size, kFirstPiece);
  if (there < kPartsAt || !pieces->Copy(0, there, room)) return false;
  *section = {};
  const uint32_t head = LoadFixed<LeafHeader>(room + kSectionHeaderSize).head_size;
  if (head > there && head <= size) {
    if (!pieces->Copy(there, head - there, room + there)) return false;
    there = head;
  }
  if (head > there || !section->OpenHead(value, verify).ok() || section->size_ != size ||
      !section->OpenParts(value).ok()) {
    return false;
  }
  section->pieces_ = pieces;
  section->verifies_ = verify;
  if (section->has_numbers() && LeafPages(section->body_.size()) <= kMostPieces) return true;
  // All of it, at once.
  if (!pieces->Copy(head, size - head, room + head)) return false;
  return Open(value, verify, section).ok();
}

// The head is there.
Status LeafSection::OpenHead(Slice value, bool verify) {
  SectionHeader header;
  OMENDB_RETURN_IF_ERROR(ReadLeafSection(value, &header));
  is_base_ = header.type == kSectionLeaf;
  size_ = header.size;
  lsn_ = header.lsn;
  if (size_ < kPartsAt) return DamagedLeaf("section of %u bytes", size_);
  header_ = LoadFixed<LeafHeader>(value.data() + kSectionHeaderSize);
  if (header_.head_size < kPartsAt || header_.head_size % 8 != 0 || header_.head_size > size_) {
    return DamagedLeaf("head of %u bytes", header_.head_size);
  }
  return verify ? VerifyLeafHead(value.substr(0, header_.head_size), header) : Status::Ok();
}

Status LeafSection::OpenParts(Slice section) {
  const LeafHeader& h = header_;
  const bool numbers = h.key_format == kLeafNumbers;
  if (!numbers && h.key_format != kLeafPrefixed) {
    return DamagedLeaf("unknown key format %u", h.key_format);
  }
  if ((h.flags & ~kLeafRemoved) || (is_base_ && h.flags != 0) || h.reserved != 0) {
    return DamagedLeaf("unknown flags %#x", h.flags);
  }
  if (h.count > kMaxLeafEntries) return DamagedLeaf("%u entries", h.count);
  if (h.prefix_size > kMaxEntryPart ||
      (h.key_size != kLeafSizesDiffer &&
       (h.key_size > kMaxEntryPart || h.key_size < h.prefix_size)) ||
      (numbers &&
       (h.key_size == kLeafSizesDiffer || h.key_size - h.prefix_size > 8 || h.rests_size != 0))) {
    return DamagedLeaf("keys of %u bytes, %u of them alike", h.key_size, h.prefix_size);
  }
  if ((h.key_width > (numbers ? kMaxPackedWidth : 32) && !(numbers && h.key_width == 64)) ||
      h.block_width > 32 || h.offset_width > 16 || h.payload_width > 32) {
    return DamagedLeaf("integers of %u, %u, %u and %u bits", h.key_width, h.block_width,
                       h.offset_width, h.payload_width);
  }
  if (h.payload_width == 0 && (h.count == 0 ? h.payloads_size : h.payloads_size % h.count) != 0) {
    return DamagedLeaf("%u bytes of payload for %u entries", h.payloads_size, h.count);
  }
  tid_width_ = uint32_t{h.block_width} + h.offset_width;
  payload_size_ = h.payload_width == 0 && h.count > 0 ? h.payloads_size / h.count : 0;

  body_ = section.substr(h.head_size);
  Parts head(section.substr(0, h.head_size), kPartsAt);
  low_ = head.Bytes(h.low_size);
  high_ = head.Bytes(h.high_size);
  prefix_ = head.Bytes(h.prefix_size);
  head.Align(sizeof(uint32_t));
  checksums_ = head.Bytes(LeafPages(body_.size()) * sizeof(uint32_t)).data();
  Parts body(body_, 0);
  keys_ = body.Bits(numbers ? h.count : (h.count + kLeafGroup - 1) / kLeafGroup, h.key_width);
  tids_ = body.Bits(h.count, tid_width_);
  removed_ = h.flags & kLeafRemoved ? body.Bytes((h.count + 7) / 8).data() : nullptr;
  payload_ends_ = body.Bits(h.payload_width > 0 ? h.count : 0, h.payload_width);
  rests_ = body.Bytes(h.rests_size);
  payloads_ = body.Bytes(h.payloads_size);
  if (!head.fit() || !body.fit()) {
    return DamagedLeaf("%u entries do not fit into %zu bytes", h.count, section.size());
  }
  if (is_base_ ? !high_.empty() && low_ >= high_ : !low_.empty() || !high_.empty()) {
    return DamagedLeaf("bounds of %u and %u bytes", h.low_size, h.high_size);
  }
  return Status::Ok();
}

bool LeafSection::PageIsWhole(size_t page) const {
  const uint32_t expected = LoadFixed<uint32_t>(checksums_ + page * sizeof(uint32_t));
  return Crc32c(0, body_.substr(page * kLeafPage, kLeafPage)) == expected;
}

// REQUIRES: the bytes lie in the body.
bool LeafSection::FetchPages(const char* from, size_t size) const {
  const size_t at = static_cast<size_t>(from - body_.data());
  for (size_t page = at / kLeafPage; page * kLeafPage < at + size && !lost_; page++) {
    if (fetched_ >> page & 1) continue;
    const Slice bytes = body_.substr(page * kLeafPage, kLeafPage);
    const size_t place = header_.head_size + page * kLeafPage;
    lost_ = !pieces_->Copy(place, bytes.size(), const_cast<char*>(bytes.data())) ||
            (verifies_ && !PageIsWhole(page));
    fetched_ |= uint64_t{1} << page;
  }
  return !lost_;
}

bool LeafSection::FetchEntry(uint32_t index) const {
  if (!FetchBits(keys_, index, header_.key_width) || !FetchBits(tids_, index, tid_width_)) {
    return false;
  }
  if (removed_ != nullptr && !FetchBytes(removed_ + index / 8, 1)) return false;
  if (header_.payload_width > 0 &&
      (!FetchBits(payload_ends_, index, header_.payload_width) ||
       !FetchBits(payload_ends_, index - (index > 0), header_.payload_width))) {
    return false;
  }
  const Slice bytes = payload(index);
  return FetchBytes(bytes.data(), bytes.size());
}

Status LeafSection::VerifyParts() const {
  if (header_.payload_width > 0) {
    uint64_t before = 0;
    for (uint32_t i = 0; i < count(); i++) {
      const uint64_t end = PayloadEnd(i);
      if (end < before || end > payloads_.size()) return DamagedLeaf("payload of entry %u", i);
      before = end;
    }
  }
  if (header_.key_format != kLeafPrefixed) {
    if (count() == 0) return Status::Ok();
    const size_t size = key_size() - prefix_.size();
    const uint64_t most = size == 0 ? 0 : ~uint64_t{0} >> (64 - 8 * size);
    return Number(count() - 1) == header_.span && header_.min_number <= most &&
                   header_.span <= most - header_.min_number
               ? Status::Ok()
               : DamagedLeaf("key of the last entry");
  }
  uint32_t at = 0;
  Rest first;
  for (uint32_t i = 0; i < count(); i++) {
    const bool is_first = i % kLeafGroup == 0;
    Rest rest;
    if ((is_first && GroupStart(i / kLeafGroup) != at) || !TakeRest(is_first, &at, &rest)) {
      return DamagedLeaf("key of entry %u", i);
    }
    if (is_first) first = rest;
    if (rest.shared > first.bytes.size() ||
        prefix_.size() + rest.shared + rest.bytes.size() > kMaxEntryPart) {
      return DamagedLeaf("size of the key of entry %u", i);
    }
  }
  return Status::Ok();
}

bool LeafSection::TakeRest(bool first, uint32_t* at, Rest* rest) const {
  if (*at > rests_.size()) return false;
  Slice from = rests_.substr(*at);
  uint64_t shared = 0, size;
  if (!first && !TakeVarint(&from, &shared)) return false;
  if (header_.key_size == kLeafSizesDiffer) {
    if (!TakeVarint(&from, &size)) return false;
  } else {
    if (shared > size_t{header_.key_size} - header_.prefix_size) return false;
    size = header_.key_size - header_.prefix_size - shared;
  }
  if (shared > kMaxEntryPart || size > from.size()) return false;
  rest->shared = static_cast<uint32_t>(shared);
  rest->bytes = from.substr(0, size);
  *at = static_cast<uint32_t>(rests_.size() - from.size() + size);
  return true;
}

uint64_t LeafSection::PayloadEnd(uint32_t index) const {
  return UnpackBits(payload_ends_, index, header_.payload_width);
}

Slice LeafSection::payload(uint32_t index) const {
  if (header_.payload_width == 0)
    return payloads_.substr(size_t{index} * payload_size_, payload_size_);
  const uint64_t begin = index == 0 ? 0 : PayloadEnd(index - 1);
  const uint64_t end = std::min<uint64_t>(PayloadEnd(index), payloads_.size());
  return begin < end ? payloads_.substr(begin, end - begin) : Slice();
}

void LeafSection::CopyKey(uint32_t index, Hint* hint, std::string* key) const {
  if (has_numbers()) {
    if (hint->index == ~0u) {
      key->resize(key_size());
      hint->index = 0;
    }
    StoreKey(number(index), key->data());
    return;
  }
  key->assign(prefix_);
  uint32_t at = GroupStart(index / kLeafGroup);
  Rest first, rest;
  if (!TakeRest(true, &at, &first)) return;
  uint32_t i = index - index % kLeafGroup;
  rest = first;
  if (hint->index <= index && hint->index > i) {
    i = hint->index - 1;
    at = hint->at;
  }
  for (; i < index; i++) {
    if (!TakeRest(false, &at, &rest)) return;
  }
  *hint = {index + 1, at};
  key->append(first.bytes.substr(0, rest.shared));
  key->append(rest.bytes);
}

uint32_t LeafSection::LowerBound(Slice key, TidNumber tid) const {
  const size_t shared = std::min(key.size(), prefix_.size());
  const int order = key.substr(0, shared).compare(prefix_.substr(0, shared));
  if (order < 0 || (order == 0 && key.size() < prefix_.size())) return 0;
  if (order > 0) return count();
  const Slice rest = key.substr(prefix_.size());
  return header_.key_format == kLeafNumbers ? LowerBoundNumber(rest, tid)
                                            : LowerBoundRest(rest, tid);
}

uint32_t LeafSection::LowerBoundNumber(Slice rest, TidNumber tid) const {
  const size_t size = header_.key_size - header_.prefix_size;
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++) {
    number = number << 8 | (i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0);
  }
  if (number < header_.min_number) return 0;
  number -= header_.min_number;
  // An entry with this number is a longer key than the one sought, or a shorter one, or has it.
  const bool longer = rest.size()<size, shorter = rest.size()> size;
  const auto is_before = [&](uint32_t i) {
    if (!FetchBits(keys_, i, header_.key_width)) return false;
    const uint64_t found = Number(i);
    if (found != number || longer || shorter) return found < number || (found == number && shorter);
    return FetchBits(tids_, i, tid_width_) && this->tid(i) < tid;
  };
  // From where it is if the numbers are spread evenly, in growing steps, then in halves.
  uint32_t from = 0, end = count();
  if (end == 0) return 0;
  const double part = static_cast<double>(number) / static_cast<double>(header_.span | 1);
  const auto guess = static_cast<uint32_t>(part < 1 ? part * (end - 1) : end - 1);
  if (is_before(guess)) {
    from = guess + 1;
    for (uint32_t step = kFirstStep; end - from > step; step *= 2) {
      const uint32_t at = from + step - 1;
      if (!is_before(at)) {
        end = at;
        break;
      }
      from = at + 1;
    }
  } else {
    end = guess;
    for (uint32_t step = kFirstStep; end - from > step; step *= 2) {
      const uint32_t at = end - step;
      if (is_before(at)) {
        from = at + 1;
        break;
      }
      end = at;
    }
  }
  while (from < end) {
    const uint32_t middle = from + (end - from) / 2;
    const bool before = is_before(middle);
    from = before ? middle + 1 : from;
    end = before ? end : middle;
  }
  return from;
}

uint32_t LeafSection::LowerBoundRest(Slice rest, TidNumber tid) const {
  // The last group whose first entry is before it.
  uint32_t group = 0, groups = (count() + kLeafGroup - 1) / kLeafGroup;
  Rest first, taken;
  uint32_t at = 0;
  while (groups > 0) {
    const uint32_t half = groups / 2, middle = group + half;
    uint32_t behind = GroupStart(middle);
    if (!TakeRest(true, &behind, &taken)) return 0;
    if (CompareEntries(taken.bytes, this->tid(middle * kLeafGroup), rest, tid) < 0) {
      group = middle + 1;
      groups -= half + 1;
      first = taken;
      at = behind;
    } else {
      groups = half;
    }
  }
  if (group == 0) return 0;
  // What an entry shares with the first of its group tells which is further away from it: the entry
  // or what is sought.
  uint32_t i = (group - 1) * kLeafGroup + 1;
  const uint32_t end = std::min(count(), group * kLeafGroup);
  const size_t shared = SharedBytes(rest, first.bytes);
  const Slice tail = rest.substr(shared);
  for (; i < end; i++) {
    if (!TakeRest(false, &at, &taken)) return i;
    if (taken.shared > shared) continue;
    if (taken.shared < shared) return i;
    if (CompareEntries(taken.bytes, this->tid(i), tail, tid) >= 0) return i;
  }
  return i;
}

}  // namespace omendb
