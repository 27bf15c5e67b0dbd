#include "worker/storage_meta.h"

#include "base/coding.h"

namespace omendb {
namespace {

constexpr uint8_t kMetaFormat = 1;
constexpr char kStoragePrefix[] = "storage/";
constexpr size_t kPrefixSize = sizeof(kStoragePrefix) - 1;

}  // namespace

const Slice kNextStorageIdKey = "next storage";

// Key of a storage: "storage/", then the id as 8 bytes, big-endian.
std::string StorageMetaKey(StorageId id) {
  std::string key(kStoragePrefix, kPrefixSize);
  AppendBigEndian64(&key, id);
  return key;
}

// Value of a storage, format 1:
//   format:      uint8
//   persistence: uint8    pg_class.relpersistence
//   backend:     int32    owner of a temporary relation, else -1
//   tablespace:  uint32   0 = the database's default
//   database:    uint32
//   relfilenode: uint32
//   blocks:      uint32
//   columns:     uint32   how many
//   columns:     4 bytes each: int16 length, uint8 align, uint8 kColumn*
std::string EncodeStorageMeta(const StorageMeta& meta) {
  std::string value;
  AppendFixed<uint8_t>(&value, kMetaFormat);
  AppendFixed<uint8_t>(&value, static_cast<uint8_t>(meta.identity.persistence));
  AppendFixed<int32_t>(&value, meta.identity.backend);
  AppendFixed<uint32_t>(&value, meta.identity.node.spcNode);
  AppendFixed<uint32_t>(&value, meta.identity.node.dbNode);
  AppendFixed<uint32_t>(&value, meta.identity.node.relNode);
  AppendFixed<uint32_t>(&value, meta.blocks);
  AppendFixed<uint32_t>(&value, static_cast<uint32_t>(meta.columns.size()));
  static_assert(sizeof(Column) == 4);
  value.append(reinterpret_cast<const char*>(meta.columns.data()),
               meta.columns.size() * sizeof(Column));
  return value;
}

// Value of the next storage id, format 1: format: uint8; id: uint64.
std::string EncodeNextStorageId(StorageId id) {
  std::string value;
  AppendFixed<uint8_t>(&value, kMetaFormat);
  AppendFixed<uint64_t>(&value, id);
  return value;
}

MetaKind DecodeMeta(Slice key, Slice value, StorageMeta* meta, StorageId* next_id) {
  uint8_t format = 0;
  if (key == kNextStorageIdKey) {
    bool ok = TakeFixed(&value, &format) && format == kMetaFormat && TakeFixed(&value, next_id) &&
              value.empty();
    return ok ? MetaKind::kNextStorageId : MetaKind::kDamaged;
  }
  if (key.substr(0, kPrefixSize) != Slice(kStoragePrefix, kPrefixSize)) return MetaKind::kUnknown;
  if (key.size() != kPrefixSize + 8) return MetaKind::kDamaged;
  meta->identity.id = LoadBigEndian64(key.data() + kPrefixSize);

  uint8_t persistence = 0;
  int32_t backend = 0;
  uint32_t columns = 0;
  bool ok = TakeFixed(&value, &format) && format == kMetaFormat &&
            TakeFixed(&value, &persistence) && TakeFixed(&value, &backend) &&
            TakeFixed(&value, &meta->identity.node.spcNode) &&
            TakeFixed(&value, &meta->identity.node.dbNode) &&
            TakeFixed(&value, &meta->identity.node.relNode) && TakeFixed(&value, &meta->blocks) &&
            TakeFixed(&value, &columns) && columns <= kMaxColumns && meta->blocks <= kMaxBlocks &&
            value.size() == columns * sizeof(Column);
  if (!ok) return MetaKind::kDamaged;
  meta->identity.persistence = static_cast<char>(persistence);
  meta->identity.backend = backend;
  meta->columns.resize(columns);
  if (columns > 0) memcpy(static_cast<void*>(meta->columns.data()), value.data(), value.size());
  return MetaKind::kStorage;
}

}  // namespace omendb
