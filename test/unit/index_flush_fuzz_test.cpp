// Random changes of two indexes, flushed again and again, against ordered maps: with few and many
// changes folded at a time, with the directory's map known, partly known, or without room, with
// flushes that fail and are repeated, and compactions in between. Each seed has a store of its own;
// OMENDB_FUZZ_SEEDS=40-50 runs those from 40 to 49.
#include <cstdio>
#include <cstdlib>
#include <set>

#include "index_flush_fixture.h"
#include "base/pure.h"

namespace omendb {
namespace {

using Random = std::mt19937_64;

// Under AddressSanitizer everything takes ten times as long.
#if defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kSeeds = 4;
#else
constexpr uint64_t kSeeds = 12;
#endif
constexpr uint64_t kMiddle = uint64_t{1} << 40;

// Entries by number, keys of one kind; all but the last kind in the order of the numbers.
class Space {
 public:
  explicit Space(Random& random) : kind_(random() % 6) {}

  Words::key_type At(uint64_t number) const {
    switch (kind_) {
      case 0:
        return {'\1' + Int8Key(number), 1 + number % 3};
      case 1:  // few keys, many rows
        return {'\1' + Int8Key(number / 2000), Tid(number % 2000 / 7, 1 + number % 7)};
      case 2:  // short ones, some of them equal
        return {'\1' + Int8Key(number / 3).substr(2), number % 3};
      case 3:  // texts of many lengths
        return {Text(number, Mix(number) % 300), 7};
      case 4:  // some as long as keys may be
        return {Text(number, Mix(number) % 9 == 0 ? kMaxEntryPart - 20 : Mix(number) % 30), 7};
      default:  // a common prefix, and keys outside of it
        return {'\1' + Int8Key(Mix(number / 1000) % 5 == 0 ? number << 8 : number), 3};
    }
  }
  size_t most_entries() const { return kind_ == 4 ? 1200 : 8000; }

 private:
  static uint64_t Mix(uint64_t number) { return (number * 0x9E3779B97F4A7C15ull) >> 40; }
  static std::string Text(uint64_t number, size_t filler) {
    char digits[17];
    snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(number));
    return digits + std::string(filler, 'x') + '\0';
  }

  const uint64_t kind_;
};

struct FuzzedIndex {
  FuzzedIndex(StorageId storage, Random& random) : index(storage), space(random) {}
  TestIndex index;
  Space space;
  std::set<uint64_t> numbers;  // of its entries
};

class IndexFlushFuzz : public IndexFlushTest {
 protected:
  // One step of a batch. *numbers is what will be there once it is flushed.
  void AddToBatch(FuzzedIndex* of, std::set<uint64_t>* numbers, Words* words) {
    const auto random = [this](uint64_t below) { return random_() % std::max<uint64_t>(below, 1); };
    const uint64_t first = numbers->empty() ? kMiddle : *numbers->begin();
    const uint64_t last = numbers->empty() ? kMiddle : *numbers->rbegin();
    const size_t room = of->space.most_entries();
    const uint64_t count =
        random(3) == 0 ? random(room / 3) : random(3) == 0 ? random(room / 20) : random(5) + 1;
    const uint64_t step = uint64_t{1} << random(10);
    const auto put = [&](uint64_t number, bool removed) {
      Word word;
      if (!removed && random(4) == 0) word.payload.assign(random(random(50) == 0 ? 3000 : 9), 'p');
      word.removed = removed;
      (*words)[of->space.At(number)] = word;
      if (removed) numbers->erase(number);
      if (!removed) numbers->insert(number);
    };
    const auto any = [&] {
      auto at = numbers->lower_bound(first + random(last - first + 1));
      return at == numbers->end() ? last : *at;
    };
    uint64_t kind = random(10);
    if (numbers->size() > room) kind = 6;
    switch (kind) {
      case 0: {  // a run
        const uint64_t from = first + random(last - first + 1);
        for (uint64_t i = 0; i < count; i++) put(from + i * step, false);
        break;
      }
      case 1:  // all over the place
        for (uint64_t i = 0; i < count; i++) put(first + random(last - first + 100 * count), false);
        break;
      case 2:
      case 3:  // behind everything
        for (uint64_t i = 1; i <= count; i++) put(last + i * step, false);
        break;
      case 4:
      case 5:  // before everything
        for (uint64_t i = 1; i <= count; i++) put(first - i * step, false);
        break;
      case 6:
      case 7: {  // a range goes
        const auto from = numbers->lower_bound(any());
        std::vector<uint64_t> gone;
        const uint64_t most = random(4) == 0 ? numbers->size() : count * 3;
        for (auto at = from; at != numbers->end() && gone.size() < most; ++at) gone.push_back(*at);
        for (uint64_t number : gone) put(number, true);
        break;
      }
      case 8:  // some go, some of which were never there
        for (uint64_t i = 0; i < count; i++) put(random(5) == 0 ? any() + 1 : any(), true);
        break;
      default: {  // much happens at one place
        const uint64_t from = any();
        for (uint64_t i = 0; i < count; i++) put(from + random(count), random(2) == 0);
        break;
      }
    }
  }

