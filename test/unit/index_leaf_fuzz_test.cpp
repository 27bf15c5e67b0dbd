// Random leaves, operands, folds and splits against std::map; damaged leaves. Meant to run under
// AddressSanitizer, where leaving the bytes is an error: values stand in heap blocks of their size.
#include <memory>

#include "base/crc32c.h"
#include "base/pure.h"
#include "block/section.h"
#include "leaf_test_util.h"

namespace omendb {
namespace {

// Bytes at an odd address with nothing behind them.
class TightBytes {
 public:
  explicit TightBytes(Slice bytes) : size_(bytes.size()), bytes_(new char[size_ + 1]) {
    std::copy(bytes.begin(), bytes.end(), data());
  }
  char* data() { return bytes_.get() + 1; }
  Slice slice() { return Slice(data(), size_); }

 private:
  const size_t size_;
  const std::unique_ptr<char[]> bytes_;
};

// Keys of one index: prefix-free, of one kind.
class Keys {
 public:
  explicit Keys(std::mt19937_64& random) : random_(random), kind_(random() % 6) {
    for (uint64_t i = random() % 12; i > 0; i--) prefix_.push_back(static_cast<char>(random()));
    span_ = 1 + random() % (1ull << (1 + random() % 63));
  }
  std::string Next() {
    std::string key = prefix_;
    switch (kind_) {
      case 0:
        return key + Int8Key(random_() % span_);
      case 1:
        return key + Int8Key(random_() % span_) + Int8Key(random_());
      case 2:
        return key + Int8Key(random_() % span_).substr(5);
      case 3:  // text: no zero byte but at its end
        for (uint64_t i = random_() % 30; i > 0; i--) key += static_cast<char>('a' + random_() % 3);
        return key + '\0';
      case 4:
        key += std::string(random_() % 200, 'x');
        return key + std::string(1 + random_() % 2, 'y') + '\0';
      default:
        return key + std::string(1, static_cast<char>(random_() % 5));
    }
  }
  TidNumber NextTid() {
    const uint64_t block = random_() % 3 ? random_() % 50 : random_() >> 32;
    return Tid(block, random_() % 3 ? 1 + random_() % 256 : random_() & 0xffff);
  }

