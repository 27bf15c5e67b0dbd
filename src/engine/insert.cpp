#include "block/row_image.h"
#include "engine/change.h"
#include "engine/insert_target.h"
#include "engine/session.h"
#include "pg/guard.h"
#include "pg/write_gate.h"
#include "wal/log.h"

extern "C" {
#include "access/xact.h"
#include "pgstat.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// Fewer rows than this are cheaper as packed rows than as an image.
constexpr uint32_t kSmallestImage = 8;
// A row wider than this goes alone: an image must stay far below kMaxRecordPayload.
constexpr size_t kWidestImageRow = 16 * 1024;
constexpr int kImagesPerRecord = 16;

void SetTid(TupleTableSlot* slot, Relation relation, const RowId& id) {
  EncodeTid(id, &slot->tts_tid);
  slot->tts_tableOid = RelationGetRelid(relation);
}

RowId InsertPacked(const ChangeContext& context, Slice packed, VersionMeta* meta) {
  InsertPlace place = NextInsertPlace(context.relation, context.storage, 1);
  auto slot = static_cast<SlotNo>(place.first_slot);
  WriteTicket ticket = WriteGateEnter(Segment::BoundForVersion(packed.size()));
  LWLock* stripe = StripeLock(context.storage, place.block);
  LWLockAcquire(stripe, LW_EXCLUSIVE);
  Lsn lsn = LogAndApplyVersion(&ticket, context.relation, context.storage, place.block, slot, meta,
                               packed, place.new_block);
  LWLockRelease(stripe);
  WriteGateLeave(&ticket);
  NoteOwnLsn(context.relation, lsn);
  TookInsertPlace(context.storage, place, 1, packed.size());
  return RowId{place.block, slot, 0};
}

VersionMeta InsertMeta(FullXid xid, CommandId cid) {
  return VersionMeta{xid, 0, cid, VersionKind::kInsert, 0};
}

FullXid OwnXid() { return U64FromFullTransactionId(GetCurrentFullTransactionId()); }

}  // namespace

void InsertRow(const ChangeContext& context, TupleTableSlot* slot, CommandId cid, int options,
               uint32_t speculative_token) {
  EnsureEngineSession();
  FullXid xid = OwnXid();
  StorableRow row = MakeStorable(context.relation, slot, nullptr, options);
  Slice packed = PackStorable(context.relation, context.columns, row);
  CheckForSerializableConflictIn(context.relation, nullptr, InvalidBlockNumber);
  VersionMeta meta = InsertMeta(xid, cid);
  if (speculative_token != 0) {
    // The token rides behind the row, where readers of the row do not look.
    meta.flags |= kVersionSpeculative;
    auto* bytes = static_cast<char*>(palloc(packed.size() + sizeof(speculative_token)));
    memcpy(bytes, packed.data(), packed.size());
    memcpy(bytes + packed.size(), &speculative_token, sizeof(speculative_token));
    packed = Slice(bytes, packed.size() + sizeof(speculative_token));
  }
  SetTid(slot, context.relation, InsertPacked(context, packed, &meta));
  // Once more: a serializable scan may have begun between the first look and the write.
  CheckForSerializableConflictIn(context.relation, nullptr, InvalidBlockNumber);
  pgstat_count_heap_insert(context.relation, 1);
}

void CompleteSpeculative(const ChangeContext& context, TupleTableSlot* slot, bool succeeded) {
  RowId id = DecodeTid(&slot->tts_tid);
  if (!ReadNewestRow(context.relation, context.storage, id, context.holder)) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("could not find the speculative insert in table \"%s\"",
                           RelationGetRelationName(context.relation))));
  }
  // A fold makes one insert of the two, with the marker's command: it must be the insert's own, or
  // the statement would see the row that it is just inserting.
  VersionMeta meta{OwnXid(), 0, context.holder->meta.cid,
                   succeeded ? VersionKind::kSpeculativeConfirm : VersionKind::kSpeculativeAbort,
                   0};
  WriteTicket ticket = WriteGateEnter(Segment::BoundForVersion(0));
  LWLock* stripe = StripeLock(context.storage, id.block);
  LWLockAcquire(stripe, LW_EXCLUSIVE);
  LogAndApplyVersion(&ticket, context.relation, context.storage, id.block, id.slot, &meta, Slice(),
                     false);
  LWLockRelease(stripe);
  WriteGateLeave(&ticket);
  if (succeeded) return;
  DeleteToastOf(context.relation, DecodeHeld(context.relation, context.holder, context.columns),
                true);
  pgstat_count_heap_delete(context.relation);
}

