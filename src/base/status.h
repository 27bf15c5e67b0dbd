// Status: how pure code reports failure. Carries what ereport needs: code, message, detail, hint.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/pure.h"

namespace omendb {

enum class StatusCode {
  kOk,
  kNotFound,
  kCorruption,       // SQLSTATE data_corrupted
  kIoError,          // io_error
  kDiskFull,         // disk_full
  kLimitExceeded,    // program_limit_exceeded
  kOutOfMemory,      // out_of_memory
  kUnavailable,      // object_not_in_prerequisite_state: the store is not open (yet)
  kInvalidArgument,  // internal_error: a caller broke a contract
  kInternal,         // internal_error
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status Ok() { return Status(); }
  static Status Make(StatusCode code, std::string message, std::string detail = "",
                     std::string hint = "") {
    Status status;
    status.rep_ = std::make_shared<const Rep>(
        Rep{code, std::move(message), std::move(detail), std::move(hint)});
    return status;
  }
  static Status NotFound(std::string m) { return Make(StatusCode::kNotFound, std::move(m)); }
  static Status Corruption(std::string m, std::string detail = "") {
    return Make(StatusCode::kCorruption, std::move(m), std::move(detail));
  }
  static Status IoError(std::string m, std::string detail = "") {
    return Make(StatusCode::kIoError, std::move(m), std::move(detail));
  }
  static Status DiskFull(std::string m, std::string detail = "") {
    return Make(StatusCode::kDiskFull, std::move(m), std::move(detail));
  }
  static Status LimitExceeded(std::string m, std::string detail = "") {
    return Make(StatusCode::kLimitExceeded, std::move(m), std::move(detail));
  }
  static Status Internal(std::string m, std::string detail = "") {
    return Make(StatusCode::kInternal, std::move(m), std::move(detail));
  }

  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const { return rep_ ? rep_->code : StatusCode::kOk; }
  const std::string& message() const { return rep_ ? rep_->message : Empty(); }
  const std::string& detail() const { return rep_ ? rep_->detail : Empty(); }
  const std::string& hint() const { return rep_ ? rep_->hint : Empty(); }

 private:
  struct Rep {
    StatusCode code;
    std::string message, detail, hint;
  };
  static const std::string& Empty() {
    static const std::string empty;
    return empty;
  }
  std::shared_ptr<const Rep> rep_;  // nullptr = ok: success costs no allocation
};

}  // namespace omendb

#define OMENDB_RETURN_IF_ERROR(expr)                           \
  do {                                                         \
    if (::omendb::Status status_ = (expr); !status_.ok()) return status_; \
  } while (0)
