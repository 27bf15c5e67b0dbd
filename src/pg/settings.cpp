#include "pg/settings.h"

#include "pg/failure_point.h"

extern "C" {
#include "utils/guc.h"
}

namespace omendb {
namespace {

bool CheckFailurePoint(char** value, void**, GucSource) {
  if (IsFailurePoint(*value)) return true;
  GUC_check_errdetail(
      "A failure point is written as name, name:visit, name:sleep, name:sleep=milliseconds, "
      "name:hold or name:error.");
  return false;
}

const config_enum_entry kIndexMethods[] = {
    {"btree", kDefaultIndexBtree, false}, {"alex", kDefaultIndexAlex, false}, {nullptr, 0, false}};

}  // namespace

int g_write_buffer_size_kb = 256 * 1024;
int g_max_storages = 16384;
int g_block_cache_size_kb = 1024;
int g_compaction_jobs = 2;
int g_target_file_size_kb = 64 * 1024;
int g_index_memory_kb = 64 * 1024;
int g_cache_size_kb = 64 * 1024;
bool g_verify_checksums = true;
char* g_failure_point = nullptr;
int g_default_index_method = kDefaultIndexAlex;

void DefineSettings() {
  DefineCustomIntVariable(
      "omendb.write_buffer_size", "Sets the shared memory that holds changes not yet in the store.",
      "It is divided into four segments of equal size.", &g_write_buffer_size_kb, 256 * 1024,
      16 * 1024, 64 * 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "omendb.max_storages", "Sets the largest number of relation storages that can exist.",
      "Every omendb table, partition and materialized view with data has one.", &g_max_storages,
      16384, 64, 1 << 22, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("omendb.local_block_cache_size",
                          "Sets the memory in which a session keeps row blocks it has read.",
                          nullptr, &g_block_cache_size_kb, 1024, 64, 64 * 1024 * 1024, PGC_USERSET,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "omendb.compaction_jobs", "Sets the number of threads that compact the store.", nullptr,
      &g_compaction_jobs, 2, 1, 64, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("omendb.target_file_size", "Sets the size of the store's files.", nullptr,
                          &g_target_file_size_kb, 64 * 1024, 1024, 4 * 1024 * 1024, PGC_POSTMASTER,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "omendb.index_memory", "Sets the shared memory for the models and filters of alex indexes.",
      "About 1.1 bytes for each entry of the indexes in use; without room for an index, it is "
      "searched in the store.",
      &g_index_memory_kb, 64 * 1024, 1024, 32 * 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_KB, nullptr,
      nullptr, nullptr);
  DefineCustomIntVariable(
      "omendb.cache_size", "Sets the shared memory in which leaves of alex indexes are kept.",
      "0 turns the cache off.", &g_cache_size_kb, 64 * 1024, 0, 1024 * 1024 * 1024, PGC_POSTMASTER,
      GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("omendb.verify_checksums",
                           "Verifies the checksum of every row block read from the store.", nullptr,
                           &g_verify_checksums, true, PGC_SUSET, 0, nullptr, nullptr, nullptr);
  DefineCustomStringVariable(
      "omendb.failure_point", "Names the point at which a server process kills itself.",
      "For crash tests: name, name:count, name:sleep, name:sleep=ms, name:hold or name:error.",
      &g_failure_point, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, CheckFailurePoint,
      nullptr, nullptr);
  DefineCustomEnumVariable(
      "omendb.default_index_method",
      "Sets the index access method of PRIMARY KEY and UNIQUE constraints of omendb tables.",
      "Partitions, and columns that alex cannot hold, have btree indexes in any case.",
      &g_default_index_method, g_default_index_method, kIndexMethods, PGC_USERSET, 0, nullptr,
      nullptr, nullptr);
  MarkGUCPrefixReserved("omendb");
}

}  // namespace omendb
