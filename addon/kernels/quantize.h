// Rows of floats as rows of any dtype: the inverse of DequantizeRow, up to the dtype's precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace infercept {

// Writes RowBytes(dtype, columns) bytes. The same bits on every machine.
//
// F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and MXFP4: the bits that the gguf package writes, which
// takes scales from the largest and smallest value of a block. Q2_K to Q6_K, IQ4_NL and IQ4_XS: the
// scales are searched for the least squared error (quantize_fitted.h).
// REQUIRES: columns is a multiple of BlockValues(dtype). out may be at any address.
void QuantizeRow(DType dtype, const float* x, uint32_t columns, std::byte* out);

}  // namespace infercept
