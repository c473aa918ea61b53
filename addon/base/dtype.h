// How numbers are stored in weights and in the KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace infercept {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,  // Blocks of 32 values: one F16 scale, then 32 int8. value = scale * int8.
};

inline constexpr uint32_t kQ8BlockValues = 32;
inline constexpr size_t kQ8BlockBytes = 2 + kQ8BlockValues;

constexpr std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kQ8_0:
      return "q8_0";
  }
  return "unknown";
}

// Bytes of one row. REQUIRES: columns is a multiple of 32 for kQ8_0.
constexpr size_t RowBytes(DType dtype, size_t columns) {
  switch (dtype) {
    case DType::kF32:
      return columns * 4;
    case DType::kF16:
      return columns * 2;
    case DType::kBF16:
      return columns * 2;
    case DType::kQ8_0:
      return columns / kQ8BlockValues * kQ8BlockBytes;
  }
  return 0;
}

}  // namespace infercept
