#include "engine/block_cache.h"

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "pg/guard.h"
#include "pg/settings.h"
#include "pg/shared_state.h"
#include "store/reader_store.h"

extern "C" {
#include "executor/instrument.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {

struct BlockName {
  StorageId storage;
  BlockNo block;
  uint64_t tag;  // 0 = from the store; otherwise LSN of a buffered image
  friend bool operator==(const BlockName&, const BlockName&) = default;
};

struct CachedBlock {
  BlockName name;
  uint64_t generation;  // of the store, for tag 0
  std::string bytes;
  BlockView view;
  int pins = 0;
  bool listed = false;  // in the cache: found by name, in the LRU list
  std::list<CachedBlock*>::iterator position;
};

namespace {

struct NameHash {
  size_t operator()(const BlockName& name) const {
    uint64_t hash = name.storage * 0x9E3779B97F4A7C15ull ^ name.block;
    hash = (hash ^ (hash >> 29)) * 0xBF58476D1CE4E5B9ull ^ name.tag;
    return hash ^ (hash >> 32);
  }
};

// All of it lives as long as the process; destroyed by on_proc_exit before static destructors run.
struct Session {
  std::unique_ptr<ReaderStore> reader;
  bool reader_used = false;  // by the running transaction
  std::unordered_map<BlockName, CachedBlock*, NameHash> by_name;
  std::list<CachedBlock*> lru;  // unpinned and pinned, most recent first
  size_t bytes = 0;
  StoreCursor* cursors = nullptr;
};
void (*g_on_drop)() = nullptr;
Session* g_session = nullptr;

}  // namespace

struct StoreCursor {
  Relation relation;
  StorageId storage;
  BlockNo end;
  std::unique_ptr<ReaderStore::BlockIterator> iterator;
  uint64_t generation = 0;
  BlockNo asked = 0;  // by the last seek
  StoreCursor* previous = nullptr;
  StoreCursor* next = nullptr;
  MemoryContextCallback callback;
  bool closed = false;
};

namespace {

void DropReader() {
  if (g_session == nullptr || !g_session->reader) return;
  for (StoreCursor* cursor = g_session->cursors; cursor != nullptr; cursor = cursor->next) {
    cursor->iterator.reset();
  }
  if (g_on_drop != nullptr) g_on_drop();
  // A poisoned instance cannot be destroyed: its locks may be held for ever.
  if (g_session->reader->poisoned()) (void)g_session->reader.release();
  g_session->reader.reset();
  ReadNoteReaderGeneration(0);
}

void CloseSession(int, Datum) {
  if (g_session == nullptr) return;
  DropReader();
  g_session = nullptr;  // its blocks go with the process
}

Session* EnsureSession() {
  if (g_session == nullptr) {
    Guarded([] {
      g_session = new Session;
      return Status::Ok();
    });
    before_shmem_exit(CloseSession, 0);
  }
  return g_session;
}

[[noreturn]] void EndPoisonedSession() {
  ereport(FATAL, (errcode(ERRCODE_IO_ERROR), errmsg("a file of the omendb store could not be read"),
                  errdetail("A mapped file was truncated or its disk is gone."),
                  errhint("Other sessions go on; look at the kernel's log and at the disk.")));
  pg_unreachable();
}

// Brings the reader to the view's generation. Errors are raised outside the openers' lock.
void EnsureReader(const ReadView& view) {
  Session* session = EnsureSession();
  session->reader_used = true;
  if (session->reader && session->reader->generation() >= view.generation) return;
  const char* path = StorePath();
  GuardFailure failure;
  bool failed = false;
  StoreOpenersLock();
  try {
    Status status = Status::Ok();
    if (session->reader) {
      status = session->reader->CatchUp(view.generation);
      if (!status.ok() && !session->reader->poisoned()) DropReader();
    }
    if (!session->reader) {
      status = ReaderStore::Open(path, view.generation, &session->reader);
    }
    if (!status.ok()) {
      failure = CaptureStatus(status);
      failed = true;
    }
  } catch (...) {
    failure = CaptureText(ERRCODE_INTERNAL_ERROR, "unexpected failure while opening the store");
    failed = true;
  }
  StoreOpenersUnlock();
  if (session->reader && session->reader->poisoned()) EndPoisonedSession();
  if (failed) RaiseFailure(failure, ERROR);
  ReadNoteReaderGeneration(session->reader->generation());
}

void Unlist(CachedBlock* block) {
  if (!block->listed) return;
  g_session->by_name.erase(block->name);
  g_session->lru.erase(block->position);
  g_session->bytes -= block->bytes.capacity() + sizeof(CachedBlock);
  block->listed = false;
}

void ShrinkTo(size_t budget) {
  auto at = g_session->lru.end();
  while (g_session->bytes > budget && at != g_session->lru.begin()) {
    CachedBlock* block = *--at;
    if (block->pins > 0) continue;
    auto following = std::next(at);
    Unlist(block);
    delete block;
    at = following;
  }
}

void List(CachedBlock* block) {
  g_session->lru.push_front(block);
  block->position = g_session->lru.begin();
  g_session->by_name[block->name] = block;
  block->listed = true;
  g_session->bytes += block->bytes.capacity() + sizeof(CachedBlock);
  ShrinkTo(static_cast<size_t>(g_block_cache_size_kb) * 1024);
}

CachedBlock* Find(const BlockName& name, uint64_t generation) {
  auto found = g_session->by_name.find(name);
  if (found == g_session->by_name.end()) return nullptr;
  CachedBlock* block = found->second;
  if (name.tag == 0 && block->generation < generation) {
    Unlist(block);
    if (block->pins == 0) delete block;  // otherwise its last unpin does
    return nullptr;
  }
  g_session->lru.splice(g_session->lru.begin(), g_session->lru, block->position);
  return block;
}

// Names the table and the block of a damaged value.
Status NameDamage(const Status& status, const char* relation, BlockNo block) {
  if (status.code() != StatusCode::kCorruption) return status;
  return Status::Make(
      StatusCode::kCorruption,
      "row block " + std::to_string(block) + " of table \"" + relation + "\" is damaged",
      status.message() + (status.detail().empty() ? "" : ": " + status.detail()),
      "Other blocks and tables can still be read. Restore the table from a backup "
      "or a standby.");
}

CachedBlock* Adopt(std::unique_ptr<CachedBlock> block) {
  block->pins = 1;
  CachedBlock* raw = block.get();
  List(raw);
  (void)block.release();
  return raw;
}

}  // namespace

ReaderStore* EnsureStoreReader(const ReadView& view) {
  EnsureReader(view);
  return g_session->reader.get();
}

void OnReaderDropped(void (*drop)()) { g_on_drop = drop; }

const BlockView& ViewOf(const CachedBlock* block) { return block->view; }

void CountBlockAccess(Relation relation, bool hit) {
  pgstat_count_buffer_read(relation);
  if (hit) {
    pgstat_count_buffer_hit(relation);
    pgBufferUsage.shared_blks_hit++;
  } else {
    pgBufferUsage.shared_blks_read++;
  }
}

CachedBlock* PinStoredBlock(const ReadView& view, Relation relation, StorageId storage,
                            BlockNo block_no) {
  EnsureReader(view);
  // Later counting only adds: it must not fail while a pin has no owner.
  (void)pgstat_should_count_relation(relation);
  const char* table = RelationGetRelationName(relation);
  CachedBlock* result = nullptr;
  bool hit = false;
  Guarded([&] {
    BlockName name{storage, block_no, 0};
    result = Find(name, view.generation);
    hit = result != nullptr;
    if (hit) {
      result->pins++;
      return Status::Ok();
    }
    auto block = std::make_unique<CachedBlock>();
    block->name = name;
    block->generation = g_session->reader->generation();
    Status status = g_session->reader->Get(storage, block_no, &block->bytes);
    if (status.code() == StatusCode::kNotFound) return Status::Ok();
    if (status.ok()) status = BlockView::Parse(block->bytes, g_verify_checksums, &block->view);
    if (!status.ok()) return NameDamage(status, table, block_no);
    result = Adopt(std::move(block));
    return Status::Ok();
  });
  if (result != nullptr) CountBlockAccess(relation, hit);
  return result;
}

CachedBlock* PinBufferedImage(const BufferedImage* image, Relation relation, StorageId storage,
                              BlockNo block_no) {
  EnsureSession();
  const char* table = RelationGetRelationName(relation);
  CachedBlock* result = nullptr;
  Guarded([&] {
    BlockName name{storage, block_no, image->lsn};
    result = Find(name, 0);
    if (result != nullptr) {
      result->pins++;
      return Status::Ok();
    }
    auto block = std::make_unique<CachedBlock>();
    block->name = name;
    block->generation = 0;
    block->bytes.assign(image->section());
    Status status = BlockView::Parse(block->bytes, false, &block->view);
    if (!status.ok()) return NameDamage(status, table, block_no);
    result = Adopt(std::move(block));
    return Status::Ok();
  });
  return result;
}

const RowImage* ImageOf(const CachedBlock* block) { return block->view.plain_image(); }

void Repin(CachedBlock* block) { block->pins++; }

void UnpinBlock(CachedBlock* block) {
  if (g_session == nullptr) return;
  if (--block->pins == 0 && !block->listed) delete block;
}

namespace {

void CloseCursorObject(StoreCursor* cursor) {
  if (cursor->closed) return;
  cursor->closed = true;
  if (g_session == nullptr) return;  // the process is ending
  cursor->iterator.reset();
  if (cursor->previous != nullptr) cursor->previous->next = cursor->next;
  if (cursor->next != nullptr) cursor->next->previous = cursor->previous;
  if (g_session->cursors == cursor) g_session->cursors = cursor->next;
}

void CursorContextReset(void* argument) {
  auto* cursor = static_cast<StoreCursor*>(argument);
  CloseCursorObject(cursor);
  cursor->~StoreCursor();
}

}  // namespace

StoreCursor* OpenStoreCursor(Relation relation, StorageId storage, BlockNo end,
                             MemoryContext owner) {
  EnsureSession();
  void* memory = MemoryContextAlloc(owner, sizeof(StoreCursor));
  auto* cursor = new (memory) StoreCursor;
  cursor->relation = relation;
  cursor->storage = storage;
  cursor->end = end;
  cursor->next = g_session->cursors;
  if (cursor->next != nullptr) cursor->next->previous = cursor;
  g_session->cursors = cursor;
  cursor->callback.func = CursorContextReset;
  cursor->callback.arg = cursor;
  MemoryContextRegisterResetCallback(owner, &cursor->callback);
  return cursor;
}

void RestartStoreCursor(StoreCursor* cursor, StorageId storage, BlockNo end) {
  cursor->iterator.reset();
  cursor->storage = storage;
  cursor->end = end;
  cursor->asked = 0;
}

void CloseStoreCursor(StoreCursor* cursor) { CloseCursorObject(cursor); }

BlockNo SeekStoreCursor(StoreCursor* cursor, const ReadView& view, BlockNo from) {
  if (from >= cursor->end) return cursor->end;
  EnsureReader(view);
  const char* table = RelationGetRelationName(cursor->relation);
  BlockNo found = cursor->end;
  Guarded([&] {
    // A cursor from before the view's generation would miss what left the buffer since.
    // One that stands further on, after a scan changed its direction, would miss what lies between.
    if (cursor->generation < view.generation || from < cursor->asked) cursor->iterator.reset();
    cursor->asked = from;
    if (!cursor->iterator) {
      OMENDB_RETURN_IF_ERROR(
          g_session->reader->NewIterator(cursor->storage, from, cursor->end, &cursor->iterator));
      cursor->generation = g_session->reader->generation();
    } else if (cursor->iterator->Valid() && cursor->iterator->block() < from) {
      cursor->iterator->Next();
      if (cursor->iterator->Valid() && cursor->iterator->block() < from) {
        cursor->iterator->Seek(from);
      }
    }
    Status status = cursor->iterator->status();
    if (!status.ok()) return NameDamage(status, table, from);
    if (cursor->iterator->Valid()) found = cursor->iterator->block();
    return Status::Ok();
  });
  return found;
}

CachedBlock* PinCursorBlock(StoreCursor* cursor, const ReadView& view) {
  (void)view;
  (void)pgstat_should_count_relation(cursor->relation);
  const char* table = RelationGetRelationName(cursor->relation);
  CachedBlock* result = nullptr;
  Guarded([&] {
    // Not listed: a scan passes by, it must not push the session's hot blocks out.
    auto block = std::make_unique<CachedBlock>();
    BlockNo block_no = cursor->iterator->block();
    block->name = BlockName{cursor->storage, block_no, 0};
    block->generation = cursor->generation;
    block->bytes.assign(cursor->iterator->value());
    Status status = BlockView::Parse(block->bytes, g_verify_checksums, &block->view);
    if (!status.ok()) return NameDamage(status, table, block_no);
    block->pins = 1;
    result = block.release();
    return Status::Ok();
  });
  CountBlockAccess(cursor->relation, false);
  return result;
}

namespace {

void PinContextReset(void* argument) {
  auto* pin = static_cast<BlockPin*>(argument);
  SetBlockPin(pin, nullptr);
}

}  // namespace

BlockPin* MakeBlockPin(MemoryContext context) {
  auto* pin = static_cast<BlockPin*>(MemoryContextAllocZero(context, sizeof(BlockPin)));
  pin->callback.func = PinContextReset;
  pin->callback.arg = pin;
  MemoryContextRegisterResetCallback(context, &pin->callback);
  return pin;
}

void SetBlockPin(BlockPin* pin, CachedBlock* block) {
  CachedBlock* old = pin->block;
  pin->block = block;
  if (old != nullptr) UnpinBlock(old);
}

void ReleaseStaleReader() {
  if (g_session == nullptr || !g_session->reader) return;
  bool used = g_session->reader_used;
  g_session->reader_used = false;
  // A transaction that read nothing is the answer to a wake-up of an idle session.
  if (!used) ReleaseStaleReaderNow();
}

void ReleaseStaleReaderNow() {
  if (g_session == nullptr || !g_session->reader) return;
  if (g_session->reader->generation() >= g_shared->generation.load()) return;
  DropReader();
  ShrinkTo(0);
}

}  // namespace omendb
