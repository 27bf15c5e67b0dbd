// The one LeafIterator there is, for a primary and for a reader.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string>

#include "base/pure.h"
#include "key/leaf_key.h"
#include "store/families.h"
#include "store/leaf_iterator.h"
#include "store/rocksdb_status.h"

namespace omendb {

// Damaged blocks that one read steps over at most.
inline constexpr int kMostPasses = 100;

// Guard: Status operator()(call) runs call(), which leaves all its results in the iterator, and
// says if it was left by a fault; lost() says if the database is given up, with all it handed out;
// Pass(status) is true if it has arranged that what the status says is damaged can be read.
template <class Guard>
class LeafIteratorImpl : public LeafIterator {
 public:
  LeafIteratorImpl(Guard guard, StorageId storage)
      : guard_(guard),
        storage_(storage),
        low_bound_(LeafKey(storage, "")),
        high_bound_(LeafKey(storage + 1, "")),
        low_slice_(low_bound_),
        high_slice_(high_bound_) {}
  ~LeafIteratorImpl() override {
    if (guard_.lost()) it_.release();
  }

  Status Start(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* handle,
               const rocksdb::ReadOptions& defaults) {
    db_ = db;
    handle_ = handle;
    options_ = defaults;
    options_.iterate_lower_bound = &low_slice_;
    options_.iterate_upper_bound = &high_slice_;
    return status_ = guard_([&] { StartAnew(); });
  }

  bool Valid() const override { return valid_; }
  Status status() const override { return status_; }
  Slice low() const override { return low_; }
  Slice value() const override { return value_; }

  void Seek(Slice position) override {
    SetLeafKey(&key_, storage_, position);
    Move([&] { it_->SeekForPrev(key_); });
    if (valid_ && low_ > position) Fail();
  }
  void SeekLow(Slice low) override {
    SetLeafKey(&key_, storage_, low);
    Move([&] { it_->Seek(key_); });
    if (valid_ && low_ < low) Fail();
  }
  void First() override {
    Move([&] { it_->SeekToFirst(); });
  }
  void Last() override {
    Move([&] { it_->SeekToLast(); });
  }
  // Keys have no checksum on the path of a reader; their order is what can be checked.
  void Next() override {
    before_.assign(low_);
    Move([&] { it_->Next(); },
         [&] {
           it_->Seek(LeafKey(storage_, before_));
           if (it_->Valid()) it_->Next();
         });
    if (valid_ && low_ <= before_) Fail();
  }
  void Prev() override {
    before_.assign(low_);
    Move([&] { it_->Prev(); },
         [&] {
           it_->SeekForPrev(LeafKey(storage_, before_));
           if (it_->Valid()) it_->Prev();
         });
    if (valid_ && low_ >= before_) Fail();
  }

 private:
  void StartAnew() { it_.reset(db_->NewIterator(options_, handle_)); }

  template <typename Call>
  void Move(Call call) {
    Move(call, call);
  }
  // again: the same move, with an iterator that is nowhere yet. (Nothing is written to the database
  // of a guard that passes anything as long as this lives.)
  template <typename Call, typename Again>
  void Move(Call call, Again again) {
    valid_ = false;
    if (!status_.ok()) return;
    if (Status status = guard_([&] {
          call();
          for (int i = 0; i < kMostPasses && !it_->Valid() && guard_.Pass(it_->status()); i++) {
            StartAnew();  // it would not read the block once more
            again();
          }
          Load();
        });
        !status.ok()) {
      valid_ = false;
      status_ = status;
    }
  }

  void Load() {
    if (!it_->Valid()) {
      const rocksdb::Status s = it_->status();
      if (!s.ok()) status_ = ReadError(s);
      return;
    }
    StorageId storage;
    if (!ParseLeafKey(FromRocksDb(it_->key()), &storage, &low_) || storage != storage_) {
      Fail();
      return;
    }
    value_ = FromRocksDb(it_->value());
    valid_ = true;
  }

  void Fail() {
    valid_ = false;
    status_ = Status::Corruption("could not read from the omendb store: damaged key",
                                 "Index leaves of storage " + std::to_string(storage_) + ".");
  }

  Guard guard_;
  rocksdb::DB* db_ = nullptr;
  rocksdb::ColumnFamilyHandle* handle_ = nullptr;
  rocksdb::ReadOptions options_;
  const StorageId storage_;
  const std::string low_bound_, high_bound_;
  const rocksdb::Slice low_slice_, high_slice_;
  std::string key_, before_;
  std::unique_ptr<rocksdb::Iterator> it_;
  bool valid_ = false;
  Status status_;
  Slice low_, value_;
};

}  // namespace omendb
