#include "binding/object_reader.h"

#include <cmath>
#include <utility>

namespace infercept {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;  // 2^53 - 1

}  // namespace

void ThrowInvalid(Napi::Env env, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "ERR_INVALID_ARGUMENT"));
  throw error;
}

ObjectReader::ObjectReader(Napi::Value value, std::string path) : path_(std::move(path)) {
  if (!value.IsObject()) ThrowInvalid(value.Env(), path_ + " must be an object.");
  object_ = value.As<Napi::Object>();
}

void ObjectReader::Fail(const char* key, const char* expected) const {
  ThrowInvalid(env(), path_ + "." + key + " must be " + expected + ".");
}

Napi::Value ObjectReader::Get(const char* key) const { return object_.Get(key); }

bool ObjectReader::Has(const char* key) const { return !Get(key).IsUndefined(); }

std::string ObjectReader::String(const char* key) const {
  const Napi::Value value = Get(key);
  if (!value.IsString()) Fail(key, "a string");
  return value.As<Napi::String>().Utf8Value();
}

bool ObjectReader::Bool(const char* key) const {
  const Napi::Value value = Get(key);
  if (!value.IsBoolean()) Fail(key, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

double ObjectReader::Double(const char* key, double minimum, double maximum) const {
  const Napi::Value value = Get(key);
  if (!value.IsNumber()) Fail(key, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= minimum && number <= maximum)) Fail(key, "in range");
  return number;
}

float ObjectReader::Float(const char* key) const {
  constexpr double kMax = std::numeric_limits<float>::max();
  return static_cast<float>(Double(key, -kMax, kMax));
}

double ObjectReader::WholeNumber(const char* key, double minimum, double maximum) const {
  const double number = Double(key, minimum, std::min(maximum, kMaxSafeInteger));
  if (std::floor(number) != number) Fail(key, "an integer");
  return number;
}

uint64_t ObjectReader::BigUint64(const char* key) const {
  const Napi::Value value = Get(key);
  if (!value.IsBigInt()) Fail(key, "a bigint");
  bool lossless = false;
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Fail(key, "a bigint of 64 bits");
  return number;
}

Napi::TypedArray ObjectReader::TypedArrayAt(const char* key, napi_typedarray_type type) const {
  const Napi::Value value = Get(key);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    Fail(key, "a typed array of the right type");
  }
  return value.As<Napi::TypedArray>();
}

std::vector<int32_t> ObjectReader::Int32s(const char* key) const {
  const auto array = TypedArrayAt(key, napi_int32_array).As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<float> ObjectReader::Floats(const char* key) const {
  const auto array = TypedArrayAt(key, napi_float32_array).As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<uint32_t> ObjectReader::Uint32s(const char* key) const {
  const auto array = TypedArrayAt(key, napi_uint32_array).As<Napi::Uint32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<double> ObjectReader::Doubles(const char* key) const {
  const auto array = TypedArrayAt(key, napi_float64_array).As<Napi::Float64Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::string ObjectReader::Bytes(const char* key) const {
  const auto array = TypedArrayAt(key, napi_uint8_array).As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(array.Data()), array.ElementLength()};
}

ObjectReader ObjectReader::Object(const char* key) const {
  return ObjectReader(Get(key), path_ + "." + key);
}

Napi::Array ObjectReader::ArrayAt(const char* key) const {
  const Napi::Value value = Get(key);
  if (!value.IsArray()) Fail(key, "an array");
  return value.As<Napi::Array>();
}

std::vector<ObjectReader> ObjectReader::Objects(const char* key) const {
  const Napi::Array array = ArrayAt(key);
  std::vector<ObjectReader> readers;
  readers.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    readers.emplace_back(array.Get(i), path_ + "." + key + "[" + std::to_string(i) + "]");
  }
  return readers;
}

std::vector<std::string> ObjectReader::Strings(const char* key) const {
  const Napi::Array array = ArrayAt(key);
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value value = array.Get(i);
    if (!value.IsString()) Fail(key, "an array of strings");
    strings.push_back(value.As<Napi::String>().Utf8Value());
  }
  return strings;
}

std::vector<double> ObjectReader::Numbers(const char* key) const {
  const Napi::Array array = ArrayAt(key);
  std::vector<double> numbers;
  numbers.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value value = array.Get(i);
    numbers.push_back(value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN);
    if (!std::isfinite(numbers.back())) Fail(key, "an array of finite numbers");
  }
  return numbers;
}

}  // namespace infercept
