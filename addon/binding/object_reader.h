// Reads the fields of a plain JavaScript object with bounds. TypeScript has validated and filled in
// defaults; what stands here guards memory against a caller that went around it. Thread: the
// JavaScript thread.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "binding/napi_setup.h"

namespace infercept {

// Throws a JavaScript TypeError with code ERR_INVALID_ARGUMENT.
[[noreturn]] void ThrowInvalid(Napi::Env env, const std::string& message);

class ObjectReader {
 public:
  // `path` names the object in messages.
  ObjectReader(Napi::Value value, std::string path);

  Napi::Env env() const { return object_.Env(); }
  bool Has(const char* key) const;

  std::string String(const char* key) const;
  bool Bool(const char* key) const;
  double Double(const char* key, double minimum, double maximum) const;
  float Float(const char* key) const;  // finite
  // An integer in [minimum, maximum], at most 2^53.
  template <typename Integer>
  Integer Int(const char* key, Integer minimum = std::numeric_limits<Integer>::min(),
              Integer maximum = std::numeric_limits<Integer>::max()) const {
    return static_cast<Integer>(
        WholeNumber(key, static_cast<double>(minimum), static_cast<double>(maximum)));
  }
  template <typename Integer>
  std::optional<Integer> OptionalInt(const char* key) const {
    return Has(key) ? std::optional(Int<Integer>(key)) : std::nullopt;
  }
  uint64_t BigUint64(const char* key) const;

  std::vector<int32_t> Int32s(const char* key) const;    // Int32Array
  std::vector<float> Floats(const char* key) const;      // Float32Array
  std::vector<uint32_t> Uint32s(const char* key) const;  // Uint32Array
  std::vector<double> Doubles(const char* key) const;    // Float64Array
  std::string Bytes(const char* key) const;              // Uint8Array

  ObjectReader Object(const char* key) const;
  std::vector<ObjectReader> Objects(const char* key) const;
  std::vector<std::string> Strings(const char* key) const;
  std::vector<double> Numbers(const char* key) const;  // a plain array of finite numbers

 private:
  Napi::Value Get(const char* key) const;
  Napi::Array ArrayAt(const char* key) const;
  Napi::TypedArray TypedArrayAt(const char* key, napi_typedarray_type type) const;
  double WholeNumber(const char* key, double minimum, double maximum) const;
  [[noreturn]] void Fail(const char* key, const char* expected) const;

  Napi::Object object_;
  std::string path_;
};

}  // namespace infercept
