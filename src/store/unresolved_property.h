// A property of every file of rows: of which storages it has versions that still need clog, and the
// smallest of their xids. For each storage apart: a compaction of a storage leaves a file alone that
// spans it but has no key of it.
//
//   "omendb.unresolved":
//     version: uint8   1
//     for each such storage, ascending: storage: varint, xid: varint
//
// A damaged value counts as resolved: whoever reads its block is told of the damage and looks no
// transaction up, and it must not keep VACUUM from its work for ever.
#pragma once

#include <rocksdb/table_properties.h>

#include <memory>

#include "block/unresolved.h"
#include "base/pure.h"

namespace omendb {

// For the options of the rows family: flush files and the output of compactions get the property.
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewUnresolvedCollector();

// kNoUnresolvedXid: none. 0, older than everything, for a file that does not say.
FullXid UnresolvedIn(const rocksdb::TableProperties& properties, StorageId storage);

}  // namespace omendb
