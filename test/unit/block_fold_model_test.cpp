// Random histories of one block, stored, flushed and folded in random ways, against a model that
// only knows the history: every snapshot that may still be taken must see the same row in every
// slot, made by the same transaction, and every lock of a running transaction must still be there.
#include <algorithm>
#include <set>

#include "block/fold.h"
#include "block_test_util.h"

namespace omendb {
namespace {

const std::vector<Column> kLayout = {kInt8, kText, kInt4};

struct HistoryVersion {
  SlotNo slot;
  VersionMeta meta;
  std::string payload;
  bool in_batch = false;  // written by COPY: part of an image
};

struct Transaction {
  Verdict end = Verdict::kUnknown;
  uint64_t ended_at = 0;  // in steps of the history
};

// A snapshot: transactions that ended by committing up to a step are visible.
class World {
 public:
  // Every other world's lower halves of xids change their sign on the way.
  explicit World(uint64_t seed)
      : random_(seed), next_xid_(seed % 2 ? 10 : (FullXid{3} << 31) - 20) {}

  bool Visible(FullXid xid, uint64_t step) const {
    if (xid == 0) return true;
    const Transaction& t = transactions_.at(xid);
    return t.end == Verdict::kCommitted && t.ended_at <= step;
  }

  // What a snapshot of `step` sees in a list of versions, newest first.
  // "-": nothing. Also used for a transaction's own view (own != 0).
  template <typename Next>
  std::string Seen(uint64_t step, FullXid own, Next next) const {
    std::set<FullXid> confirmed, aborted;
    StoredVersion v;
    while (next(&v)) {
      if (v.meta.xid != 0 && v.meta.xid != own && !Visible(v.meta.xid, step)) continue;
      switch (v.meta.kind) {
        case VersionKind::kLock:
          continue;
        case VersionKind::kSpeculativeConfirm:
          confirmed.insert(v.meta.xid);
          continue;
        case VersionKind::kSpeculativeAbort:
          aborted.insert(v.meta.xid);
          continue;
        case VersionKind::kDelete:
        case VersionKind::kMove:
          return "-";
        default:
          if ((v.meta.flags & kVersionSpeculative) && aborted.count(v.meta.xid)) continue;
          return RowText(v);
      }
    }
    return "-";
  }

  static std::string RowText(const StoredVersion& v) {
    std::vector<Value> values(kLayout.size());
    bool nulls[8];
    uint32_t natts;
    std::vector<uint64_t> scratch(v.payload.size() / 8 + 16);
    if (v.image != nullptr) {
      natts = v.image->natts();
      v.image->Decode(v.row, 0, natts, values.data(), nulls);
    } else {
      PackedRowReader reader;
      ExpectOk(PackedRowReader::Open(v.payload, v.columns, &reader));
      natts = reader.natts();
      ExpectOk(
          reader.DecodeUpTo(natts, values.data(), nulls, reinterpret_cast<char*>(scratch.data())));
    }
    const uint32_t maker = v.meta.xid != 0      ? MakerOf(v.meta.xid)
                           : v.image != nullptr ? v.image->maker(v.row)
                                                : kUnknownMaker;
    std::string text = std::to_string(natts) + " by " + std::to_string(maker);
    for (uint32_t i = 0; i < natts; i++) {
      text += "|" + (nulls[i] ? "null" : Content(kLayout[i], values[i]));
    }
    return text;
  }

  std::mt19937_64 random_;
  std::map<FullXid, Transaction> transactions_;
  std::vector<HistoryVersion> history_;
  uint64_t step_ = 0;
  FullXid next_xid_;
  Lsn lsn_ = 1000;
};

class Model {
 public:
  explicit Model(uint64_t seed) : world_(seed), random_(world_.random_) {}

  void Run() {
    fresh_ = true;
    for (int step = 0; step < 60; step++) {
      Write(1 + Random(6));
      EndSome();
      MoveHorizon();
      if (Random(4) == 0) Flush();
      if (Random(4) == 0) FoldSome();
      if (Random(6) == 0) Check();
    }
    Flush();
    Check();
    for (auto& [xid, t] : world_.transactions_) {
      if (t.end == Verdict::kUnknown) End(xid);
      oracle_.verdicts[xid] = t.end;
    }
    MoveHorizon();
    FoldWhole(values_.size());
    Check();
    oracle_.horizon = world_.next_xid_;
    oldest_step_ = world_.step_;
    FoldWhole(values_.size());
    Check();
    // Nothing is left that a fold of everything, with everything finished, would keep but rows.
    BlockView view;
    if (!values_.empty()) ExpectOk(BlockView::Parse(AlignedOf(values_[0]), true, &view));
    for (uint32_t s = 0; s < 256; s++) {
      EXPECT_FALSE(TestBit(view.delta_slots(), s) && !speculative_left_.count(s)) << s;
    }
  }

