// Random operations on the learned index, compared with an ordered map.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "alex_test_util.h"

namespace omendb {
namespace {

// Under AddressSanitizer everything takes ten times as long.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kShorter = 4;
#else
constexpr size_t kShorter = 1;
#endif

struct Value {
  uint8_t flags;
  std::string payload;
};
using Position = std::pair<std::string, uint64_t>;
using Model = std::map<Position, Value>;
using Random = std::mt19937_64;

// Draws the next entry's key and TID; `i` counts the calls.
using Draw = Position (*)(Random& random, uint64_t i);

constexpr uint64_t kTids = uint64_t{1} << 48;

Position Uniform(Random& random, uint64_t) { return {BigEndian(random()), random() % 3}; }
Position Ascending(Random&, uint64_t i) { return {BigEndian((uint64_t{1} << 62) + i * 3), 7}; }
Position Descending(Random&, uint64_t i) { return {BigEndian((uint64_t{1} << 63) - i), i % kTids}; }
Position Alternating(Random&, uint64_t i) {
  return {BigEndian((uint64_t{1} << 40) + (i % 2 != 0 ? i : -i)), 0};
}
Position FewKeys(Random& random, uint64_t) { return {BigEndian(random() % 5), random() % kTids}; }
Position OneKey(Random& random, uint64_t i) {
  return {BigEndian(UINT64_MAX), i % 2 != 0 ? i : random() % kTids};
}
Position Extremes(Random& random, uint64_t i) {
  uint64_t edges[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, uint64_t{1} << 63};
  uint64_t tids[] = {0, kTids - 1, random() % 100};
  uint64_t number = random() % 2 != 0 ? edges[random() % 5] : edges[random() % 5] + random() % 64;
  return {BigEndian(number), tids[i % 3]};
}
Position Clustered(Random& random, uint64_t) {
  uint64_t center = (random() % 7) * 0x1111111111111111;
  return {BigEndian(center + random() % (uint64_t{1} << (random() % 40))), random() % 2};
}
Position Repeated(Random& random, uint64_t) {  // a deeper space for each
  return {BigEndian(random() % 60 * 3'600'000'000), random() % 1000};
}
Position ShortKeys(Random& random, uint64_t) {  // 4 bytes: inline too
  return {BigEndian(random()).substr(0, 4), random() % 1000};
}
// Prefix-free strings of all lengths: letters and a terminator.
std::string Word(Random& random, size_t most, int letters) {
  std::string word;
  for (size_t n = random() % most; n > 0; n--) {
    word.push_back(static_cast<char>('a' + random() % letters));
  }
  word.push_back('\0');
  return word;
}
Position Words(Random& random, uint64_t) { return {Word(random, 30, 2), random() % 2}; }
Position LongPrefix(Random& random, uint64_t) {
  std::string shared = random() % 2 != 0 ? std::string(200, 'p') : std::string(60, 'p') + "q";
  return {"x" + shared + Word(random, 20, 3), random() % 2};
}
Position OutsidePrefix(Random& random, uint64_t) {  // the maps' prefix is "x"
  std::string first(1, "awxyz"[random() % 5]);
  return {first + Word(random, 12, 2), random() % 4};
}
Position Deep(Random& random, uint64_t) {  // keys of up to 8 kB that part late
  std::string key(random() % 4 * 2000 + random() % 3, 'k');
  return {key + "a" + Word(random, 5, 4), random() % 2};
}

struct Case {
  const char* name;
  Draw draw;
  size_t operations;
};
const Case kCases[] = {
    {"uniform", Uniform, 20000},
    {"ascending", Ascending, 20000},
    {"descending", Descending, 20000},
    {"alternating", Alternating, 20000},
    {"few keys", FewKeys, 20000},
    {"one key", OneKey, 20000},
    {"extremes", Extremes, 20000},
    {"clustered", Clustered, 20000},
    {"repeated", Repeated, 20000},
    {"short keys", ShortKeys, 20000},
    {"words", Words, 20000},
    {"long prefix", LongPrefix, 20000},
    {"outside prefix", OutsidePrefix, 20000},
    {"deep", Deep, 3000},
};

class Fuzz {
 public:
  Fuzz(const AlexOptions& options, Slice prefix, uint64_t seed)
      : options_(options),
        block_(uint64_t{1} << 30),
        memory_(&block_),
        map_(memory_, TestMap::Create(memory_, prefix, options)),
        random_(seed) {}

  void Run(const Case& test) {
    for (size_t i = 0; i < test.operations / kShorter; i++) {
      if (i % 4096 == 4095) Burst();
      Step(test, i);
      if (testing::Test::HasFailure()) return;
    }
    CheckAll();
    while (!model_.empty() && !testing::Test::HasFailure()) RemoveOne(model_.begin()->first);
    CheckAll();
    Step(test, 0);
    CheckAll();
  }

 private:
  void Step(const Case& test, size_t i) {
    Position position = test.draw(random_, i);
    switch (random_() % 16) {
      default:
        PutOne(position);
        break;
      case 0:
      case 1:
        RemoveOne(position);
        break;
      case 2: {  // one that is there, most likely
        auto at = model_.lower_bound(position);
        if (at != model_.end()) RemoveOne(Position(at->first));
        break;
      }
      case 3:
        FindOne(position);
        break;
      case 4:
        Walk(position);
        break;
    }
  }

  void PutOne(const Position& position) {
    Value value{static_cast<uint8_t>(random_()), ""};
    if (random_() % 8 == 0) value.payload.assign(random_() % 40, static_cast<char>(random_()));
    size_t bound = TestMap::BoundForPut(position.first.size(), value.payload.size(), options_);
    size_t used = block_.used;
    AlexPut result = map_.Put(position.first, position.second, value.flags, value.payload);
    ASSERT_LE(block_.used - used, bound);
    bool added = model_.insert_or_assign(position, value).second;
    ASSERT_EQ(result, added ? AlexPut::kAdded : AlexPut::kReplaced);
  }
  void RemoveOne(Position position) {  // by value: it may lie in the model
    ASSERT_EQ(map_.Remove(position.first, position.second), model_.erase(position) != 0);
  }
  void FindOne(const Position& position) {
    AlexItem item;
    auto at = model_.find(position);
    ASSERT_EQ(map_.Find(position.first, position.second, &item), at != model_.end());
    if (at == model_.end()) return;
    ASSERT_EQ(item.flags, at->second.flags);
    ASSERT_EQ(item.payload, at->second.payload);
  }
  void Compare(TestMap::Iterator* it, Model::iterator at) {
    ASSERT_TRUE(it->Valid());
    Compare(it->item(), at);
  }
  void Compare(const AlexItem& item, Model::iterator at) {
    ASSERT_EQ(item.key, at->first.first);
    ASSERT_EQ(item.tid, at->first.second);
    ASSERT_EQ(item.flags, at->second.flags);
    ASSERT_EQ(item.payload, at->second.payload);
  }
  // To and fro from a position, which need not be an entry's.
  void Walk(Position position) {
    if (random_() % 4 == 0) position.first.resize(random_() % (position.first.size() + 1));
    if (random_() % 4 == 0) position.second = random_() % 2 != 0 ? kTids - 1 : 0;
    TestMap::Iterator it(map_);
    block_.overwrite = false;  // an iterator is inside
    WalkFrom(position, &it);
    block_.overwrite = true;
  }
  void FindNear(const Position& position) {
    auto at = model_.lower_bound(position);
    AlexItem item;
    ASSERT_EQ(map_.FindNotBefore(position.first, position.second, &item), at != model_.end());
    if (at != model_.end()) Compare(item, at);
    ASSERT_EQ(map_.FindBefore(position.first, position.second, &item), at != model_.begin());
    if (at != model_.begin()) Compare(item, std::prev(at));
  }
  void WalkFrom(const Position& position, TestMap::Iterator* iterator) {
    FindNear(position);
    if (testing::Test::HasFailure()) return;
    TestMap::Iterator& it = *iterator;
    auto at = model_.lower_bound(position);
    if (random_() % 2 != 0) {
      it.Seek(position.first, position.second);
    } else {
      it.SeekBefore(position.first, position.second);
      if (at == model_.begin()) {
        ASSERT_FALSE(it.Valid());
        return;
      }
      --at;
    }
    for (int i = 0; i < 150; i++) {
      if (at == model_.end()) {
        ASSERT_FALSE(it.Valid());
        return;
      }
      Compare(&it, at);
      if (testing::Test::HasFailure()) return;
      if (random_() % 16 == 0) Disturb(at);
      bool forward = i < 80 ? random_() % 8 != 0 : random_() % 8 == 0;
      if (!forward && at == model_.begin()) {
        it.Prev();
        ASSERT_FALSE(it.Valid());
        return;
      }
      forward ? ++at : --at;
      forward ? it.Next() : it.Prev();
    }
  }
  // Makes the iterator's leaf another version, and its neighbours, without a change that it may or
  // may not see.
  void Disturb(Model::iterator at) {
    for (int i = 0; i < 3 && at != model_.end(); i++, ++at) {
      const auto& [key, tid] = at->first;
      ASSERT_TRUE(map_.Remove(key, tid));
      ASSERT_EQ(map_.Put(key, tid, at->second.flags, at->second.payload), AlexPut::kAdded);
    }
  }
  void Burst() {  // of removals
    if (model_.empty()) return;
    auto from = std::next(model_.begin(), static_cast<long>(random_() % model_.size()));
    for (size_t n = model_.size() / 3; n > 0 && from != model_.end(); n--) {
      Position position = from->first;
      ++from;
      RemoveOne(position);
    }
    CheckAll();
  }
  void CheckAll() {
    TestMap::Iterator it(map_);
    it.SeekToFirst();
    for (auto at = model_.begin(); at != model_.end(); ++at, it.Next()) {
      Compare(&it, at);
      FindOne(at->first);
      FindNear(at->first);
      if (testing::Test::HasFailure()) return;
    }
    ASSERT_FALSE(it.Valid());
    it.SeekToLast();
    for (auto at = model_.rbegin(); at != model_.rend(); ++at, it.Prev()) {
      Compare(&it, std::prev(at.base()));
      if (testing::Test::HasFailure()) return;
    }
    ASSERT_FALSE(it.Valid());
    ASSERT_EQ(map_.Stats().keys, model_.size());
  }

  AlexOptions options_;
  TestMemory::Block block_;
  TestMemory memory_;
  TestMap map_;
  Model model_;
  Random random_;
};

void RunAll(const AlexOptions& options) {
  for (const Case& test : kCases) {
    for (Slice prefix : {Slice(""), Slice("x")}) {
      SCOPED_TRACE(std::string(test.name) + " prefix '" + std::string(prefix) + "'");
      Fuzz(options, prefix, 42 + prefix.size()).Run(test);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(AlexFuzzTest, TinyNodes) { RunAll(kTinyOptions); }
TEST(AlexFuzzTest, BufferNodes) { RunAll(kAlexBufferOptions); }
TEST(AlexFuzzTest, SlowNodes) { RunAll(kSlowOptions); }
TEST(AlexFuzzTest, LargeNodes) { RunAll(AlexOptions{}); }

TEST(AlexFuzzTest, BulkLoads) {
  for (const Case& test : kCases) {
    SCOPED_TRACE(test.name);
    Random random(5);
    Model model;
    for (size_t i = 0; i < test.operations / kShorter; i++) {
      model[test.draw(random, i)] = {static_cast<uint8_t>(i), i % 9 == 0 ? "payload" : ""};
    }
    for (const AlexOptions& options : {kTinyOptions, kAlexBufferOptions, AlexOptions{}}) {
      TestMemory::Block block(uint64_t{1} << 27);
      TestMemory memory(&block);
      TestMap map(memory, TestMap::Create(memory, "", options));
      std::vector<TestMap::Entry> entries;
      for (const auto& [position, value] : model) {
        entries.push_back({position.first, position.second, value.flags, value.payload});
      }
      ASSERT_TRUE(map.BulkLoad(entries));
      TestMap::Iterator it(map);
      it.SeekToFirst();
      for (const auto& [position, value] : model) {
        ASSERT_TRUE(it.Valid());
        ASSERT_EQ(it.item().key, position.first);
        ASSERT_EQ(it.item().tid, position.second);
        AlexItem item;
        ASSERT_TRUE(map.Find(position.first, position.second, &item));
        ASSERT_EQ(item.flags, value.flags);
        ASSERT_EQ(item.payload, value.payload);
        it.Next();
      }
      ASSERT_FALSE(it.Valid());
    }
  }
}

// Memory ends at every possible place: then nothing has changed.
TEST(AlexFuzzTest, WithoutRoomNothingChanges) {
  for (const Case& test : kCases) {
    if (test.draw == Deep) continue;
    SCOPED_TRACE(test.name);
    Random random(11);
    TestMemory::Block block(8 << 20);
    size_t whole = block.capacity;
    TestMemory memory(&block);
    TestMap map(memory, TestMap::Create(memory, "", kTinyOptions));
    Model model;
    for (size_t i = 0; i < 3000; i++) {
      Position position = test.draw(random, i);
      uint8_t flags = static_cast<uint8_t>(i);
      for (size_t room = 0;; room = room * 2 + 64) {
        block.capacity = std::min(whole, block.used + room);
        AlexPut result = map.Put(position.first, position.second, flags, "");
        if (result != AlexPut::kNoRoom) break;
        ASSERT_LT(room, TestMap::BoundForPut(position.first.size(), 0, kTinyOptions));
        if (i % 8 != 0) continue;
        AlexItem item;
        ASSERT_EQ(map.Find(position.first, position.second, &item), model.contains(position));
      }
      model[position] = {flags, ""};
      if (i % 500 != 499) continue;
      TestMap::Iterator it(map);
      it.SeekToFirst();
      for (const auto& [expected, value] : model) {
        ASSERT_TRUE(it.Valid());
        ASSERT_EQ(it.item().key, expected.first);
        ASSERT_EQ(it.item().tid, expected.second);
        ASSERT_EQ(it.item().flags, value.flags);
        it.Next();
      }
      ASSERT_FALSE(it.Valid());
    }
  }
}

}  // namespace
}  // namespace omendb
