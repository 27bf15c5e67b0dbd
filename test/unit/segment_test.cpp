#include "buffer/segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace omendb {
namespace {

static_assert(std::is_trivially_copyable_v<Segment>);
static_assert(std::is_trivially_destructible_v<Segment>);
static_assert(sizeof(BufferedVersion) == 32);
static_assert(sizeof(BufferedImage) == 32);

// Memory of exactly the size asked for, so that the address sanitizer sees a byte too many.
class Memory {
 public:
  explicit Memory(size_t size, size_t shift = 0) : size_(size), shift_(shift) {
    EXPECT_EQ(posix_memalign(&bytes_, 64, size + shift), 0);
    std::memset(get(), 0xa5, size);  // what is not initialised must not be zero by luck
  }
  ~Memory() { std::free(bytes_); }
  void* get() const { return static_cast<char*>(bytes_) + shift_; }
  size_t size() const { return size_; }

 private:
  size_t size_, shift_;
  void* bytes_ = nullptr;
};

class SegmentTest : public testing::Test {
 protected:
  explicit SegmentTest(size_t capacity = 4u << 20)
      : memory_(Segment::SizeFor(capacity)),
        segment_(Segment::Format(memory_.get(), memory_.size())) {}

  VersionMeta Meta(FullXid xid, VersionKind kind = VersionKind::kUpdate) {
    return {xid, ++lsn_, 7, kind, 0};
  }
  bool Put(StorageId storage, BlockNo block, SlotNo slot, FullXid xid, Slice payload,
           bool new_block = false) {
    if (!segment_.Reserve(Segment::BoundForVersion(payload.size()))) return false;
    segment_.ApplyVersion(storage, block, slot, Meta(xid), payload, new_block);
    return true;
  }
  bool PutImage(StorageId storage, BlockNo block, FullXid xid, Slice section,
                bool new_block = false) {
    if (!segment_.Reserve(Segment::BoundForImage(section.size()))) return false;
    segment_.ApplyImage(storage, block, Meta(xid, VersionKind::kInsert), section, new_block);
    return true;
  }
  std::set<BlockNo> Blocks(StorageId storage) {
    std::set<BlockNo> blocks;
    segment_.VisitBlocks(
        storage,
        [](void* to, StorageId, BlockNo block, const Segment::BlockEntry*) {
          EXPECT_TRUE(static_cast<std::set<BlockNo>*>(to)->insert(block).second);
        },
        &blocks);
    return blocks;
  }
  std::set<std::pair<StorageId, BlockNo>> AllBlocks() {
    std::set<std::pair<StorageId, BlockNo>> blocks;
    segment_.VisitAllBlocks(
        [](void* to, StorageId storage, BlockNo block, const Segment::BlockEntry*) {
          auto* set = static_cast<std::set<std::pair<StorageId, BlockNo>>*>(to);
          EXPECT_TRUE(set->insert({storage, block}).second);
        },
        &blocks);
    return blocks;
  }

  Memory memory_;
  Segment segment_;
  Lsn lsn_ = 0x1000;
};

TEST_F(SegmentTest, NewSegmentIsEmpty) {
  EXPECT_GE(segment_.capacity(), 4u << 20);
  EXPECT_EQ(segment_.used(), 0u);
  EXPECT_EQ(segment_.reserved(), 0u);
  EXPECT_EQ(segment_.versions() + segment_.images() + segment_.blocks(), 0u);
  EXPECT_EQ(segment_.first_lsn(), 0u);
  EXPECT_EQ(segment_.last_lsn(), 0u);
  EXPECT_EQ(segment_.Find(1, 0), nullptr);
  EXPECT_EQ(segment_.Newest(1, 0, 0), nullptr);
  EXPECT_EQ(segment_.NewestImage(1, 0), nullptr);
  EXPECT_TRUE(AllBlocks().empty());
}

TEST_F(SegmentTest, VersionKeepsEveryField) {
  VersionMeta meta{0x123456789abcull, 0xfedcba98ull, 42, VersionKind::kMove, kVersionKeyUpdated};
  ASSERT_TRUE(segment_.Reserve(Segment::BoundForVersion(5)));
  segment_.ApplyVersion(9, 17, 255, meta, Slice("\0ab\0c", 5), false);
  const BufferedVersion* version = segment_.Newest(9, 17, 255);
  ASSERT_NE(version, nullptr);
  EXPECT_EQ(version->meta().xid, meta.xid);
  EXPECT_EQ(version->meta().lsn, meta.lsn);
  EXPECT_EQ(version->meta().cid, meta.cid);
  EXPECT_EQ(version->meta().kind, meta.kind);
  EXPECT_EQ(version->meta().flags, meta.flags);
  EXPECT_EQ(version->payload(), Slice("\0ab\0c", 5));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(version->payload().data()) % 8, 0u);
  EXPECT_EQ(segment_.Older(version), nullptr);
  EXPECT_EQ(segment_.Newest(9, 17, 254), nullptr);
  EXPECT_EQ(segment_.Newest(9, 18, 255), nullptr);
  EXPECT_EQ(segment_.Newest(8, 17, 255), nullptr);
}