 private:
  struct SlotState {
    bool exists = false;      // newest non-aborted version is a row
    FullXid writer = 0;       // of it, while running
    FullXid speculative = 0;  // inserted speculatively, not yet ended
    bool used = false;        // slots are not reused
  };

  uint64_t Random(uint64_t n) { return random_() % n; }

  FullXid RunningXid() {
    std::vector<FullXid> running;
    for (auto& [xid, t] : world_.transactions_) {
      if (t.end == Verdict::kUnknown) running.push_back(xid);
    }
    if (running.size() < 3 || Random(4) == 0) {
      world_.transactions_[world_.next_xid_] = {};
      return world_.next_xid_++;
    }
    return running[Random(running.size())];
  }

  std::string RandomRow() {
    ValueStore store;
    TestRow row(3);
    const auto natts = static_cast<uint32_t>(Random(10) == 0 ? Random(3) : 3);
    for (uint32_t i = 0; i < natts; i++) {
      row.nulls[i] = Random(5) == 0;
      if (!row.nulls[i]) row.values[i] = RandomValue(kLayout[i], random_, &store);
    }
    return Pack(kLayout, row.values.data(), row.nulls.get(), natts);
  }

  void Log(SlotNo slot, FullXid xid, VersionKind kind, uint8_t flags, std::string payload) {
    world_.lsn_ += 8;
    world_.history_.push_back({slot,
                               {xid, world_.lsn_, static_cast<CommandNo>(Random(5)), kind, flags},
                               std::move(payload)});
  }

  // Newest version of the slot that did not abort, markers and locks left out.
  const HistoryVersion* Newest(SlotNo slot) {
    for (auto v = world_.history_.rbegin(); v != world_.history_.rend(); ++v) {
      if (v->slot != slot || v->meta.kind == VersionKind::kLock) continue;
      if (v->meta.kind == VersionKind::kSpeculativeConfirm) continue;
      if (v->meta.xid != 0 && world_.transactions_[v->meta.xid].end == Verdict::kAborted) continue;
      return &*v;
    }
    return nullptr;
  }

  void Write(uint64_t count) {
    for (; count > 0; count--) {
      const FullXid xid = RunningXid();
      if (Random(10) == 0) {
        WriteBatch(xid);
        continue;
      }
      const auto slot = static_cast<SlotNo>(Random(24) * 3);
      auto pending = speculative_.find(slot);
      if (pending != speculative_.end()) {
        if (world_.transactions_[pending->second].end == Verdict::kUnknown) {
          Log(slot, pending->second,
              Random(2) ? VersionKind::kSpeculativeConfirm : VersionKind::kSpeculativeAbort, 0, "");
        }
        speculative_.erase(pending);
        continue;
      }
      const HistoryVersion* newest = Newest(slot);
      if (newest == nullptr) {
        if (!used_.insert(slot).second) continue;
        const bool speculative = Random(4) == 0;
        Log(slot, xid, VersionKind::kInsert, speculative ? kVersionSpeculative : 0, RandomRow());
        if (speculative) speculative_[slot] = xid;
        continue;
      }
      if (!CarriesRow(newest->meta.kind)) continue;
      const FullXid writer = newest->meta.xid;
      const bool mine = writer == xid;
      if (!mine && world_.transactions_[writer].end != Verdict::kCommitted) continue;
      switch (Random(6)) {
        case 0:
          Log(slot, xid, VersionKind::kDelete, Random(2) ? kVersionMovedPartition : 0, "");
          break;
        case 1:
          Log(slot, xid, VersionKind::kMove, kVersionKeyUpdated, std::string(5, 'm'));
          break;
        case 2:
        case 3:
          Log(slot, xid, VersionKind::kLock, 0, std::string(1, '\0'));
          break;
        default:
          Log(slot, xid, VersionKind::kUpdate, 0, RandomRow());
          break;
      }
    }
  }

  void WriteBatch(FullXid xid) {
    world_.lsn_ += 8;
    const uint32_t start = 80 + static_cast<uint32_t>(Random(100));
    for (uint32_t i = 0; i < 1 + Random(40) && start + i < 256; i++) {
      const auto slot = static_cast<SlotNo>(start + i);
      if (!used_.insert(slot).second) continue;
      ValueStore store;
      TestRow row(3);
      for (uint32_t c = 0; c < 3; c++) {
        row.nulls[c] = Random(5) == 0;
        if (!row.nulls[c]) row.values[c] = RandomValue(kLayout[c], random_, &store);
      }
      world_.history_.push_back({slot,
                                 {xid, world_.lsn_, 1, VersionKind::kInsert, 0},
                                 Pack(kLayout, row.values.data(), row.nulls.get(), 3),
                                 true});
    }
  }

