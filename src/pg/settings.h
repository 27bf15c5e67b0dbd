// The GUCs. Checked by the server's own range and enum checks.
#pragma once

#include "pg/server.h"

namespace omendb {

extern int g_write_buffer_size_kb;  // omendb.write_buffer_size, postmaster; all segments together
extern int g_max_storages;          // omendb.max_storages, postmaster
extern int g_block_cache_size_kb;  // omendb.local_block_cache_size: folded blocks kept by a session
extern int g_compaction_jobs;      // omendb.compaction_jobs, postmaster
extern int g_target_file_size_kb;  // omendb.target_file_size, postmaster
extern int g_index_memory_kb;      // omendb.index_memory, postmaster: the leaf directory
extern int g_cache_size_kb;        // omendb.cache_size, postmaster: leaves that sessions share
extern bool g_verify_checksums;    // omendb.verify_checksums: of every block read from the store
extern char*
    g_failure_point;  // omendb.failure_point, SIGHUP, superuser: where a worker kills itself

// omendb.default_index_method: of PRIMARY KEY and UNIQUE constraints of omendb tables.
enum DefaultIndexMethod : int { kDefaultIndexBtree, kDefaultIndexAlex };
extern int g_default_index_method;

void DefineSettings();

inline constexpr int kSegmentCount = 4;

}  // namespace omendb