TEST_F(SegmentTest, VersionsOfASlotAreLinkedNewestFirst) {
  for (FullXid xid = 1; xid <= 100; xid++) ASSERT_TRUE(Put(1, 2, 3, xid, std::to_string(xid)));
  Lsn above = ~Lsn{0};
  FullXid xid = 100;
  for (auto* v = segment_.Newest(1, 2, 3); v != nullptr; v = segment_.Older(v), xid--) {
    EXPECT_EQ(v->xid, xid);
    EXPECT_EQ(v->payload(), std::to_string(xid));
    EXPECT_LT(v->lsn, above);
    above = v->lsn;
  }
  EXPECT_EQ(xid, 0u);
  EXPECT_EQ(segment_.versions(), 100u);
  EXPECT_EQ(segment_.blocks(), 1u);
}

TEST_F(SegmentTest, EmptyPayloadAndEmptySectionAreKept) {
  ASSERT_TRUE(Put(1, 2, 3, 4, Slice()));
  ASSERT_TRUE(PutImage(1, 2, 4, Slice()));
  EXPECT_TRUE(segment_.Newest(1, 2, 3)->payload().empty());
  EXPECT_TRUE(segment_.NewestImage(1, 2)->section().empty());
}

TEST_F(SegmentTest, ImagesAreApartFromVersions) {
  ASSERT_TRUE(PutImage(5, 6, 10, "first batch", true));
  ASSERT_TRUE(PutImage(5, 6, 11, "second batch"));
  const Segment::BlockEntry* entry = segment_.Find(5, 6);
  ASSERT_NE(entry, nullptr);
  uint64_t slots[4];
  segment_.VersionSlots(entry, slots);
  EXPECT_EQ(slots[0] | slots[1] | slots[2] | slots[3], 0u);
  EXPECT_EQ(segment_.Newest(entry, 0), nullptr);

  ASSERT_TRUE(Put(5, 6, 0, 12, "row"));
  const BufferedImage* image = segment_.NewestImage(entry);
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->section(), "second batch");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(image->section().data()) % 8, 0u);
  EXPECT_EQ(image->meta().kind, VersionKind::kInsert);
  EXPECT_EQ(image->meta().xid, 11u);
  image = segment_.Older(image);
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->section(), "first batch");
  EXPECT_EQ(segment_.Older(image), nullptr);
  EXPECT_EQ(segment_.images(), 2u);
  EXPECT_EQ(segment_.versions(), 1u);
  EXPECT_EQ(segment_.blocks(), 1u);
}

TEST_F(SegmentTest, NewBlockIsRememberedFromAnyChange) {
  ASSERT_TRUE(Put(1, 1, 0, 5, "a", true));
  ASSERT_TRUE(Put(1, 1, 1, 5, "b", false));
  ASSERT_TRUE(Put(1, 2, 0, 5, "c", false));
  ASSERT_TRUE(PutImage(1, 3, 5, "d", false));
  ASSERT_TRUE(Put(1, 3, 0, 5, "e", true));
  ASSERT_TRUE(PutImage(1, 4, 5, "f", true));
  EXPECT_TRUE(segment_.IsNewBlock(segment_.Find(1, 1)));
  EXPECT_FALSE(segment_.IsNewBlock(segment_.Find(1, 2)));
  EXPECT_TRUE(segment_.IsNewBlock(segment_.Find(1, 3)));
  EXPECT_TRUE(segment_.IsNewBlock(segment_.Find(1, 4)));
}

