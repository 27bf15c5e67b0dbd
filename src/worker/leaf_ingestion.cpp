#include "worker/leaf_ingestion.h"

#include "pg/store_request.h"

namespace omendb {

bool TakeLeafIngest(LeafFilesToIngest* files) {
  const LeafIngest& ingest = g_shared->leaf_ingest;
  if (!TakeStoreRequest(&g_shared->leaf_ingest.request)) return false;
  files->storage = ingest.storage;
  files->files = ingest.files;
  files->prefix.assign(ingest.prefix, ingest.prefix_size);
  return true;
}

void EndLeafIngest(const Status& status) {
  EndStoreRequest(&g_shared->leaf_ingest.request, status);
}

}  // namespace omendb
