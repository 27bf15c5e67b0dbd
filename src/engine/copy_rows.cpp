#include "engine/copy_rows.h"

#include "block/row_image.h"
#include "engine/session.h"
#include "pg/failure_point.h"
#include "pg/guard.h"
#include "pg/settings.h"
#include "pg/storage_table.h"
#include "pg/write_gate.h"
#include "wal/log.h"
#include "wal/records.h"

extern "C" {
#include "access/transam.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace omendb {
namespace {

constexpr uint8_t kKeptFlags = kVersionKeyUpdated | kVersionMovedPartition;
// As for inserts: wider rows are logged one by one.
constexpr size_t kWidestImageRow = 16 * 1024;
constexpr size_t kLargestImage = kMaxRecordPayload / 2;

KeptVersion* Keep(RowHistory* history, const VersionMeta& meta) {
  if (history->count == history->capacity) {
    int capacity = Max(4, history->capacity * 2);
    auto* grown = static_cast<KeptVersion*>(palloc(sizeof(KeptVersion) * capacity));
    if (history->count > 0) {
      memcpy(static_cast<void*>(grown), history->versions, sizeof(KeptVersion) * history->count);
    }
    history->versions = grown;
    history->capacity = capacity;
  }
  KeptVersion* kept = &history->versions[history->count++];
  *kept = KeptVersion{};
  kept->meta = meta;
  kept->meta.flags &= kKeptFlags;
  if (CarriesRow(meta.kind)) {
    kept->holder = static_cast<RowHolder*>(palloc(sizeof(RowHolder)));
    InitRowHolder(kept->holder, CurrentMemoryContext);
  }
  return kept;
}

void Freeze(KeptVersion* kept) {
  kept->maker = XminOf(*kept->holder);
  kept->meta = VersionMeta{kFrozenXid, 0, 0, VersionKind::kInsert, 0};
}

// The newest version that was kept supersedes this one in every snapshot that knows this one's
// transaction, for both are of the same.
bool IsIntermediate(const RowHistory& history, const VersionMeta& meta, XidState state) {
  return history.count > 0 && state == XidState::kCommitted &&
         history.versions[history.count - 1].meta.xid == meta.xid;
}

void FinishHistory(RowHistory* history) {
  while (history->count > 0) {
    KeptVersion* oldest = &history->versions[history->count - 1];
    if (CarriesRow(oldest->meta.kind)) {
      // What it updated is not there any more.
      oldest->meta.kind = VersionKind::kInsert;
      break;
    }
    history->count--;
  }
  for (int i = 0; i < history->count; i++) {
    if (!CarriesRow(history->versions[i].meta.kind)) continue;
    history->rows++;
    if (i > 0) history->dead_rows++;
  }
}

}  // namespace

void ReadHistory(Relation relation, StorageId storage, const RowId& id, TransactionId oldest_xmin,
                 RowHistory* history) {
  *history = RowHistory{};
  EnsureEngineSession();
  ReadView view;
  ReadPin(&view);
  RowCursor cursor(&view, relation, storage, id.block, id.slot);
  RowVersion version;
  while (cursor.Next(&version)) {
    const VersionMeta& meta = version.meta;
    if (meta.kind == VersionKind::kLock || meta.kind == VersionKind::kSpeculativeConfirm) continue;
    if (meta.kind == VersionKind::kSpeculativeAbort) {
      history->left_out++;
      break;
    }
    bool is_row = CarriesRow(meta.kind);
    XidState state = StateOf(meta, version.hints);
    if (state == XidState::kAborted) {
      if (is_row) history->left_out++;
      continue;
    }
    bool everyone = SeenByEveryone(meta, state, oldest_xmin);
    if (!is_row && everyone) {
      history->left_out++;
      break;
    }
    if (is_row && IsIntermediate(*history, meta, state)) {
      history->left_out++;
      continue;
    }
    KeptVersion* kept = Keep(history, meta);
    if (is_row) {
      HoldRow(kept->holder, version, RowId{id.block, id.slot, 0}, relation, storage);
    } else if (meta.kind == VersionKind::kMove) {
      kept->moved_to = RowId{LoadMoveBlock(version.payload), LoadMoveSlot(version.payload), 0};
    }
    if (is_row && everyone) {
      Freeze(kept);
      break;
    }
  }
  cursor.Close();
  ReadUnpin();
  FinishHistory(history);
}

void ReadHistoryOf(Relation relation, StorageId storage, const BlockRows& rows,
                   const VisibleRow& row, TransactionId oldest_xmin, RowHistory* history) {
  if (!row.sole) {
    ReadHistory(relation, storage, RowId{rows.block, row.slot, 0}, oldest_xmin, history);
    return;
  }
  *history = RowHistory{};
  KeptVersion* kept = Keep(history, row.meta);
  HoldVisibleRow(kept->holder, rows, row);
  if (SeenByEveryone(row.meta, StateOf(row.meta, nullptr), oldest_xmin)) Freeze(kept);
  FinishHistory(history);
}

namespace {

// Lives as long as the session, so that no longjmp can leak it.
RowImageBuilder* g_builder = nullptr;
std::string* g_image = nullptr;

void MakeBuilder() {
  if (g_builder != nullptr) return;
  g_image = new std::string;
  g_builder = new RowImageBuilder;
}

void StartImage(BlockCopy* copy, uint32_t natts) {
  Guarded([&] {
    MakeBuilder();
    g_builder->Start(Columns(copy->columns, natts), natts);
    return Status::Ok();
  });
  copy->image_natts = natts;
}

void AddToImage(SlotNo slot, const StorableRow& row, uint32_t maker) {
  Guarded([&] {
    g_builder->Add(slot, RowStamp{0, 0, 0, VersionKind::kInsert, 0}, row.values, row.nulls, maker);
    return Status::Ok();
  });
}

Slice FinishImage() {
  Guarded([&] {
    g_image->clear();
    g_builder->Finish(0, 0, g_image);
    return Status::Ok();
  });
  return *g_image;
}

void Wait(BlockCopy* copy, SlotNo slot, const VersionMeta& meta, Slice payload) {
  if (copy->waiting_count == copy->waiting_capacity) {
    int capacity = Max(64, copy->waiting_capacity * 2);
    auto* grown = static_cast<BlockCopy::Waiting*>(
        MemoryContextAlloc(copy->context, sizeof(BlockCopy::Waiting) * capacity));
    if (copy->waiting_count > 0) {
      memcpy(static_cast<void*>(grown), copy->waiting,
             sizeof(BlockCopy::Waiting) * copy->waiting_count);
    }
    copy->waiting = grown;
    copy->waiting_capacity = capacity;
  }
  auto* bytes =
      static_cast<char*>(MemoryContextAllocHuge(copy->context, Max(payload.size(), size_t{1})));
  memcpy(bytes, payload.data(), payload.size());
  copy->waiting[copy->waiting_count++] =
      BlockCopy::Waiting{meta, Slice(bytes, payload.size()), slot};
}

bool ImageFitsRecord(Slice section) {
  return section.size() <= kLargestImage &&
         Segment::BoundForImage(section.size()) <= WriteGateLimit() / 2;
}

void WriteImage(BlockCopy* copy, Slice section) {
  ImageToLog image{copy->block, section, true};
  WriteTicket ticket = WriteGateEnter(Segment::BoundForImage(section.size()));
  LogAndApplyImages(&ticket, copy->relation, copy->storage, &image, 1, kFrozenXid, FirstCommandId);
  WriteGateLeave(&ticket);
}

void WriteVersion(BlockCopy* copy, BlockCopy::Waiting* version, bool new_block) {
  WriteTicket ticket = WriteGateEnter(Segment::BoundForVersion(version->payload.size()));
  LWLock* stripe = StripeLock(copy->storage, copy->block);
  LWLockAcquire(stripe, LW_EXCLUSIVE);
  Lsn lsn = LogAndApplyVersion(&ticket, copy->relation, copy->storage, copy->block, version->slot,
                               &version->meta, version->payload, new_block);
  LWLockRelease(stripe);
  WriteGateLeave(&ticket);
  NoteOwnLsn(copy->relation, lsn);
}

void StopHereIfTested() {
  if (g_failure_point == nullptr || g_failure_point[0] == '\0') return;
  LoadFailurePoint();
  FailurePoint("copy_block");
}

}  // namespace

void InitBlockCopy(BlockCopy* copy, Relation relation, const Column* columns) {
  *copy = BlockCopy{};
  copy->relation = relation;
  copy->columns = columns;
  copy->context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb block copy", ALLOCSET_DEFAULT_SIZES);
}

void StartBlockCopy(BlockCopy* copy, BlockNo block) {
  MemoryContextReset(copy->context);
  copy->block = block;
  copy->image_rows = 0;
  copy->raw_bytes = 0;
  copy->waiting = nullptr;
  copy->waiting_count = copy->waiting_capacity = 0;
}

void CopyRowVersion(BlockCopy* copy, SlotNo slot, const VersionMeta& meta, uint32_t maker,
                    const StorableRow& row) {
  size_t size = PackedRowSize(Columns(copy->columns, row.natts), row.values, row.nulls, row.natts);
  bool in_image = meta.xid == kFrozenXid && size <= kWidestImageRow;
  if (in_image && copy->image_rows > 0) {
    in_image = copy->image_natts == row.natts && g_builder->raw_size() + size <= kLargestImage;
  }
  copy->raw_bytes += size;
  if (!in_image) {
    Wait(copy, slot, meta, PackStorable(copy->relation, copy->columns, row));
    return;
  }
  if (copy->image_rows == 0) StartImage(copy, row.natts);
  AddToImage(slot, row, maker);
  copy->image_rows++;
}

void CopyRowEnd(BlockCopy* copy, SlotNo slot, const VersionMeta& meta, Slice payload) {
  Wait(copy, slot, meta, payload);
}

void FinishBlockCopy(BlockCopy* copy) {
  bool new_block = true;
  if (copy->image_rows > 0) {
    WriteImage(copy, FinishImage());
    new_block = false;
  }
  for (int i = 0; i < copy->waiting_count; i++) {
    WriteVersion(copy, &copy->waiting[i], new_block);
    new_block = false;
  }
  StopHereIfTested();
}

namespace {

// Images in the write buffer have the stamp of frozen rows: who made them stands beside.
Slice Frozen(Slice section, FullXid maker) {
  Guarded([&] {
    MakeBuilder();
    g_image->clear();
    return RestampImage(section, kFrozenStamp, MakerOf(maker), 0, 0, g_image);
  });
  return *g_image;
}

// The image that holds all there is of the block, seen by everyone; empty if there is none.
Slice WholeImage(const BlockRows& rows, TransactionId oldest_xmin) {
  const RowImage* image = rows.rows[0].image;
  if (image == nullptr || image->rows() != rows.count || image->stamps() != 1) return Slice();
  for (uint32_t i = 0; i < rows.count; i++) {
    const VisibleRow& row = rows.rows[i];
    if (row.image != image || !row.sole) return Slice();
    bool same = i > 0 && row.meta.xid == rows.rows[i - 1].meta.xid;
    if (!same && !SeenByEveryone(row.meta, StateOf(row.meta, nullptr), oldest_xmin)) return Slice();
  }
  Slice section =
      image->all_frozen() ? image->section() : Frozen(image->section(), rows.rows[0].meta.xid);
  return ImageFitsRecord(section) ? section : Slice();
}

void CopyHistory(BlockCopy* copy, Columns layout, SlotNo slot, const RowHistory& history) {
  for (int i = history.count - 1; i >= 0; i--) {
    const KeptVersion& kept = history.versions[i];
    if (kept.holder != nullptr) {
      CopyRowVersion(copy, slot, kept.meta, kept.maker, DecodeAsStored(kept.holder, layout));
    } else if (kept.meta.kind == VersionKind::kMove) {
      char target[kMovePayloadSize];
      EncodeMovePayload(kept.moved_to.block, kept.moved_to.slot, target);
      CopyRowEnd(copy, slot, kept.meta, Slice(target, sizeof(target)));
    } else {
      CopyRowEnd(copy, slot, kept.meta, Slice());
    }
  }
}

}  // namespace

void CopyStorage(Relation from_relation, StorageId from, Relation to_relation, StorageId to,
                 TransactionId oldest_xmin) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "omendb storage copy", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  auto* columns = static_cast<Column*>(palloc(sizeof(Column) * kMaxColumns));
  Columns layout(columns, StorageLayout(to, columns));
  BlockCopy copy;
  InitBlockCopy(&copy, to_relation, columns);
  copy.storage = to;
  BlockRows* rows = MakeBlockRows(context);
  BlockWalk walk{};
  StartBlockWalk(&walk, from_relation, from, 0, StorageBlockCount(from), context);
  MemoryContext work =
      AllocSetContextCreate(context, "omendb block of a copy", ALLOCSET_DEFAULT_SIZES);
  while (NextBlockRows(&walk, SnapshotAny, rows)) {
    StartBlockCopy(&copy, rows->block);
    if (Slice section = WholeImage(*rows, oldest_xmin); !section.empty()) {
      WriteImage(&copy, section);
      StopHereIfTested();
      continue;
    }
    MemoryContextSwitchTo(work);
    for (uint32_t i = 0; i < rows->count; i++) {
      RowHistory history;
      ReadHistoryOf(from_relation, from, *rows, rows->rows[i], oldest_xmin, &history);
      CopyHistory(&copy, layout, rows->rows[i].slot, history);
    }
    MemoryContextSwitchTo(context);
    FinishBlockCopy(&copy);
    MemoryContextReset(work);
  }
  EndBlockWalk(&walk);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
}

}  // namespace omendb
