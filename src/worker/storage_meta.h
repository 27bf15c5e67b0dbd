// A storage as the store's meta family keeps it. Byte layouts are drawn in storage_meta.cpp.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "pg/storage_directory.h"

namespace omendb {

struct StorageMeta {
  StorageIdentity identity;
  uint32 blocks;  // block numbers below it may have been given out
  std::vector<Column> columns;
};

std::string StorageMetaKey(StorageId id);
std::string EncodeStorageMeta(const StorageMeta& meta);
enum class MetaKind { kStorage, kNextStorageId, kUnknown, kDamaged };
MetaKind DecodeMeta(Slice key, Slice value, StorageMeta* meta, StorageId* next_id);

extern const Slice kNextStorageIdKey;
std::string EncodeNextStorageId(StorageId id);

}  // namespace omendb