  void End(FullXid xid) {
    Transaction& t = world_.transactions_[xid];
    // A speculative insert is always completed before its transaction commits.
    bool open = false;
    for (auto& [slot, owner] : speculative_) open |= owner == xid;
    world_.step_++;
    t.end = open || Random(3) == 0 ? Verdict::kAborted : Verdict::kCommitted;
    t.ended_at = world_.step_;
  }

  void EndSome() {
    for (auto& [xid, t] : world_.transactions_) {
      if (t.end == Verdict::kUnknown && Random(12) == 0) End(xid);
      // The oracle learns late, or never.
      if (t.end != Verdict::kUnknown && Random(2) == 0) oracle_.verdicts[xid] = t.end;
    }
  }

  // The horizon: below it every committed transaction is visible to every snapshot kept.
  void MoveHorizon() {
    if (Random(3) != 0) return;
    oldest_step_ += Random(world_.step_ - oldest_step_ + 1);
    FullXid horizon = world_.next_xid_;
    for (auto& [xid, t] : world_.transactions_) {
      const bool visible_to_all = t.end == Verdict::kCommitted && t.ended_at <= oldest_step_;
      if (!visible_to_all && t.end != Verdict::kAborted) horizon = std::min(horizon, xid);
    }
    oracle_.horizon = std::max(oracle_.horizon, horizon);
  }

  // Moves what was written since the last flush into the store, as a segment's flush does.
  void Flush() {
    const size_t upto = world_.history_.size();
    if (flushed_ == upto) return;
    flush_.Start(kLayout, fresh_ ? FoldScope::kWhole : FoldScope::kPartial);
    std::string value;
    std::vector<std::string> images;
    std::deque<AlignedBytes> sections;
    std::vector<size_t> order;
    for (size_t i = flushed_; i < upto; i++) order.push_back(i);
    std::map<Lsn, std::vector<size_t>> batches;
    for (size_t i : order) {
      if (world_.history_[i].in_batch) batches[world_.history_[i].meta.lsn].push_back(i);
    }
    for (auto& [lsn, rows] : batches) {
      RowImageBuilder builder;
      builder.Start(kLayout, 3);
      for (size_t i : rows) {
        const HistoryVersion& v = world_.history_[i];
        PackedRowReader reader;
        std::vector<Value> values(3);
        bool nulls[3];
        std::vector<uint64_t> scratch(v.payload.size() / 8 + 16);
        ExpectOk(PackedRowReader::Open(v.payload, kLayout, &reader));
        ExpectOk(
            reader.DecodeUpTo(3, values.data(), nulls, reinterpret_cast<char*>(scratch.data())));
        builder.Add(v.slot, {1, 1, 1, VersionKind::kInsert, 0}, values.data(), nulls);
      }
      std::string section;
      builder.Finish(0, 0, &section);
      sections.emplace_back(section);
      flush_.AddImage(WithVerdict(world_.history_[rows[0]].meta), sections.back().slice());
    }
    std::shuffle(order.begin(), order.end(), random_);
    for (size_t i : order) {
      const HistoryVersion& v = world_.history_[i];
      if (!v.in_batch) flush_.AddVersion(v.slot, WithVerdict(v.meta), v.payload);
    }
    ExpectOk(flush_.Finish(oracle_, &value));
    flushed_ = upto;
    if (!value.empty()) {
      values_.push_back(value);
      copies_.push_back(value);
    }
    fresh_ = false;
  }

  VersionMeta WithVerdict(VersionMeta meta) {
    const Verdict end = world_.transactions_[meta.xid].end;
    if (Random(2) && end == Verdict::kCommitted) meta.flags |= kVersionCommitted;
    if (Random(2) && end == Verdict::kAborted) meta.flags |= kVersionAborted;
    if (Random(4) == 0 && end == Verdict::kCommitted) meta.flags |= kVersionHintCommitted;
    return meta;
  }

