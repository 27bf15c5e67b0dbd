#include "pg/leaf_ingest.h"

#include "pg/store_request.h"

namespace omendb {
namespace {

struct NewFiles {
  StorageId storage;
  uint32 files;
  Slice prefix;
};

void Fill(void* argument) {
  const auto* files = static_cast<const NewFiles*>(argument);
  LeafIngest* ingest = &g_shared->leaf_ingest;
  ingest->storage = files->storage;
  ingest->files = files->files;
  ingest->prefix_size = static_cast<uint8>(files->prefix.size());
  memcpy(ingest->prefix, files->prefix.data(), files->prefix.size());
}

}  // namespace

void IngestLeafFiles(StorageId storage, uint32 files, Slice prefix, bool* handed_over) {
  NewFiles asked{storage, files, prefix};
  RunStoreRequest(&g_shared->leaf_ingest.request, Fill, &asked, Wait::kIngest, handed_over);
}

}  // namespace omendb