 private:
  std::mt19937_64& random_;
  const uint64_t kind_;
  uint64_t span_;
  std::string prefix_;
};

Words RandomWords(Keys* keys, std::mt19937_64& random, size_t count, bool removed,
                  const Words& known) {
  Words words;
  const uint64_t payloads = random() % 3;
  for (size_t i = 0; i < count; i++) {
    Words::key_type place = {keys->Next(), keys->NextTid()};
    if (!known.empty() && random() % 2)
      place = std::next(known.begin(), random() % known.size())->first;
    Word word;
    if (payloads > 0) word.payload = std::string(payloads == 1 ? 4 : random() % 20, 'p');
    word.removed = removed && random() % 2;
    words[place] = word;
  }
  return words;
}

void ExpectAt(const LeafView& view, const Words& words, Words::const_iterator it) {
  ASSERT_EQ(view.Valid(), it != words.end());
  if (!view.Valid()) return;
  ASSERT_EQ(view.entry().key, it->first.first);
  ASSERT_EQ(view.entry().tid, it->first.second);
  ASSERT_EQ(view.entry().payload, it->second.payload);
  ASSERT_FALSE(view.entry().removed);
}

// Seeks and walks at random.
void ExpectSame(LeafView* view, const Words& words, Keys* keys, std::mt19937_64& random) {
  ASSERT_EQ(WordsOf(view), words);
  auto it = words.end();
  for (int step = 0; step < 60; step++) {
    const bool stands = view->Valid() && it != words.end();
    switch (random() % 8) {
      case 0:
        view->First();
        it = words.begin();
        break;
      case 1:
        view->Last();
        it = words.empty() ? words.end() : std::prev(words.end());
        break;
      case 2:
      case 3: {
        std::string key = keys->Next();
        if (random() % 3 == 0) key.resize(random() % (key.size() + 1));
        if (random() % 3 == 0) key += static_cast<char>(random());
        const TidNumber tid = keys->NextTid();
        it = words.lower_bound({key, tid});
        if (random() % 2) {
          view->Seek(key, tid);
        } else {
          view->SeekBefore(key, tid);
          it = it == words.begin() ? words.end() : std::prev(it);
        }
        break;
      }
      case 4:
      case 5:
        if (!stands) continue;
        view->Next();
        ++it;
        break;
      default:
        if (!stands) continue;
        view->Prev();
        it = it == words.begin() ? words.end() : std::prev(it);
        break;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectAt(*view, words, it));
  }
}

TEST(IndexLeafFuzz, ReadsFoldsAndSplitsLikeAMap) {
  std::mt19937_64 random(21);
  for (int round = 0; round < 4000; round++) {
    SCOPED_TRACE(round);
    Keys keys(random);
    Words live =
        RandomWords(&keys, random, random() % 3 ? random() % 600 : random() % 5, false, {});
    std::vector<std::string> values = {LeafValue(live, 1)};
    for (uint64_t delta = random() % 5; delta > 0; delta--) {
      const Words words = RandomWords(&keys, random, random() % 60, true, live);
      values.push_back(DeltaValue(words, 1 + values.size()));
      Apply(words, &live);
    }
    // Some operands once more, as a redo leaves them.
    if (values.size() > 1 && random() % 3 == 0)
      values.push_back(values[1 + random() % (values.size() - 1)]);
    std::string all;
    for (const std::string& value : values) all += value;
    TightBytes bytes(all);
    LeafView view;
    ExpectOk(LeafView::Parse(bytes.slice(), true, &view));
    ASSERT_NO_FATAL_FAILURE(ExpectSame(&view, live, &keys, random));

    // Folding any run of neighbours first comes to the same.
    const size_t first = random() % values.size(),
                 end = first + 1 + random() % (values.size() - first);
    std::string some;
    ExpectOk(
        FoldLeafValues(std::vector<Slice>(values.begin() + first, values.begin() + end), &some));
    std::vector<Slice> rest(values.begin(), values.begin() + first);
    rest.push_back(some);
    rest.insert(rest.end(), values.begin() + end, values.end());
    std::string folded;
    ExpectOk(FoldLeafValues(rest, &folded));
    ExpectOk(LeafView::Parse(folded, true, &view));
    EXPECT_EQ(view.deltas(), 0u);
    EXPECT_EQ(view.base_count(), live.size());
    ASSERT_NO_FATAL_FAILURE(ExpectSame(&view, live, &keys, random));

    EntryList entries;
    ExpectOk(FoldLeaf(&view, &entries));
    ASSERT_EQ(entries.size(), live.size());
    std::vector<NewLeaf> leaves;
    const LeafGrowth growth = random() % 2 ? LeafGrowth::kRandom : LeafGrowth::kAppend;
    ExpectOk(SplitLeaf(entries, "", "", 50, growth, &leaves));
    ASSERT_EQ(leaves.size() > 1, MustSplitLeaf(entries));
    Words together;
    std::string low;
    for (const NewLeaf& leaf : leaves) {
      ASSERT_EQ(leaf.low, low);
      low = leaf.high;
      ExpectOk(LeafView::Parse(leaf.value, true, &view));
      EXPECT_EQ(view.low(), leaf.low);
      EXPECT_EQ(view.high(), leaf.high);
      ASSERT_LE(view.base_count(), kMaxLeafCount);
      ExpectOk(FoldLeaf(&view, &entries));
      if (entries.size() > 1) {
        ASSERT_LE(entries.RawSize(0, entries.size()), kMaxLeafBytes);
      }
      together.merge(WordsOf(&view));
    }
    ASSERT_EQ(low, "");
    ASSERT_EQ(together, live);
  }
}

// A value from which pieces can be had so many times.
class TestPieces : public LeafPieces {
 public:
  explicit TestPieces(Slice value, uint64_t times = ~0ull) : value_(value), times_(times) {}
  bool Copy(size_t at, size_t size, char* to) override {
    EXPECT_EQ(at % 8, 0u);
    EXPECT_TRUE(at <= value_.size() && size <= value_.size() - at);
    if (times_-- == 0) return false;
    std::copy_n(value_.data() + at, size, to);
    copied += size;
    return true;
  }
  size_t copied = 0;

