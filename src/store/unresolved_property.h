// A property of every file of rows: the smallest xid in it that still needs clog.
//
//   "omendb.unresolved":
//     version: uint8   1
//     xid:     uint64  kNoUnresolvedXid = none
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

// 0, older than everything, for a file that does not say.
FullXid UnresolvedIn(const rocksdb::TableProperties& properties);

}  // namespace omendb