// A slot lives in the entry, the overflow node or a group, by the order of first changes.
TEST_F(SegmentTest, EverySlotIsFoundHoweverManyAreTaken) {
  for (uint32_t taken = 1; taken <= kSlotsPerBlock; taken += (taken < 40 ? 1 : 24)) {
    std::vector<SlotNo> order(kSlotsPerBlock);
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) order[i] = static_cast<SlotNo>(i);
    std::shuffle(order.begin(), order.end(), std::mt19937(taken));
    for (uint32_t i = 0; i < taken; i++) {
      ASSERT_TRUE(Put(taken, 7, order[i], 1, "old " + std::to_string(order[i])));
    }
    for (uint32_t i = 0; i < taken; i += 3) {
      ASSERT_TRUE(Put(taken, 7, order[i], 2, "new " + std::to_string(order[i])));
    }
    const Segment::BlockEntry* entry = segment_.Find(taken, 7);
    ASSERT_NE(entry, nullptr);
    uint64_t slots[4];
    segment_.VersionSlots(entry, slots);
    std::map<SlotNo, BufferedVersion*> visited;
    segment_.VisitSlots(
        entry,
        [](void* to, SlotNo slot, BufferedVersion* newest) {
          auto* map = static_cast<std::map<SlotNo, BufferedVersion*>*>(to);
          EXPECT_TRUE(map->emplace(slot, newest).second);
        },
        &visited);
    EXPECT_EQ(visited.size(), taken);
    for (uint32_t i = 0; i < kSlotsPerBlock; i++) {
      SlotNo slot = order[i];
      BufferedVersion* newest = segment_.Newest(entry, slot);
      EXPECT_EQ((slots[slot / 64] >> (slot % 64)) & 1, i < taken);
      if (i >= taken) {
        EXPECT_EQ(newest, nullptr);
        continue;
      }
      ASSERT_NE(newest, nullptr);
      EXPECT_EQ(visited[slot], newest);
      EXPECT_EQ(newest->payload(), (i % 3 == 0 ? "new " : "old ") + std::to_string(slot));
      EXPECT_EQ(segment_.Older(newest) != nullptr, i % 3 == 0);
    }
  }
}

TEST_F(SegmentTest, ThousandsOfStoragesAreListedEachWithItsBlocks) {
  std::set<std::pair<StorageId, BlockNo>> expected;
  for (StorageId storage = 1; storage <= 5000; storage++) {
    for (BlockNo block = 0; block <= storage % 3; block++) {
      BlockNo number = block * 1000 + static_cast<BlockNo>(storage);
      ASSERT_TRUE(Put(storage, number, 0, 1, "x"));
      expected.insert({storage, number});
    }
  }
  EXPECT_EQ(AllBlocks(), expected);
  EXPECT_EQ(segment_.blocks(), expected.size());
  EXPECT_EQ(Blocks(3), (std::set<BlockNo>{3}));
  EXPECT_EQ(Blocks(5), (std::set<BlockNo>{5, 1005, 2005}));
  EXPECT_TRUE(Blocks(5001).empty());
}

TEST_F(SegmentTest, VerdictsReachEveryVersionAndImageOnce) {
  std::map<FullXid, int> expected;
  std::mt19937 random(1);
  for (int i = 0; i < 5000; i++) {
    FullXid xid = 1 + random() % 50;
    StorageId storage = 1 + random() % 3;
    BlockNo block = random() % 40;
    if (random() % 10 == 0) {
      ASSERT_TRUE(PutImage(storage, block, xid, "section"));
    } else {
      ASSERT_TRUE(Put(storage, block, static_cast<SlotNo>(random()), xid, "payload"));
    }
    expected[xid]++;
  }
  std::map<FullXid, int> seen;
  segment_.VisitXids(
      [](void* to, FullXid xid, std::atomic<uint8_t>* flags) {
        (*static_cast<std::map<FullXid, int>*>(to))[xid]++;
        EXPECT_EQ(flags->fetch_or(xid % 2 ? kVersionCommitted : kVersionAborted), 0);
      },
      &seen);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(segment_.versions() + segment_.images(), 5000u);
  auto* image = segment_.NewestImage(1, 1);
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->meta().flags, image->xid % 2 ? kVersionCommitted : kVersionAborted);
}

