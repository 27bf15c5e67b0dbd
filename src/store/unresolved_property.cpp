#include "store/unresolved_property.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "base/coding.h"
#include "key/block_key.h"
#include "store/families.h"
#include "base/pure.h"

namespace omendb {
namespace {

constexpr char kProperty[] = "omendb.unresolved";
constexpr char kVersion = 1;

class UnresolvedCollector : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return kProperty; }

  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber, uint64_t) override {
    if (type != rocksdb::kEntryPut && type != rocksdb::kEntryMerge) return rocksdb::Status::OK();
    StorageId storage;
    BlockNo block;
    if (!ParseBlockKey(FromRocksDb(key), &storage, &block) || storage == 0) {
      return rocksdb::Status::OK();
    }
    try {
      FullXid oldest;
      if (!OldestUnresolvedXid(Aligned(value), &oldest).ok()) return rocksdb::Status::OK();
      if (oldest == kNoUnresolvedXid) return rocksdb::Status::OK();
      if (storages_.empty() || storages_.back().first != storage) {
        storages_.emplace_back(storage, oldest);
      }
      storages_.back().second = std::min(storages_.back().second, oldest);
    } catch (const std::bad_alloc&) {
      complete_ = false;
    }
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    if (!complete_) return rocksdb::Status::OK();
    std::string text(1, kVersion);
    for (const auto& [storage, xid] : storages_) {
      AppendVarint(&text, storage);
      AppendVarint(&text, xid);
    }
    (*properties)[kProperty] = text;
    return rocksdb::Status::OK();
  }

  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{kProperty, std::to_string(storages_.size()) + " storages"}};
  }

 private:
  Slice Aligned(const rocksdb::Slice& value) {
    if (reinterpret_cast<uintptr_t>(value.data()) % 8 == 0) return FromRocksDb(value);
    words_.resize(value.size() / 8 + 1);
    std::memcpy(words_.data(), value.data(), value.size());
    return Slice(reinterpret_cast<const char*>(words_.data()), value.size());
  }

  std::vector<std::pair<StorageId, FullXid>> storages_;
  bool complete_ = true;
  std::vector<uint64_t> words_;
};

class UnresolvedCollectorFactory : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return kProperty; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(
      rocksdb::TablePropertiesCollectorFactory::Context) override {
    return new UnresolvedCollector;
  }
};

}  // namespace

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewUnresolvedCollector() {
  return std::make_shared<UnresolvedCollectorFactory>();
}

FullXid UnresolvedIn(const rocksdb::TableProperties& properties, StorageId storage) {
  const auto found = properties.user_collected_properties.find(kProperty);
  if (found == properties.user_collected_properties.end()) return 0;
  Slice text = found->second;
  if (text.empty() || text[0] != kVersion) return 0;
  text.remove_prefix(1);
  while (!text.empty()) {
    uint64_t of, xid;
    if (!TakeVarint(&text, &of) || !TakeVarint(&text, &xid)) return 0;
    if (of == storage) return xid;
  }
  return kNoUnresolvedXid;
}

}  // namespace omendb
