// The bytes of WAL records: what is written is read again, and nothing else gets past Decode.
// Decode sees what a damaged page may hold, so it must neither believe it nor read beyond it; the
// bytes stand in heap blocks of their exact size, for AddressSanitizer to see.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/coding.h"
#include "wal/records.h"

namespace omendb {
namespace {

constexpr FullXid kXid = 0x0000000512345678;
constexpr FullXid kOwnXid = 0x00000005aabbccdd;

template <typename Record>
std::string Head(const Record& record) {
  std::string bytes(kMaxRecordHead, '\0');
  bytes.resize(EncodeHead(record, bytes.data()));
  return bytes;
}

bool DecodeAs(Slice bytes, VersionRecord* record) { return Decode(bytes, kXid, record); }
bool DecodeAs(Slice bytes, ImagesRecord* record) { return Decode(bytes, kXid, record); }
bool DecodeAs(Slice bytes, MoveRecord* record) { return Decode(bytes, kXid, record); }
template <typename Record>
bool DecodeAs(Slice bytes, Record* record) {
  return Decode(bytes, record);
}

// Whether every byte that the decoded record points to is one of the record's.
bool IsInside(Slice part, Slice whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}
bool PointsInside(const VersionRecord& r, Slice bytes) { return IsInside(r.payload, bytes); }
bool PointsInside(const MoveRecord& r, Slice bytes) { return IsInside(r.row, bytes); }
bool PointsInside(const ImagesRecord& r, Slice bytes) {
  if (r.count == 0 || r.count > kMaxImagesPerRecord) return false;
  for (uint32_t i = 0; i < r.count; i++) {
    if (r.images[i].section.empty() || r.images[i].section.size() % 8 != 0) return false;
    if (r.images[i].block >= kMaxBlocks || !IsInside(r.images[i].section, bytes)) return false;
  }
  return true;
}
bool PointsInside(const StorageRegisterRecord& r, Slice bytes) {
  return r.column_count <= kMaxColumns &&
         IsInside(Slice(r.columns, r.column_count * sizeof(Column)), bytes);
}
bool PointsInside(const StorageBlocksRecord& r, Slice) { return r.blocks <= kMaxBlocks; }
bool PointsInside(const StorageDropRecord& r, Slice) { return r.storage != 0; }
bool PointsInside(const HorizonRecord&, Slice) { return true; }
bool PointsInside(const IndexEntriesRecord& r, Slice bytes) {
  IndexEntryReader reader(r.entries);
  IndexEntry entry;
  uint32_t count = 0;
  for (; reader.Next(&entry); count++) {
    if (entry.key.empty() || !IsInside(entry.payload, bytes)) return false;
  }
  return count == r.count && reader.AtEnd() && IsInside(r.entries, bytes);
}

template <typename Record>
bool Accepts(const std::string& bytes) {
  auto copy = std::make_unique<char[]>(bytes.size());
  memcpy(copy.get(), bytes.data(), bytes.size());
  Slice slice(copy.get(), bytes.size());
  Record record;
  if (!DecodeAs(slice, &record)) return false;
  EXPECT_TRUE(PointsInside(record, slice));
  return true;
}

// A record as it stands in WAL.
struct Sample {
  std::string name;
  std::string bytes;
  size_t head;    // bytes that may not be missing
  bool open_end;  // what follows is a row, of which only the record's length says where it ends
  std::function<bool(const std::string&)> accepts;
};

template <typename Record>
Sample MakeSample(const std::string& name, const Record& record, const std::string& body,
                  bool open_end = false) {
  std::string head = Head(record);
  return {name, head + body, head.size(), open_end, Accepts<Record>};
}

VersionRecord Version(VersionKind kind, bool own_xid) {
  // Half of the records have all that is optional.
  VersionRecord record{};
  record.storage = 300;
  record.block = kMaxBlocks - 1;
  record.slot = 255;
  record.new_block = true;
  record.clears_marks = own_xid;
  record.tablespace = own_xid ? 1663 : 0;
  record.own_xid = own_xid;
  record.meta = {own_xid ? kOwnXid : kXid, 0, 70000, kind, 0};
  return record;
}

MoveRecord Move(bool own_xid) {
  MoveRecord record{};
  record.storage = ~StorageId{0};
  record.old_block = 128;
  record.new_block = kMaxBlocks - 1;
  record.old_slot = 3;
  record.new_slot = 200;
  record.is_new_block = true;
  record.clears_new_marks = own_xid;
  record.tablespace = own_xid ? ~uint32_t{0} : 0;
  record.own_xid = own_xid;
  FullXid xid = own_xid ? kOwnXid : kXid;
  record.old_meta = {xid, 0, 1, VersionKind::kMove, kVersionKeyUpdated};
  record.new_meta = {xid, 0, ~CommandNo{0}, VersionKind::kUpdate, 0};
  return record;
}

ImagesRecord Images(uint32_t count, bool own_xid, const std::string& body) {
  ImagesRecord record{};
  record.storage = 7;
  record.tablespace = own_xid ? 1663 : 0;
  record.own_xid = own_xid;
  record.xid = own_xid ? kOwnXid : kXid;
  record.cid = 9;
  record.count = count;
  size_t at = 0;
  for (uint32_t i = 0; i < count; i++) {
    bool clears_marks = own_xid && i % 3 == 0;
    record.images[i] = {1000 * i, i % 2 == 0, clears_marks, Slice(body).substr(at, 8 * (i + 1))};
    at += 8 * (i + 1);
  }
  return record;
}

std::string ImagesBody(uint32_t count) { return std::string(8 * count * (count + 1) / 2, 'i'); }

StorageRegisterRecord Register(uint32_t columns) {
  return {1, 1663, 5, ~uint32_t{0}, 'p', columns, nullptr};
}

// With shared beginnings, payloads, tombstones, and the largest parts.
std::vector<IndexEntry> Entries(uint32_t count) {
  static const std::string large(kMaxEntryPart, 'k');
  std::vector<IndexEntry> entries;
  for (uint32_t i = 0; i < count; i++) {
    entries.push_back({Slice(large).substr(0, i % 4 == 3 ? kMaxEntryPart : 1 + i),
                       (TidNumber{1} << 48) - 1 - i, i % 2 == 0 ? Slice() : Slice("payload"),
                       i % 3 == 2});
  }
  return entries;
}

std::string EntriesBody(const std::vector<IndexEntry>& entries) {
  std::string body;
  Slice previous;
  for (const IndexEntry& entry : entries) {
    std::string bytes(IndexEntryBound(entry), '\0');
    bytes.resize(static_cast<size_t>(EncodeIndexEntry(entry, previous, bytes.data()) -
                                     bytes.data()));
    body += bytes;
    previous = entry.key;
  }
  return body;
}

std::vector<Sample> Samples() {
  std::vector<Sample> samples;
  for (bool own_xid : {false, true}) {
    std::string suffix = own_xid ? ", own xid" : "";
    const struct {
      VersionKind kind;
      const char* name;
      std::string payload;
    } kVersions[] = {{VersionKind::kInsert, "insert", "a packed row"},
                     {VersionKind::kUpdate, "update", "another one"},
                     {VersionKind::kDelete, "delete", ""},
                     {VersionKind::kMove, "move version", "\1\2\3\4\5"},
                     {VersionKind::kLock, "lock", "\2"},
                     {VersionKind::kSpeculativeConfirm, "confirm", ""},
                     {VersionKind::kSpeculativeAbort, "abort", ""}};
    for (const auto& version : kVersions) {
      bool row = CarriesRow(version.kind);
      samples.push_back(
          MakeSample(version.name + suffix, Version(version.kind, own_xid), version.payload, row));
    }
    samples.push_back(MakeSample("move" + suffix, Move(own_xid), "a row", true));
    for (uint32_t count : {1u, 2u, kMaxImagesPerRecord}) {
      std::string body = ImagesBody(count);
      samples.push_back(MakeSample("images " + std::to_string(count) + suffix,
                                   Images(count, own_xid, body), body));
    }
  }
  for (uint32_t columns : {0u, 1u, 17u, kMaxColumns}) {
    samples.push_back(MakeSample("register " + std::to_string(columns), Register(columns),
                                 std::string(columns * sizeof(Column), 'c')));
  }
  samples.push_back(MakeSample("blocks", StorageBlocksRecord{~StorageId{0}, kMaxBlocks}, ""));
  samples.push_back(MakeSample("drop", StorageDropRecord{1u << 20}, ""));
  for (uint32_t count : {1u, 5u}) {
    samples.push_back(MakeSample("entries " + std::to_string(count),
                                 IndexEntriesRecord{300, count, {}},
                                 EntriesBody(Entries(count))));
  }
  samples.push_back(MakeSample("index cleanup", HorizonRecord{1663, 5, 16384, kXid}, ""));
  return samples;
}

TEST(WalRecords, WhatIsWrittenIsReadAgain) {
  for (bool own_xid : {false, true}) {
    VersionRecord in = Version(VersionKind::kInsert, own_xid), out;
    in.meta.flags = kVersionSpeculative;
    std::string bytes = Head(in) + "row";
    ASSERT_TRUE(Decode(bytes, kXid, &out));
    EXPECT_EQ(out.storage, in.storage);
    EXPECT_EQ(out.block, in.block);
    EXPECT_EQ(out.slot, in.slot);
    EXPECT_EQ(out.new_block, in.new_block);
    EXPECT_EQ(out.own_xid, own_xid);
    EXPECT_EQ(out.clears_marks, in.clears_marks);
    EXPECT_EQ(out.tablespace, in.tablespace);
    EXPECT_EQ(MayClearMarks(bytes), in.clears_marks);
    EXPECT_EQ(out.meta.xid, in.meta.xid);
    EXPECT_EQ(out.meta.cid, in.meta.cid);
    EXPECT_EQ(out.meta.kind, in.meta.kind);
    EXPECT_EQ(out.meta.flags, in.meta.flags);
    EXPECT_EQ(out.payload, "row");

    MoveRecord move = Move(own_xid), moved;
    bytes = Head(move) + "row";
    ASSERT_TRUE(Decode(bytes, kXid, &moved));
    EXPECT_EQ(moved.storage, move.storage);
    EXPECT_EQ(moved.old_block, move.old_block);
    EXPECT_EQ(moved.new_block, move.new_block);
    EXPECT_EQ(moved.old_slot, move.old_slot);
    EXPECT_EQ(moved.new_slot, move.new_slot);
    EXPECT_EQ(moved.is_new_block, move.is_new_block);
    EXPECT_EQ(moved.clears_old_marks, move.clears_old_marks);
    EXPECT_EQ(moved.clears_new_marks, move.clears_new_marks);
    EXPECT_EQ(moved.tablespace, move.tablespace);
    EXPECT_EQ(MayClearMarks(bytes), move.clears_new_marks);
    EXPECT_EQ(moved.old_meta.xid, move.old_meta.xid);
    EXPECT_EQ(moved.old_meta.kind, VersionKind::kMove);
    EXPECT_EQ(moved.old_meta.flags, move.old_meta.flags);
    EXPECT_EQ(moved.old_meta.cid, move.old_meta.cid);
    EXPECT_EQ(moved.new_meta.xid, move.new_meta.xid);
    EXPECT_EQ(moved.new_meta.kind, move.new_meta.kind);
    EXPECT_EQ(moved.new_meta.cid, move.new_meta.cid);
    EXPECT_EQ(moved.row, "row");

    std::string body = ImagesBody(kMaxImagesPerRecord);
    ImagesRecord images = Images(kMaxImagesPerRecord, own_xid, body), read;
    bytes = Head(images) + body;
    ASSERT_TRUE(Decode(bytes, kXid, &read));
    EXPECT_EQ(read.storage, images.storage);
    EXPECT_EQ(read.xid, images.xid);
    EXPECT_EQ(read.tablespace, images.tablespace);
    EXPECT_EQ(MayClearMarks(bytes), own_xid);
    EXPECT_EQ(read.cid, images.cid);
    ASSERT_EQ(read.count, images.count);
    for (uint32_t i = 0; i < read.count; i++) {
      EXPECT_EQ(read.images[i].block, images.images[i].block);
      EXPECT_EQ(read.images[i].new_block, images.images[i].new_block);
      EXPECT_EQ(read.images[i].clears_marks, images.images[i].clears_marks);
      EXPECT_EQ(read.images[i].section, images.images[i].section);
    }
  }
  StorageRegisterRecord storage = Register(2), registered;
  std::string bytes = Head(storage) + "12345678";
  ASSERT_TRUE(Decode(bytes, &registered));
  EXPECT_EQ(registered.storage, storage.storage);
  EXPECT_EQ(registered.tablespace, storage.tablespace);
  EXPECT_EQ(registered.database, storage.database);
  EXPECT_EQ(registered.relation, storage.relation);
  EXPECT_EQ(registered.persistence, storage.persistence);
  ASSERT_EQ(registered.column_count, 2u);
  EXPECT_EQ(Slice(registered.columns, 8), "12345678");

  StorageBlocksRecord blocks;
  ASSERT_TRUE(Decode(Head(StorageBlocksRecord{5, 99}), &blocks));
  EXPECT_EQ(blocks.storage, 5u);
  EXPECT_EQ(blocks.blocks, 99u);
  StorageDropRecord drop;
  ASSERT_TRUE(Decode(Head(StorageDropRecord{6}), &drop));
  EXPECT_EQ(drop.storage, 6u);
  HorizonRecord cleanup;
  ASSERT_TRUE(Decode(Head(HorizonRecord{1, 2, 3, kXid}), &cleanup));
  EXPECT_EQ(cleanup.tablespace, 1u);
  EXPECT_EQ(cleanup.database, 2u);
  EXPECT_EQ(cleanup.relation, 3u);
  EXPECT_EQ(cleanup.oldest_xid, kXid);
}

// Hints of a reader and verdicts are no part of history.
TEST(WalRecords, FlagsThatAreNotLoggedStayOut) {
  VersionRecord in = Version(VersionKind::kInsert, false), out;
  in.meta.flags = kVersionKeyUpdated | kVersionCommitted | kVersionHintAborted;
  std::string bytes = Head(in) + "row";
  ASSERT_TRUE(Decode(bytes, kXid, &out));
  EXPECT_EQ(out.meta.flags, kVersionKeyUpdated);
}

TEST(WalRecords, EverySampleIsAccepted) {
  for (const Sample& sample : Samples()) EXPECT_TRUE(sample.accepts(sample.bytes)) << sample.name;
}

TEST(WalRecords, ACutRecordIsRefused) {
  for (const Sample& sample : Samples()) {
    for (size_t size = 0; size < sample.bytes.size(); size++) {
      bool row_is_left = sample.open_end && size > sample.head;
      EXPECT_EQ(sample.accepts(sample.bytes.substr(0, size)), row_is_left)
          << sample.name << " cut to " << size << " of " << sample.bytes.size();
    }
  }
}

TEST(WalRecords, BytesTooManyAreRefused) {
  for (const Sample& sample : Samples()) {
    if (sample.open_end) continue;
    EXPECT_FALSE(sample.accepts(sample.bytes + "x")) << sample.name;
  }
}

TEST(WalRecords, AnUnknownFormatIsRefused) {
  for (const Sample& sample : Samples()) {
    for (int format = 0; format < 256; format++) {
      if (format == kRecordFormat) continue;
      std::string bytes = sample.bytes;
      bytes[0] = static_cast<char>(format);
      EXPECT_FALSE(sample.accepts(bytes)) << sample.name << ", format " << format;
    }
  }
}

TEST(WalRecords, UnknownFlagsAndKindsAreRefused) {
  std::string version = Head(Version(VersionKind::kInsert, false)) + "row";
  for (int value = 0; value < 256; value++) {
    std::string bytes = version;
    bytes[1] = static_cast<char>(value);
    if ((value & ~7) != 0) {  // three flags are known
      EXPECT_FALSE(Accepts<VersionRecord>(bytes)) << "flags " << value;
    }
    bytes = version;
    bytes[2] = static_cast<char>(value);
    bool known = value == static_cast<int>(VersionKind::kInsert) ||
                 value == static_cast<int>(VersionKind::kUpdate);
    // The payload of three bytes fits no other kind.
    EXPECT_EQ(Accepts<VersionRecord>(bytes), known) << "kind " << value;
    bytes = version;
    bytes[3] = static_cast<char>(value);
    constexpr int kLogged = kVersionSpeculative | kVersionKeyUpdated | kVersionMovedPartition;
    EXPECT_EQ(Accepts<VersionRecord>(bytes), (value & ~kLogged) == 0) << "version flags " << value;
  }
}

TEST(WalRecords, ValuesOutOfRangeAreRefused) {
  VersionRecord version = Version(VersionKind::kInsert, false);
  version.block = kMaxBlocks;
  EXPECT_FALSE(Accepts<VersionRecord>(Head(version) + "row"));
  version = Version(VersionKind::kInsert, false);
  version.storage = 0;
  EXPECT_FALSE(Accepts<VersionRecord>(Head(version) + "row"));
  EXPECT_FALSE(Accepts<StorageDropRecord>(Head(StorageDropRecord{0})));
  EXPECT_FALSE(Accepts<StorageBlocksRecord>(Head(StorageBlocksRecord{1, kMaxBlocks + 1})));
  StorageRegisterRecord wide = Register(kMaxColumns + 1);
  EXPECT_FALSE(Accepts<StorageRegisterRecord>(
      Head(wide) + std::string((kMaxColumns + 1) * sizeof(Column), 'c')));
  ImagesRecord none = Images(1, false, ImagesBody(1));
  std::string bytes = Head(none) + ImagesBody(1);
  bytes[2] = 0;
  EXPECT_FALSE(Accepts<ImagesRecord>(bytes));
  bytes[2] = kMaxImagesPerRecord + 1;
  EXPECT_FALSE(Accepts<ImagesRecord>(bytes));
}

TEST(WalRecords, IndexEntriesAreReadAsWritten) {
  std::vector<IndexEntry> entries = Entries(9);
  IndexEntriesRecord record{77, 9, {}}, read;
  std::string bytes = Head(record) + EntriesBody(entries);
  ASSERT_TRUE(Decode(bytes, &read));
  EXPECT_EQ(read.storage, 77u);
  ASSERT_EQ(read.count, 9u);
  EXPECT_FALSE(MayClearMarks(bytes));
  IndexEntryReader reader(read.entries);
  for (const IndexEntry& expected : entries) {
    IndexEntry entry;
    ASSERT_TRUE(reader.Next(&entry));
    EXPECT_EQ(entry.key, expected.key);
    EXPECT_EQ(entry.tid, expected.tid);
    EXPECT_EQ(entry.payload, expected.payload);
    EXPECT_EQ(entry.removed, expected.removed);
  }
  EXPECT_TRUE(reader.AtEnd());
  // A count that the entries do not bear out.
  EXPECT_FALSE(Accepts<IndexEntriesRecord>(Head(IndexEntriesRecord{77, 8, {}}) +
                                           EntriesBody(entries)));
  EXPECT_FALSE(Accepts<IndexEntriesRecord>(Head(IndexEntriesRecord{77, 10, {}}) +
                                           EntriesBody(entries)));
}

// Whatever comes out points into the record (Accepts looks); WAL's own checksum finds the flip.
TEST(WalRecords, DamageNeverLeavesTheBytes) {
  std::mt19937_64 random(20260101);
  for (const Sample& sample : Samples()) {
    size_t bits = std::min<size_t>(sample.bytes.size(), 512) * 8;
    for (size_t bit = 0; bit < bits; bit++) {
      std::string bytes = sample.bytes;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      (void)sample.accepts(bytes);
    }
    for (int round = 0; round < 2000; round++) {
      std::string bytes = sample.bytes;
      for (uint64_t i = 1 + random() % 6; i > 0; i--) {
        bytes[random() % std::min(bytes.size(), sample.head + 16)] = static_cast<char>(random());
      }
      bytes[0] = kRecordFormat;
      bytes.resize(random() % 4 == 0 ? 1 + random() % bytes.size() : bytes.size());
      (void)sample.accepts(bytes);
    }
  }
}

TEST(WalRecords, HeadsFitTheRoomThatWritersHave) {
  std::string body = ImagesBody(kMaxImagesPerRecord);
  ImagesRecord images = Images(kMaxImagesPerRecord, true, body);
  images.storage = ~StorageId{0};
  images.cid = ~CommandNo{0};
  images.tablespace = ~uint32_t{0};
  std::string large(1 << 20, 'x');
  for (ImagesRecord::Image& image : images.images) {
    image.block = kMaxBlocks - 1;
    image.clears_marks = true;
    image.section = large;
  }
  std::string room(kMaxRecordHead + 64, '#');
  size_t size = EncodeHead(images, room.data());
  EXPECT_LE(size, kMaxRecordHead);
  EXPECT_EQ(room.substr(size), std::string(room.size() - size, '#'));
}

}  // namespace
}  // namespace omendb
