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
    FullXid oldest = 0;
    try {
      Status status = OldestUnresolvedXid(Aligned(value), &oldest);
      if (!status.ok()) return rocksdb::Status::OK();
    } catch (const std::bad_alloc&) {
      oldest = 0;  // may be anything
    }
    oldest_ = std::min(oldest_, oldest);
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    std::string text(1, kVersion);
    AppendFixed(&text, oldest_);
    (*properties)[kProperty] = text;
    return rocksdb::Status::OK();
  }

  rocksdb::UserCollectedProperties GetReadableProperties() const override {
    return {{kProperty, oldest_ == kNoUnresolvedXid ? "none" : std::to_string(oldest_)}};
  }

 private:
  Slice Aligned(const rocksdb::Slice& value) {
    if (reinterpret_cast<uintptr_t>(value.data()) % 8 == 0) return FromRocksDb(value);
    words_.resize(value.size() / 8 + 1);
    std::memcpy(words_.data(), value.data(), value.size());
    return Slice(reinterpret_cast<const char*>(words_.data()), value.size());
  }

  FullXid oldest_ = kNoUnresolvedXid;
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

FullXid UnresolvedIn(const rocksdb::TableProperties& properties) {
  const auto found = properties.user_collected_properties.find(kProperty);
  if (found == properties.user_collected_properties.end()) return 0;
  const std::string& text = found->second;
  if (text.size() != 1 + sizeof(FullXid) || text[0] != kVersion) return 0;
  return LoadFixed<FullXid>(text.data() + 1);
}

}  // namespace omendb
