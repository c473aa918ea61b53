// Rows of a weight matrix in the file's layout, as floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/tensor_view.h"

namespace infercept {

// out[0, columns). Exact for every dtype but Q8_0, which rounds once.
void DequantizeRow(DType dtype, const std::byte* row, uint32_t columns, float* out);

inline const std::byte* RowOf(const WeightView& weight, size_t row) {
  return weight.data + row * RowBytes(weight.dtype, weight.columns);
}

}  // namespace infercept
