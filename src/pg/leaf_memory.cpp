#include "pg/leaf_memory.h"

#include "pg/settings.h"

extern "C" {
#include "storage/ipc.h"
#include "storage/shmem.h"
}

namespace omendb {
namespace {

LeafDirectory g_directory;
ValueCache g_leaf_cache;
uint32_t g_slot = AlexArena::kNoSlot;
bool g_asked = false;

size_t DirectorySize() {
  return Max(static_cast<size_t>(g_index_memory_kb) * 1024, LeafDirectory::MinimumSize());
}

size_t CacheSize() { return static_cast<size_t>(g_cache_size_kb) * 1024; }

char* SharedMemory(const char* name, size_t size, bool* found) {
  return reinterpret_cast<char*>(TYPEALIGN(64, ShmemInitStruct(name, size + 64, found)));
}

void GiveSlotBack(int, Datum) {
  if (g_slot != AlexArena::kNoSlot) g_directory.arena().ReturnSlot(g_slot);
  g_slot = AlexArena::kNoSlot;
}

}  // namespace

size_t LeafMemorySize() { return add_size(DirectorySize(), add_size(CacheSize(), 128)); }

void LeafMemoryStart() {
  bool found;
  char* memory = SharedMemory("omendb leaf directory", DirectorySize(), &found);
  g_directory =
      found ? LeafDirectory::Attach(memory) : LeafDirectory::Format(memory, DirectorySize());
  g_leaf_cache = ValueCache::Attach(SharedMemory("omendb cache", CacheSize(), &found), CacheSize());
}

const LeafDirectory& SharedLeafDirectory() { return g_directory; }

const ValueCache& SharedLeafCache() { return g_leaf_cache; }

uint32_t LeafDirectorySlot() {
  if (!g_asked) {
    g_asked = true;
    g_slot = g_directory.arena().TakeSlot();
    before_shmem_exit(GiveSlotBack, 0);
  }
  return g_slot;
}

}  // namespace omendb
