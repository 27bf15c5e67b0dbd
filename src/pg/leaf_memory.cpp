#include "pg/leaf_memory.h"

#include "pg/settings.h"

extern "C" {
#include "storage/ipc.h"
#include "storage/shmem.h"
}

namespace omendb {
namespace {

LeafDirectory g_directory;
uint32_t g_slot = AlexArena::kNoSlot;
bool g_asked = false;

size_t DirectorySize() {
  return Max(static_cast<size_t>(g_index_memory_kb) * 1024, LeafDirectory::MinimumSize());
}

void GiveSlotBack(int, Datum) {
  if (g_slot != AlexArena::kNoSlot) g_directory.arena().ReturnSlot(g_slot);
  g_slot = AlexArena::kNoSlot;
}

}  // namespace

size_t LeafMemorySize() { return add_size(DirectorySize(), 64); }

void LeafMemoryStart() {
  bool found;
  auto* memory = reinterpret_cast<char*>(
      TYPEALIGN(64, ShmemInitStruct("omendb leaf directory", LeafMemorySize(), &found)));
  g_directory =
      found ? LeafDirectory::Attach(memory) : LeafDirectory::Format(memory, DirectorySize());
}

const LeafDirectory& SharedLeafDirectory() { return g_directory; }

uint32_t LeafDirectorySlot() {
  if (!g_asked) {
    g_asked = true;
    g_slot = g_directory.arena().TakeSlot();
    before_shmem_exit(GiveSlotBack, 0);
  }
  return g_slot;
}

}  // namespace omendb
