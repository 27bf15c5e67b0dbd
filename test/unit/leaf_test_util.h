// Index entries in a map, and leaves made of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/index_position.h"
#include "base/pure.h"
#include "block/index_leaf.h"
#include "block/leaf_fold.h"

namespace omendb {

inline void ExpectOk(const Status& status) {
  EXPECT_TRUE(status.ok()) << status.message() << ": " << status.detail();
}

// What is said of each (key, TID); std::string compares bytes as unsigned ones, as Slice does.
struct Word {
  std::string payload;
  bool removed = false;
  bool operator==(const Word&) const = default;
};
using Words = std::map<std::pair<std::string, TidNumber>, Word>;

inline IndexEntry EntryOf(const Words::value_type& word) {
  return {word.first.first, word.first.second, word.second.payload, word.second.removed};
}

inline std::string LeafValue(const Words& words, Lsn lsn, Slice low = "", Slice high = "") {
  LeafBuilder builder(low, high);
  for (const auto& word : words) builder.Add(EntryOf(word));
  std::string value;
  ExpectOk(builder.Finish(lsn, &value));
  return value;
}

inline std::string DeltaValue(const Words& words, Lsn lsn) {
  DeltaBuilder builder;
  for (const auto& word : words) builder.Add(EntryOf(word));
  std::string value;
  ExpectOk(builder.Finish(lsn, &value));
  return value;
}

inline void Apply(const Words& delta, Words* live) {
  for (const auto& [place, word] : delta) {
    if (word.removed) {
      live->erase(place);
    } else {
      (*live)[place] = word;
    }
  }
}

inline Words WordsOf(LeafView* view) {
  Words words;
  for (view->First(); view->Valid(); view->Next()) {
    const IndexEntry& entry = view->entry();
    words[{std::string(entry.key), entry.tid}] = {std::string(entry.payload), entry.removed};
  }
  return words;
}

inline TidNumber Tid(uint64_t block, uint64_t offset) { return block << 16 | offset; }

// Big-endian: the key of an int8 column, but for its sign bit.
inline std::string Int8Key(uint64_t number) {
  std::string key;
  AppendBigEndian64(&key, number);
  return key;
}

}  // namespace omendb
