// Merging by appending: all values of ours are sequences of sections.
#pragma once

#include <rocksdb/merge_operator.h>
#include "base/pure.h"


namespace omendb {

class AppendOperator : public rocksdb::MergeOperator {
 public:
  // The same name on both sides: it is recorded in the files. Lives for ever.
  explicit AppendOperator(const char* name) : name_(name) {}
  const char* Name() const override { return name_; }

  bool FullMergeV2(const MergeOperationInput& in, MergeOperationOutput* out) const override {
    if (in.existing_value == nullptr && in.operand_list.size() == 1) {
      out->existing_operand = in.operand_list[0];
      return true;
    }
    size_t total = in.existing_value != nullptr ? in.existing_value->size() : 0;
    for (const rocksdb::Slice& operand : in.operand_list) total += operand.size();
    out->new_value.clear();
    out->new_value.reserve(total);
    if (in.existing_value != nullptr) {
      out->new_value.append(in.existing_value->data(), in.existing_value->size());
    }
    for (const rocksdb::Slice& operand : in.operand_list) {
      out->new_value.append(operand.data(), operand.size());
    }
    return true;
  }

 private:
  const char* const name_;
};

}  // namespace omendb
