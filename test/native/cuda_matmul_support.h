// What the tests of CUDA's matrix products share: packed weights and BF16 inputs on the device, and
// how far from the reference in double a product may be.
#pragma once

#include <algorithm>
#include <cmath>

#include "cuda_support.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/cuda/weight_pack.h"
#include "kernels/half.h"

namespace infercept::test {

inline DeviceArray<std::byte> PackOnDevice(const Matrix& matrix) {
  std::vector<std::byte> packed(cuda::PackedBytes(matrix.dtype, matrix.rows, matrix.columns));
  cuda::Pack(matrix.view(), packed);
  return DeviceArray<std::byte>(packed);
}

// [tokens][columns] as the tensor cores see them.
inline std::vector<float> Rounded(const std::vector<float>& x) {
  std::vector<float> rounded(x.size());
  std::transform(x.begin(), x.end(), rounded.begin(),
                 [](float value) { return ToFloat(ToBF16(value)); });
  return rounded;
}

// Partial sums are at most the norm of the products; a chain of additions over the columns, as a
// random walk, and four times its deviation.
inline std::vector<double> Tolerance(const Matrix& matrix, const std::vector<float>& x,
                                     uint32_t tokens) {
  std::vector<double> tolerance(size_t{tokens} * matrix.rows);
  const double growth = 4 * std::sqrt(matrix.columns) + 8;
  for (uint32_t r = 0; r < matrix.rows; ++r) {
    const std::vector<float> row = matrix.Row(r);
    for (size_t t = 0; t < tokens; ++t) {
      double norm = 0;
      for (size_t c = 0; c < matrix.columns; ++c) {
        norm += std::abs(double{row[c]} * double{x[t * matrix.columns + c]});
      }
      tolerance[t * matrix.rows + r] = norm * growth * kEpsilon;
    }
  }
  return tolerance;
}

struct Inputs {
  Inputs(const std::vector<float>& x, uint32_t tokens, uint32_t columns)
      : stride(cuda::PaddedColumns(columns) + 8), values(tokens * stride, BF16{0xFFFF}) {
    const DeviceArray<float> floats(x);
    cuda::ConvertToBF16(floats.data(), tokens, columns, values.data(), stride, kNullStream);
  }
  cuda::BF16Rows rows() const { return {values.data(), stride}; }

  size_t stride;
  DeviceArray<BF16> values;
};

}  // namespace infercept::test
