#include "base/status.h"

namespace infercept {

std::string_view CodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kInvalidArgument:
      return "ERR_INVALID_ARGUMENT";
    case StatusCode::kModelFormat:
      return "ERR_MODEL_FORMAT";
    case StatusCode::kModelUnsupported:
      return "ERR_MODEL_UNSUPPORTED";
    case StatusCode::kOutOfMemory:
      return "ERR_OUT_OF_MEMORY";
    case StatusCode::kContextTooLong:
      return "ERR_CONTEXT_TOO_LONG";
    case StatusCode::kAborted:
      return "ERR_ABORTED";
    case StatusCode::kOverloaded:
      return "ERR_OVERLOADED";
    case StatusCode::kDisposed:
      return "ERR_DISPOSED";
    case StatusCode::kBusy:
      return "ERR_BUSY";
    case StatusCode::kDevice:
      return "ERR_DEVICE";
    case StatusCode::kInternal:
      return "ERR_INTERNAL";
  }
  return "ERR_INTERNAL";
}

std::string Status::DebugString() const {
  return ok() ? "OK" : std::string(CodeName(code_)) + ": " + message_;
}

}  // namespace infercept