  void FoldSome() {
    if (values_.size() < 2) return;
    if (Random(2)) return FoldWhole(1 + Random(values_.size()));
    // Adjacent operands, not the base; some of them applied twice.
    const size_t first = 1 + Random(values_.size() - 1);
    const size_t count = 1 + Random(values_.size() - first);
    std::vector<Slice> operands(values_.begin() + static_cast<ptrdiff_t>(first),
                                values_.begin() + static_cast<ptrdiff_t>(first + count));
    if (BaseIsFirst()) {
      std::string folded;
      ExpectOk(FoldBlock(operands, FoldScope::kPartial, oracle_, &folded));
      values_.erase(values_.begin() + static_cast<ptrdiff_t>(first),
                    values_.begin() + static_cast<ptrdiff_t>(first + count));
      if (!folded.empty()) values_.insert(values_.begin() + static_cast<ptrdiff_t>(first), folded);
    }
    // An operand that is in the store already comes again. (Flush order is kept.)
    if (Random(3) == 0 && copies_.size() > 1) {
      const size_t from = copies_.size() - 1 - Random(std::min<size_t>(2, copies_.size() - 1));
      for (size_t i = from; i < copies_.size(); i++) values_.push_back(copies_[i]);
    }
  }

  bool BaseIsFirst() { return true; }

  void FoldWhole(size_t count) {
    if (values_.empty()) return;
    std::vector<Slice> slices(values_.begin(), values_.begin() + static_cast<ptrdiff_t>(count));
    std::string folded;
    ExpectOk(FoldBlock(slices, FoldScope::kWhole, oracle_, &folded));
    values_.erase(values_.begin(), values_.begin() + static_cast<ptrdiff_t>(count));
    values_.insert(values_.begin(), folded);
  }

  Slice AlignedOf(const std::string& value) { return value; }

  void Check() {
    std::string all;
    for (const std::string& value : values_) all += value;
    AlignedBytes bytes(all);
    BlockView view;
    ExpectOk(BlockView::Parse(bytes.slice(), true, &view));
    std::set<uint64_t> steps = {oldest_step_, world_.step_};
    for (int i = 0; i < 6; i++) {
      steps.insert(oldest_step_ + Random(world_.step_ - oldest_step_ + 1));
    }
    std::vector<FullXid> owners = {0};
    for (auto& [xid, t] : world_.transactions_) {
      if (t.end == Verdict::kUnknown) owners.push_back(xid);
    }
    speculative_left_.clear();
    for (uint32_t s = 0; s < 256; s++) {
      const auto slot = static_cast<SlotNo>(s);
      std::vector<StoredVersion> history;
      for (size_t i = flushed_; i-- > 0;) {
        const HistoryVersion& v = world_.history_[i];
        if (v.slot != slot) continue;
        StoredVersion stored;
        stored.meta = v.meta;
        stored.payload = v.payload;
        stored.columns = kLayout;
        history.push_back(stored);
      }
      for (uint64_t step : steps) {
        for (FullXid own : owners) {
          size_t at = 0;
          const std::string expected = world_.Seen(step, own, [&](StoredVersion* v) {
            if (at == history.size()) return false;
            *v = history[at++];
            return true;
          });
          Lsn before = ~Lsn{0};
          const std::string found = world_.Seen(step, own, [&](StoredVersion* v) {
            if (!view.NextVersion(slot, before, v)) return false;
            EXPECT_LT(v->meta.lsn, before);
            before = v->meta.lsn;
            return true;
          });
          ASSERT_EQ(found, expected) << "slot " << s << " step " << step << " own " << own;
        }
      }
      // Locks of the running, and that no version names an unknown transaction.
      std::multiset<std::pair<FullXid, Lsn>> held, kept;
      for (const StoredVersion& v : history) {
        if (v.meta.kind == VersionKind::kLock &&
            world_.transactions_[v.meta.xid].end == Verdict::kUnknown) {
          held.insert({v.meta.xid, v.meta.lsn});
        }
      }
      StoredVersion v;
      bool deleted_for_all = false;
      for (Lsn before = ~Lsn{0}; view.NextVersion(slot, before, &v); before = v.meta.lsn) {
        if (v.meta.kind == VersionKind::kLock &&
            world_.transactions_[v.meta.xid].end == Verdict::kUnknown) {
          kept.insert({v.meta.xid, v.meta.lsn});
        }
        if (v.meta.flags & kVersionCommitted && v.meta.xid != 0) {
          EXPECT_EQ(world_.transactions_[v.meta.xid].end, Verdict::kCommitted);
        }
      }
      (void)deleted_for_all;
      ASSERT_EQ(kept, held) << "slot " << s;
    }
  }

  World world_;
  std::mt19937_64& random_;
  TestOracle oracle_;
  FlushFold flush_;
  std::set<SlotNo> used_;
  std::map<SlotNo, FullXid> speculative_;
  std::set<uint32_t> speculative_left_;
  std::deque<std::string> values_, copies_;
  size_t flushed_ = 0;
  uint64_t oldest_step_ = 0;
  bool fresh_ = true;
};

TEST(FoldModel, EverySnapshotSeesTheSameHoweverBlocksAreFolded) {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model(seed).Run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace omendb