namespace {

// Images built and not yet logged.
struct ImageBatch {
  ImageToLog images[kImagesPerRecord];
  InsertPlace places[kImagesPerRecord];
  uint32_t rows[kImagesPerRecord];
  size_t raw[kImagesPerRecord];
  int count;
  size_t bytes, bound;
};

void LogBatch(const ChangeContext& context, ImageBatch* batch, FullXid xid, CommandId cid) {
  if (batch->count == 0) return;
  WriteTicket ticket = WriteGateEnter(batch->bound);
  Lsn lsn = LogAndApplyImages(&ticket, context.relation, context.storage, batch->images,
                              batch->count, xid, cid);
  WriteGateLeave(&ticket);
  NoteOwnLsn(context.relation, lsn);
  batch->count = 0;
  batch->bytes = batch->bound = 0;
}

// One image of as many of the rows as fit the place. Returns the rows taken.
int BuildImage(const ChangeContext& context, const StorableRow* rows, int count,
               const InsertPlace& place, Slice* section, size_t* raw) {
  static RowImageBuilder* builder = nullptr;
  static std::string* bytes = nullptr;
  int taken = 0;
  Guarded([&] {
    if (builder == nullptr) {
      builder = new RowImageBuilder;
      bytes = new std::string;
    }
    uint32_t natts = rows[0].natts;
    builder->Start(Columns(context.columns, natts), natts);
    RowStamp unstamped{0, 0, 0, VersionKind::kInsert, 0};
    int fit = Min(count, static_cast<int>(place.free_slots));
    while (taken < fit && builder->raw_size() < kMaxRawBlockSize) {
      builder->Add(static_cast<SlotNo>(place.first_slot + taken), unstamped, rows[taken].values,
                   rows[taken].nulls);
      taken++;
    }
    *raw = builder->raw_size();
    bytes->clear();
    builder->Finish(0, 0, bytes);
    return Status::Ok();
  });
  auto* copy = static_cast<char*>(palloc(bytes->size()));
  memcpy(copy, bytes->data(), bytes->size());
  *section = Slice(copy, bytes->size());
  return taken;
}

}  // namespace

void InsertRows(const ChangeContext& context, TupleTableSlot** slots, int count, CommandId cid,
                int options) {
  EnsureEngineSession();
  FullXid xid = OwnXid();
  CheckForSerializableConflictIn(context.relation, nullptr, InvalidBlockNumber);
  MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "omendb insert batch", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(work);
  auto* rows = static_cast<StorableRow*>(palloc(sizeof(StorableRow) * count));
  auto* sizes = static_cast<size_t*>(palloc(sizeof(size_t) * count));
  for (int i = 0; i < count; i++) {
    rows[i] = MakeStorable(context.relation, slots[i], nullptr, options);
    sizes[i] = PackedRowSize(Columns(context.columns, rows[i].natts), rows[i].values, rows[i].nulls,
                             rows[i].natts);
  }
  auto* batch = static_cast<ImageBatch*>(palloc0(sizeof(ImageBatch)));
  for (int i = 0; i < count;) {
    int run = 0;  // rows that may share an image
    while (i + run < count && sizes[i + run] <= kWidestImageRow) run++;
    if (run < static_cast<int>(kSmallestImage)) {
      LogBatch(context, batch, xid, cid);
      VersionMeta meta = InsertMeta(xid, cid);
      Slice packed = PackStorable(context.relation, context.columns, rows[i]);
      SetTid(slots[i], context.relation, InsertPacked(context, packed, &meta));
      i++;
      continue;
    }
    InsertPlace place = NextInsertPlace(context.relation, context.storage, run);
    Slice section;
    size_t raw = 0;
    int taken = BuildImage(context, rows + i, run, place, &section, &raw);
    size_t bound = Segment::BoundForImage(section.size());
    if (batch->bytes + section.size() > kMaxRecordPayload / 2 ||
        batch->bound + bound > WriteGateLimit() / 2) {
      LogBatch(context, batch, xid, cid);
    }
    int at = batch->count++;
    batch->images[at] = ImageToLog{place.block, section, place.new_block};
    batch->bytes += section.size();
    batch->bound += bound;
    for (int row = 0; row < taken; row++) {
      SetTid(slots[i + row], context.relation,
             RowId{place.block, static_cast<SlotNo>(place.first_slot + row), 0});
    }
    // The place counts as taken now; should the log fail, the transaction aborts and the slots are
    // never used. That is why the next row of such a block must not claim to be its first.
    TookInsertPlace(context.storage, place, taken, raw);
    i += taken;
    if (batch->count == kImagesPerRecord) LogBatch(context, batch, xid, cid);
  }
  LogBatch(context, batch, xid, cid);
  CheckForSerializableConflictIn(context.relation, nullptr, InvalidBlockNumber);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(work);
  pgstat_count_heap_insert(context.relation, count);
}

}  // namespace omendb
