// Errors that users, files and devices cause. What we cause ourselves is IC_CHECK (check.h).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace infercept {

// Each code is the ErrorCode of the same name in lib/errors.ts.
enum class StatusCode : uint8_t {
  kOk,
  kInvalidArgument,
  kModelFormat,
  kModelUnsupported,
  kOutOfMemory,
  kContextTooLong,
  kAborted,
  kOverloaded,
  kDisposed,
  kBusy,
  kDevice,
  kInternal,
};

// The public spelling, e.g. "ERR_OUT_OF_MEMORY".
std::string_view CodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  std::string DebugString() const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;  // What, where, the numbers, the remedy. Empty iff ok.
};

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}        // NOLINT: implicit on purpose
  Result(Status status) : state_(std::move(status)) {  // NOLINT: implicit on purpose
    IC_CHECK(!std::get<Status>(state_).ok());
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }
  T& value() {
    IC_CHECK(ok());
    return std::get<T>(state_);
  }
  const T& value() const {
    IC_CHECK(ok());
    return std::get<T>(state_);
  }
  T Take() && { return std::move(value()); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace infercept