  void ChangeWhatIsKnown(FuzzedIndex* of) {
    switch (random_() % 8) {
      case 0:
        MapOf(&of->index).Forget();
        break;
      case 1:
        MapOf(&of->index).Forget();
        [[fallthrough]];
      case 2:
        LearnLeaves(&of->index, random_() % 20, random_() % 10);
        break;
      case 3:
        LearnLeaves(&of->index, 0, ~size_t{0} / 2);
        break;
    }
  }

  void Run(uint64_t seed) {
    random_.seed(seed);
    StartAnew();
    // Half of the time there is room for part of the leaves at most.
    const size_t rest = random_() % 2 != 0 ? 16 << 20 : random_() % (96 << 10);
    UseDirectory((LeafDirectory::MinimumSize() + rest) / 64 * 64);
    FuzzedIndex indexes[2] = {{5, random_}, {7, random_}};
    for (FuzzedIndex& of : indexes) {
      const std::string key = of.space.At(kMiddle).first;
      of.index.slot.prefix_size = static_cast<uint8_t>(random_() % 2 != 0 ? random_() % 6 : 0);
      std::copy_n(key.data(), of.index.slot.prefix_size, of.index.slot.prefix);
    }
    const size_t at_once[] = {1, 2, 3, 10, 100, 500, 1000, 32 * 1024};
    for (int flush = 0; flush < 25; flush++) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", flush " << flush);
      options_.changes_at_once = at_once[random_() % std::size(at_once)];
      Changes changes;
      std::set<uint64_t> numbers[2];
      for (size_t i = 0; i < 2; i++) {
        numbers[i] = indexes[i].numbers;
        Words words;
        // As in a segment, the newest word on an entry counts.
        for (uint64_t steps = random_() % 4; steps > 0; steps--) {
          AddToBatch(&indexes[i], &numbers[i], &words);
        }
        if (!words.empty()) changes.emplace_back(&indexes[i].index, std::move(words));
        ChangeWhatIsKnown(&indexes[i]);
      }
      if (random_() % 4 == 0) {
        if (!TryWrite(changes, random_() % 30).ok()) {
          for (FuzzedIndex& of : indexes) Check(&of.index);
          ChangeWhatIsKnown(&indexes[random_() % 2]);
        }
      }
      ExpectOk(TryWrite(changes));
      for (size_t i = 0; i < 2; i++) indexes[i].numbers = std::move(numbers[i]);
      for (FuzzedIndex& of : indexes) Check(&of.index);
      if (random_() % 12 == 0) ExpectOk(store_->Compact(random_() % 2 != 0 ? 0 : 5));
      if (HasFailure()) return;
    }
    leaves_seen_ += leaves_.size();
  }

  size_t leaves_seen_ = 0;
};

TEST_F(IndexFlushFuzz, LeavesHoldWhatTheModelHolds) {
  uint64_t seed = 0, end = kSeeds;
  if (const char* seeds = getenv("OMENDB_FUZZ_SEEDS")) sscanf(seeds, "%lu-%lu", &seed, &end);
  for (; seed < end && !HasFailure(); seed++) Run(seed);
  EXPECT_GT(leaves_seen_, 0u);
  EXPECT_GT(known_, leaves_seen_);
}

}  // namespace
}  // namespace omendb
