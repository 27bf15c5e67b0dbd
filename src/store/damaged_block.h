// Keeps one damaged row block or index leaf from stopping compaction.
//
// RocksDB checks its own checksum of every table block that compaction reads and gives up the whole
// compaction over one mismatch, again and again: level 0 would grow until all tables are slow. But
// row blocks and index leaves carry checksums of their own. If one of these fails in the table
// block, the damage lies in that value and whoever reads it is told; the table block may pass. If
// they are all right the damage is in a key or in the block's frame, where passing it could put
// rows somewhere else.
#pragma once

#include <cstdint>
#include <string>

#include "store/primary_file_system.h"
#include "base/pure.h"

namespace omendb {

// error: what RocksDB said of a failed compaction. If it was a mismatch that may pass, makes
// file_system return the checksum that RocksDB computed and says in *what which block is damaged.
[[nodiscard]] bool PassDamagedBlock(const std::string& error, PrimaryFileSystem* file_system,
                                    std::string* what);

}  // namespace omendb
