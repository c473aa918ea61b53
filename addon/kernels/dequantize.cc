#include "kernels/dequantize.h"

#include <cstring>

#include "kernels/half.h"

namespace infercept {
namespace {

// Rows of a mapped file need not be aligned.
template <typename T>
T Read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

template <typename Half>
void DequantizeHalf(const std::byte* row, uint32_t columns, float* out) {
  for (uint32_t c = 0; c < columns; ++c) out[c] = ToFloat(Read<Half>(row + c * sizeof(Half)));
}

void DequantizeQ8(const std::byte* row, uint32_t columns, float* out) {
  for (uint32_t c = 0; c < columns; ++c) {
    const std::byte* block = row + c / kQ8BlockValues * kQ8BlockBytes;
    const float scale = ToFloat(Read<F16>(block));
    out[c] = scale * static_cast<float>(Read<int8_t>(block + 2 + c % kQ8BlockValues));
  }
}

}  // namespace

void DequantizeRow(DType dtype, const std::byte* row, uint32_t columns, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row, columns * sizeof(float));
      return;
    case DType::kF16:
      DequantizeHalf<F16>(row, columns, out);
      return;
    case DType::kBF16:
      DequantizeHalf<BF16>(row, columns, out);
      return;
    case DType::kQ8_0:
      DequantizeQ8(row, columns, out);
      return;
  }
}

}  // namespace infercept