TEST_F(SegmentTest, ReservationsNeverExceedTheCapacity) {
  EXPECT_FALSE(segment_.Reserve(segment_.capacity() + 1));
  EXPECT_FALSE(segment_.Reserve(~size_t{0}));
  ASSERT_TRUE(segment_.Reserve(segment_.capacity()));
  EXPECT_FALSE(segment_.Reserve(1));
  EXPECT_TRUE(segment_.Reserve(0));
  EXPECT_FALSE(segment_.Reserve(~size_t{0}));
  segment_.Release(segment_.capacity());
  EXPECT_EQ(segment_.reserved(), 0u);
  EXPECT_TRUE(segment_.Reserve(1));
}

TEST_F(SegmentTest, ApplyGivesBackWhatItDidNotNeed) {
  std::mt19937 random(2);
  for (int i = 0; i < 10000; i++) {
    std::string payload(random() % 100, 'p');
    size_t before = segment_.used();
    if (random() % 4 != 0) {
      ASSERT_TRUE(Put(1 + random() % 3, random() % 200, static_cast<SlotNo>(random()), 1, payload));
      EXPECT_LE(segment_.used() - before, Segment::BoundForVersion(payload.size()));
    } else {
      ASSERT_TRUE(PutImage(1 + random() % 3, random() % 200, 1, payload));
      EXPECT_LE(segment_.used() - before, Segment::BoundForImage(payload.size()));
    }
    ASSERT_EQ(segment_.reserved(), segment_.used());
  }
}

TEST_F(SegmentTest, ReservationOutlivesOtherChanges) {
  ASSERT_TRUE(segment_.Reserve(segment_.capacity() - 4096));
  int applied = 0;
  while (Put(1, 0, static_cast<SlotNo>(applied), 1, "some payload")) applied++;
  EXPECT_GT(applied, 10);
  EXPECT_LE(segment_.reserved(), segment_.capacity());
  segment_.Release(segment_.capacity() - 4096);
  EXPECT_EQ(segment_.reserved(), segment_.used());
}

// Fills to the last byte that a reservation grants; the sanitizer would see a write behind the end.
TEST(SegmentSizeTest, SegmentOfAnySizeCanBeFilled) {
  for (size_t capacity : {size_t{0}, size_t{1}, size_t{200}, size_t{4096}, size_t{100001},
                          size_t{1} << 20, (size_t{1} << 20) + 8}) {
    Memory memory(Segment::SizeFor(capacity), 8);
    Segment segment = Segment::Format(memory.get(), memory.size());
    EXPECT_GE(segment.capacity(), capacity);
    EXPECT_LT(segment.capacity(), capacity + 256);
    EXPECT_LE(memory.size(), capacity + capacity / 50 + 1024);
    Lsn lsn = 1;
    BlockNo block = 0;
    while (segment.Reserve(Segment::BoundForVersion(3))) {
      segment.ApplyVersion(1, block, 0, {1, lsn++, 0, VersionKind::kUpdate, 0}, "abc", false);
      block++;
    }
    size_t rest = segment.capacity() - segment.used();
    for (size_t size = rest; size > 0; size--) {
      if (!segment.Reserve(Segment::BoundForImage(size))) continue;
      segment.ApplyImage(1, block++, {1, lsn++, 0, VersionKind::kInsert, 0}, std::string(size, 'i'),
                         true);
      break;
    }
    for (BlockNo b = 0; b + 1 < block; b++) EXPECT_NE(segment.Find(1, b), nullptr);
    EXPECT_EQ(segment.blocks(), block);
  }
}