 private:
  const Slice value_;
  uint64_t times_;
};

TEST(IndexLeafFuzz, InPiecesLikeAMap) {
  std::mt19937_64 random(26);
  for (int round = 0; round < 2000; round++) {
    SCOPED_TRACE(round);
    Keys keys(random);
    const Words live = RandomWords(&keys, random, random() % 1200, false, {});
    const std::string value = LeafValue(live, 7);
    LeafView view;
    for (int look = 0; look < 3; look++) {
      TestPieces pieces(value);
      TightBytes room(std::string(value.size(), static_cast<char>(random())));
      ASSERT_TRUE(LeafView::ParseInPieces(&pieces, value.size(), random() % 2, room.data(), &view));
      EXPECT_EQ(view.lsn(), 7u);
      const std::string key = keys.Next();
      const TidNumber tid = keys.NextTid();
      view.Seek(key, tid);
      ASSERT_NO_FATAL_FAILURE(ExpectAt(view, live, live.lower_bound({key, tid})));
    }
    TestPieces pieces(value);
    TightBytes room(std::string(value.size(), static_cast<char>(random())));
    ASSERT_TRUE(LeafView::ParseInPieces(&pieces, value.size(), true, room.data(), &view));
    ASSERT_NO_FATAL_FAILURE(ExpectSame(&view, live, &keys, random));
    EXPECT_FALSE(view.lost());
    // Operands are no base, nor is there anything behind one.
    std::string other = DeltaValue({{{"k", 1}, {}}}, 8);
    TestPieces delta(other);
    TightBytes small_room(other);
    EXPECT_FALSE(LeafView::ParseInPieces(&delta, other.size(), true, small_room.data(), &view));
    other = value + other;
    TestPieces both(other);
    TightBytes large_room(other);
    EXPECT_FALSE(LeafView::ParseInPieces(&both, other.size(), true, large_room.data(), &view));
  }
}

TEST(IndexLeafFuzz, ALookupInPiecesTakesFewBytes) {
  std::mt19937_64 random(27);
  Words live;
  while (live.size() < 1000)
    live[{'\1' + Int8Key(random() >> 8), Tid(random() % (1 << 20), 3)}] = {};
  const std::string value = LeafValue(live, 1);
  ASSERT_GT(value.size(), 8000u);
  std::string room(value.size(), '\0');
  size_t copied = 0;
  for (const auto& [place, word] : live) {
    TestPieces pieces(value);
    LeafView view;
    ASSERT_TRUE(LeafView::ParseInPieces(&pieces, value.size(), true, room.data(), &view));
    view.Seek(place.first, 0);
    ASSERT_TRUE(view.Valid());
    EXPECT_EQ(view.entry().key, place.first);
    copied += pieces.copied;
  }
  EXPECT_LT(copied / live.size(), 2000u);
}

std::string RandomValueBytes(std::mt19937_64& random, Words* live, Keys* keys) {
  *live = RandomWords(keys, random, random() % 150, false, {});
  std::string all = LeafValue(*live, 1);
  for (uint64_t delta = random() % 3; delta > 0; delta--) {
    const Words words = RandomWords(keys, random, random() % 30, true, *live);
    all += DeltaValue(words, 5 - delta);
    Apply(words, live);
  }
  return all;
}

// Every call on what may be damaged. Damage can make the places of sections disagree; it must not
// make a walk endless or leave the bytes.
void ReadAll(LeafView* view, Keys* keys) {
  uint64_t sum = 0;
  const auto read = [&] {
    for (char c : view->entry().key) sum += static_cast<unsigned char>(c);
    for (char c : view->entry().payload) sum += static_cast<unsigned char>(c);
    sum += view->entry().tid;
  };
  const uint64_t bound = view->base_count() + view->delta_count() + 1;
  uint64_t steps = 0;
  for (view->First(); view->Valid() && steps <= bound; view->Next(), steps++) read();
  ASSERT_LE(steps, bound);
  steps = 0;
  for (view->Last(); view->Valid() && steps <= bound; view->Prev(), steps++) read();
  ASSERT_LE(steps, bound);
  for (int i = 0; i < 8; i++) {
    const std::string key = keys->Next();
    view->Seek(key, keys->NextTid());
    if (view->Valid()) read();
    if (view->Valid()) view->Prev();
    if (view->Valid()) view->Next();
    view->SeekBefore(key, keys->NextTid());
    if (view->Valid()) read();
    sum += view->Covers(key, 0);
  }
  EntryList entries;
  const Status status = FoldLeaf(view, &entries);
  if (!status.ok()) {
    EXPECT_EQ(status.code(), StatusCode::kCorruption);
  }
  volatile uint64_t sink = sum;
  (void)sink;
}

// Recomputes the checksums, so that damage gets past them.
void Reseal(char* value, size_t size) {
  for (size_t at = 0; at + kSectionHeaderSize + sizeof(LeafHeader) <= size;) {
    const auto header = LoadFixed<SectionHeader>(value + at);
    if (header.size < kSectionHeaderSize + sizeof(LeafHeader) || header.size > size - at) return;
    const auto leaf = LoadFixed<LeafHeader>(value + at + kSectionHeaderSize);
    if (leaf.head_size > header.size) return;
    const size_t body = header.size - leaf.head_size;
    size_t to =
        kSectionHeaderSize + sizeof(LeafHeader) + leaf.low_size + leaf.high_size + leaf.prefix_size;
    to = (to + 3) / 4 * 4;
    if (to + LeafPages(body) * 4 > leaf.head_size) return;
    for (size_t page = 0; page < LeafPages(body); page++, to += 4) {
      const Slice bytes =
          Slice(value + at + leaf.head_size, body).substr(page * kLeafPage, kLeafPage);
      StoreFixed(value + at + to, Crc32c(0, bytes));
    }
    SealSection(value + at, header.size, leaf.head_size, header.type, header.flags, header.lsn);
    at += header.size;
  }
}

TEST(DamagedLeafFuzz, VerificationFindsEveryFlippedBit) {
  std::mt19937_64 random(22);
  for (int round = 0; round < 300; round++) {
    Keys keys(random);
    Words live;
    TightBytes value(RandomValueBytes(random, &live, &keys));
    LeafView view;
    for (int flip = 0; flip < 100; flip++) {
      char& byte = value.data()[random() % value.slice().size()];
      const char bit = static_cast<char>(1 << random() % 8);
      byte ^= bit;
      const Status status = LeafView::Parse(value.slice(), true, &view);
      EXPECT_EQ(status.code(), StatusCode::kCorruption);
      EXPECT_FALSE(status.detail().empty());
      std::string out;
      EXPECT_FALSE(FoldLeafValues(std::vector<Slice>{value.slice()}, &out).ok());
      EXPECT_TRUE(out.empty());
      byte ^= bit;
    }
    ExpectOk(LeafView::Parse(value.slice(), true, &view));
    EXPECT_EQ(WordsOf(&view), live);
  }
}

// A flipped bit, or pieces that cannot be had any more: what is shown is right, and once that is
// not known nothing is shown, and the entry is still there from which the walk goes on elsewhere.
TEST(DamagedLeafFuzz, WhatIsLostIsNotShown) {
  std::mt19937_64 random(28);
  int refused = 0, lost_in_search = 0, lost_in_walk = 0, walks = 0;
  for (int round = 0; round < 20000; round++) {
    SCOPED_TRACE(round);
    Keys keys(random);
    const Words live = RandomWords(&keys, random, 1 + random() % 900, false, {});
    std::string value = LeafValue(live, 7);
    const bool flipped = random() % 2;
    if (flipped) value[random() % value.size()] ^= static_cast<char>(1 << random() % 8);
    TestPieces pieces(value, flipped ? ~0ull : random() % 6);
    TightBytes room(std::string(value.size(), static_cast<char>(random())));
    LeafView view;
    if (!LeafView::ParseInPieces(&pieces, value.size(), true, room.data(), &view)) {
      refused++;
      continue;
    }
    auto it = live.lower_bound(std::next(live.begin(), random() % live.size())->first);
    view.Seek(it->first.first, it->first.second);
    if (view.lost()) {
      EXPECT_FALSE(view.Valid());
      lost_in_search++;
      continue;
    }
    const bool forward = random() % 2;
    for (; it != live.end(); forward ? view.Next() : view.Prev()) {
      if (view.lost()) break;
      ASSERT_NO_FATAL_FAILURE(ExpectAt(view, live, it));
      it = forward ? std::next(it) : it == live.begin() ? live.end() : std::prev(it);
    }
    walks++;
    if (!view.lost()) continue;
    lost_in_walk++;
    EXPECT_FALSE(view.Valid());
    const auto before = forward ? std::prev(it) : std::next(it);
    EXPECT_EQ(view.entry().key, before->first.first);
    EXPECT_EQ(view.entry().tid, before->first.second);
  }
  for (int count : {refused, lost_in_search, lost_in_walk, walks - lost_in_walk}) {
    EXPECT_GT(count, 100);
  }
}

void Damage(TightBytes* value, std::mt19937_64& random) {
  // Mostly in the headers at the front.
  const size_t size = value->slice().size();
  const size_t reach = random() % 3 ? std::min<size_t>(size, 80) : size;
  for (uint64_t n = 1 + random() % 3; n > 0; n--) {
    char& byte = value->data()[random() % reach];
    byte = static_cast<char>(random() % 3 == 0 ? 0xff : random());
  }
}

TEST(DamagedLeafFuzz, StaysWithinItsBytesWithoutVerification) {
  std::mt19937_64 random(23);
  int parsed = 0;
  for (int round = 0; round < 500; round++) {
    Keys keys(random);
    Words live;
    const std::string good = RandomValueBytes(random, &live, &keys);
    for (int damage = 0; damage < 40; damage++) {
      TightBytes value(good);
      Damage(&value, random);
      LeafView view;
      if (!LeafView::Parse(value.slice(), false, &view).ok()) continue;
      parsed++;
      ASSERT_NO_FATAL_FAILURE(ReadAll(&view, &keys));
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(DamagedLeafFuzz, StaysWithinItsBytesBehindAGoodChecksum) {
  std::mt19937_64 random(24);
  int parsed = 0;
  for (int round = 0; round < 500; round++) {
    Keys keys(random);
    Words live;
    const std::string good = RandomValueBytes(random, &live, &keys);
    for (int damage = 0; damage < 40; damage++) {
      TightBytes value(good);
      Damage(&value, random);
      Reseal(value.data(), value.slice().size());
      LeafView view;
      if (!LeafView::Parse(value.slice(), true, &view).ok()) continue;
      parsed++;
      ASSERT_NO_FATAL_FAILURE(ReadAll(&view, &keys));
      std::string out;
      if (!FoldLeafValues(std::vector<Slice>{value.slice()}, &out).ok()) continue;
      ExpectOk(LeafView::Parse(out, true, &view));
      ASSERT_NO_FATAL_FAILURE(ReadAll(&view, &keys));
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(DamagedLeafFuzz, StaysWithinItsBytesInPieces) {
  std::mt19937_64 random(29);
  int parsed = 0;
  for (int round = 0; round < 3000; round++) {
    Keys keys(random);
    const Words live = RandomWords(&keys, random, random() % 150, false, {});
    for (int damage = 0; damage < 10; damage++) {
      TightBytes value(LeafValue(live, 1));
      Damage(&value, random);
      const bool verify = random() % 2;
      if (verify) Reseal(value.data(), value.slice().size());
      TestPieces pieces(value.slice());
      TightBytes room(std::string(value.slice().size(), static_cast<char>(random())));
      LeafView view;
      if (!LeafView::ParseInPieces(&pieces, value.slice().size(), verify, room.data(), &view)) {
        continue;
      }
      parsed++;
      for (int i = 0; i < 8; i++) {
        view.Seek(keys.Next(), keys.NextTid());
        if (view.Valid()) view.Next();
        view.SeekBefore(keys.Next(), keys.NextTid());
        if (view.Valid()) view.Prev();
      }
    }
  }
  EXPECT_GT(parsed, 100);
}

TEST(DamagedLeafFuzz, AnyPrefixIsRefusedOrComplete) {
  std::mt19937_64 random(25);
  for (int round = 0; round < 10; round++) {
    Keys keys(random);
    Words live;
    const std::string good = RandomValueBytes(random, &live, &keys);
    for (size_t size = 0; size < good.size(); size++) {
      TightBytes value(Slice(good).substr(0, size));
      LeafView view;
      if (LeafView::Parse(value.slice(), false, &view).ok()) ReadAll(&view, &keys);
    }
  }
}

}  // namespace
}  // namespace omendb
