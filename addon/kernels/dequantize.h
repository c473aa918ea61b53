// Rows of a weight matrix in the file's layout, as floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/tensor_view.h"

namespace infercept {

// out[0, columns). Floats are exact. Quantized values are the same bits on every machine: each
// product and each difference in the formulas of blocks.h rounds once, from left to right.
// REQUIRES: columns is a multiple of BlockValues(dtype). The row may begin at any address.
void DequantizeRow(DType dtype, const std::byte* row, uint32_t columns, float* out);

inline const std::byte* RowOf(const WeightView& weight, size_t row) {
  return weight.data + row * RowBytes(weight.dtype, weight.columns);
}

}  // namespace infercept