TEST_F(SegmentTest, LargestReservationTakesOneLargeImage) {
  size_t size = segment_.capacity() - Segment::BoundForImage(0);
  std::string section(size, 'z');
  ASSERT_TRUE(PutImage(1, 1, 1, section, true));
  EXPECT_EQ(segment_.NewestImage(1, 1)->section(), section);
  EXPECT_FALSE(Put(1, 2, 0, 1, ""));
}

TEST_F(SegmentTest, ResetEmptiesTheSegment) {
  for (int round = 0; round < 3; round++) {
    for (BlockNo block = 0; block < 300; block++) {
      for (int slot = 0; slot < 30; slot++) {
        ASSERT_TRUE(Put(round + 1, block, static_cast<SlotNo>(slot * 8), 1, "payload"));
      }
    }
    segment_.NoteLsn(100 + round);
    EXPECT_EQ(AllBlocks().size(), 300u);
    EXPECT_EQ(segment_.blocks(), 300u);
    EXPECT_EQ(segment_.versions(), 9000u);
    segment_.Reset();
    EXPECT_EQ(segment_.used() + segment_.reserved() + segment_.versions() + segment_.blocks(), 0u);
    EXPECT_EQ(segment_.first_lsn(), 0u);
    EXPECT_EQ(segment_.last_lsn(), 0u);
    EXPECT_TRUE(AllBlocks().empty());
    for (BlockNo block = 0; block < 300; block++) {
      EXPECT_EQ(segment_.Find(round + 1, block), nullptr);
    }
    EXPECT_TRUE(segment_.Reserve(segment_.capacity()));
    segment_.Release(segment_.capacity());
  }
}

TEST_F(SegmentTest, LsnsComeFromTheCallerInAnyOrder) {
  ASSERT_TRUE(Put(1, 1, 1, 1, "unlogged"));
  EXPECT_EQ(segment_.first_lsn(), 0u);
  segment_.NoteLsn(500);
  segment_.NoteLsn(300);
  segment_.NoteLsn(0);
  segment_.NoteLsn(400);
  EXPECT_EQ(segment_.first_lsn(), 300u);
  EXPECT_EQ(segment_.last_lsn(), 500u);
}

TEST_F(SegmentTest, SecondMappingAtAnotherAddressReadsTheSame) {
  for (int slot = 0; slot < 256; slot++) ASSERT_TRUE(Put(3, 4, slot, 9, std::to_string(slot)));
  ASSERT_TRUE(PutImage(3, 4, 9, "section"));
  Memory other(memory_.size());
  std::memcpy(other.get(), memory_.get(), memory_.size());
  std::memset(memory_.get(), 0xff, memory_.size());
  Segment moved = Segment::Attach(other.get());
  for (int slot = 0; slot < 256; slot++) {
    ASSERT_NE(moved.Newest(3, 4, slot), nullptr);
    EXPECT_EQ(moved.Newest(3, 4, slot)->payload(), std::to_string(slot));
  }
  EXPECT_EQ(moved.NewestImage(3, 4)->section(), "section");
  EXPECT_EQ(moved.versions(), 256u);
}

TEST_F(SegmentTest, AgreesWithAMapUnderRandomChanges) {
  std::map<std::tuple<StorageId, BlockNo, SlotNo>, std::vector<std::string>> model;
  std::mt19937 random(3);
  for (int i = 0; i < 20000; i++) {
    StorageId storage = (uint64_t{1} << (random() % 3 * 20)) + random() % 3;
    BlockNo block = random() % 2 ? random() % 30 : kMaxBlocks - 1 - random() % 30;
    auto slot = static_cast<SlotNo>(random() % (1 + random() % 256));
    std::string payload(random() % 40, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(Put(storage, block, slot, i + 1, payload));
    model[{storage, block, slot}].push_back(payload);
  }
  for (const auto& [where, payloads] : model) {
    auto [storage, block, slot] = where;
    const BufferedVersion* version = segment_.Newest(storage, block, slot);
    for (auto payload = payloads.rbegin(); payload != payloads.rend(); ++payload) {
      ASSERT_NE(version, nullptr);
      EXPECT_EQ(version->payload(), *payload);
      version = segment_.Older(version);
    }
    EXPECT_EQ(version, nullptr);
  }
}

}  // namespace
}  // namespace omendb
