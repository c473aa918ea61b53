// How numbers are stored in weights and in the KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace infercept {

// The names are GGUF's, and of FP8 safetensors'; kernels/blocks.h has the layouts of the quantized
// ones. FP8 is for keys and values only.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kF8_E4M3,
};

// Values are stored in blocks: a row is a whole number of them. Floats are blocks of one value.
struct DTypeTraits {
  DType dtype;
  std::string_view name;
  uint32_t block_values;
  uint32_t block_bytes;
};

inline constexpr uint32_t kQ8BlockValues = 32;
inline constexpr size_t kQ8BlockBytes = 2 + kQ8BlockValues;

// By the number of the dtype.
inline constexpr DTypeTraits kDTypeTraits[] = {
    {DType::kF32, "f32", 1, 4},           {DType::kF16, "f16", 1, 2},
    {DType::kBF16, "bf16", 1, 2},         {DType::kQ8_0, "q8_0", kQ8BlockValues, kQ8BlockBytes},
    {DType::kQ4_0, "q4_0", 32, 18},       {DType::kQ4_1, "q4_1", 32, 20},
    {DType::kQ5_0, "q5_0", 32, 22},       {DType::kQ5_1, "q5_1", 32, 24},
    {DType::kQ2_K, "q2_k", 256, 84},      {DType::kQ3_K, "q3_k", 256, 110},
    {DType::kQ4_K, "q4_k", 256, 144},     {DType::kQ5_K, "q5_k", 256, 176},
    {DType::kQ6_K, "q6_k", 256, 210},     {DType::kIQ4_NL, "iq4_nl", 32, 18},
    {DType::kIQ4_XS, "iq4_xs", 256, 136}, {DType::kMXFP4, "mxfp4", 32, 17},
    {DType::kF8_E4M3, "f8_e4m3", 1, 1},
};

constexpr bool TraitsAreInOrder() {
  size_t index = 0;
  for (const DTypeTraits& traits : kDTypeTraits) {
    if (static_cast<size_t>(traits.dtype) != index++) return false;
  }
  return index == static_cast<size_t>(DType::kF8_E4M3) + 1;
}
static_assert(TraitsAreInOrder());

constexpr const DTypeTraits& TraitsOf(DType dtype) {
  return kDTypeTraits[static_cast<size_t>(dtype)];
}
constexpr std::string_view DTypeName(DType dtype) { return TraitsOf(dtype).name; }
constexpr uint32_t BlockValues(DType dtype) { return TraitsOf(dtype).block_values; }
constexpr size_t BlockBytes(DType dtype) { return TraitsOf(dtype).block_bytes; }
// Values share scales. All others are plain floats.
constexpr bool IsQuantized(DType dtype) { return BlockValues(dtype) > 1; }
// What weights can be; kernels/tensor_view.h says what keys and values can be.
constexpr bool IsWeightDType(DType dtype) { return dtype != DType::kF8_E4M3; }

// Bytes of one row. REQUIRES: columns is a multiple of BlockValues.
constexpr size_t RowBytes(DType dtype, size_t columns) {
  return columns / BlockValues(dtype) * BlockBytes(dtype);
}

}  // namespace infercept
