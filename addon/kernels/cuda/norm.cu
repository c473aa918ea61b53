// RMSNorm and LayerNorm after a residual addition, one block per token, the row in registers.
//
// Roofline, per token of width w: reads 8w bytes (residual, added), writes 4w + 4w (2w for BF16)
// bytes, weights from the second-level cache; 5w (LayerNorm 8w) operations: 0.3 per byte, bound by
// memory. A decode step's few rows are bound by latency instead: so one block has as many threads
// as the row has vectors, and every thread starts all of its loads before it uses the first.
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreadsMax = 1024;
// A thread's part of the row stays in registers: 4 vectors of 4 floats. With 8 they would not all
// fit beside 1,024 threads.
constexpr uint32_t kVectorsMax = 4;
static_assert(kNormWidthMax == kThreadsMax * kVectorsMax * 4);

template <uint32_t wide, uint32_t vectors>
using Part = Vector<float, wide>[vectors];

template <uint32_t wide, uint32_t vectors>
__device__ __forceinline__ void AddRow(const Norm& norm, size_t row, uint32_t width,
                                       Part<wide, vectors>& part) {
  using V = Vector<float, wide>;
#pragma unroll
  for (uint32_t j = 0; j < vectors; ++j) {
    const uint32_t i = (j * blockDim.x + threadIdx.x) * wide;
    part[j] = i < width ? LoadVector<V>(norm.residual + row + i) : V{};
  }
  if (norm.added == nullptr) return;
#pragma unroll
  for (uint32_t j = 0; j < vectors; ++j) {
    const uint32_t i = (j * blockDim.x + threadIdx.x) * wide;
    if (i >= width) continue;
    const V added = LoadVector<V>(norm.added + row + i);
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) part[j][k] += added[k];
    StoreVector(norm.residual + row + i, part[j]);
  }
}

// Over the block, of the values that lie inside the row.
template <uint32_t wide, uint32_t vectors>
__device__ __forceinline__ float SumOfSquares(const Part<wide, vectors>& part, uint32_t width,
                                              float mean) {
  float sum = 0;
#pragma unroll
  for (uint32_t j = 0; j < vectors; ++j) {
    if ((j * blockDim.x + threadIdx.x) * wide >= width) continue;
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) {
      const float difference = part[j][k] - mean;
      sum += difference * difference;
    }
  }
  return BlockReduce(sum, Add());
}

template <uint32_t wide, uint32_t vectors>
__device__ __forceinline__ float Mean(const Part<wide, vectors>& part, uint32_t width) {
  float sum = 0;
#pragma unroll
  for (uint32_t j = 0; j < vectors; ++j) {
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) sum += part[j][k];  // zeros outside the row
  }
  return BlockReduce(sum, Add()) / static_cast<float>(width);
}

template <typename Out, bool centred, uint32_t wide, uint32_t vectors>
__global__ void __launch_bounds__(kThreadsMax) NormKernel(Norm norm, uint32_t width) {
  const size_t row = size_t{blockIdx.x} * width;
  Part<wide, vectors> part;
  AddRow<wide, vectors>(norm, row, width, part);
  const float mean = centred ? Mean<wide, vectors>(part, width) : 0.0f;
  const float squares = SumOfSquares<wide, vectors>(part, width, mean);
  const float factor = rsqrtf(squares / static_cast<float>(width) + norm.epsilon);
  Out* out = static_cast<Out*>(norm.out) + row;
#pragma unroll
  for (uint32_t j = 0; j < vectors; ++j) {
    const uint32_t i = (j * blockDim.x + threadIdx.x) * wide;
    if (i >= width) continue;
    const auto weight = LoadVector<Vector<float, wide>>(norm.weight + i);
    Vector<float, wide> bias = {};
    if (norm.bias != nullptr) bias = LoadVector<Vector<float, wide>>(norm.bias + i);
    Vector<Out, wide> result;
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) {
      result[k] = FromFloat<Out>((part[j][k] - mean) * factor * weight[k] + bias[k]);
    }
    StoreVector(out + i, result);
  }
}

constexpr uint32_t kVectorThreads = 256;
constexpr uint32_t kVectorWarps = kVectorThreads / kWarp;

// One warp per vector: heads are short. It reads them twice, from the first-level cache the second
// time.
__global__ void __launch_bounds__(kVectorThreads) VectorNormKernel(VectorNorm norm) {
  const uint32_t vector = blockIdx.x * kVectorWarps + threadIdx.x / kWarp;
  if (vector >= norm.vectors) return;  // the whole warp
  float* x = norm.x + blockIdx.y * norm.stride + size_t{vector} * norm.width;
  float squares = 0;
  for (uint32_t i = threadIdx.x % kWarp; i < norm.width; i += kWarp) squares += x[i] * x[i];
  squares = WarpReduce(squares, Add());
  const float factor = rsqrtf(squares / static_cast<float>(norm.width) + norm.epsilon);
  for (uint32_t i = threadIdx.x % kWarp; i < norm.width; i += kWarp) {
    x[i] = x[i] * factor * norm.weight[i];
  }
}

template <typename Out, bool centred, uint32_t wide>
void LaunchNorm(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream) {
  const uint32_t vectors = DivCeil(width, wide);
  const uint32_t threads = DivCeil(std::min(vectors, kThreadsMax), kWarp) * kWarp;
  const uint32_t per_thread = DivCeil(vectors, threads);
  IC_CHECK(per_thread <= kVectorsMax);
  const auto launch = [&](auto kernel) {
    Launch(kernel, dim3{tokens}, dim3{threads}, 0, stream, norm, width);
  };
  if (per_thread == 1) return launch(&NormKernel<Out, centred, wide, 1>);
  if (per_thread == 2) return launch(&NormKernel<Out, centred, wide, 2>);
  launch(&NormKernel<Out, centred, wide, kVectorsMax>);
}

template <typename Out, bool centred>
void ChooseWidth(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream) {
  const bool aligned =
      width % 4 == 0 && AllAligned(norm.added, norm.residual, norm.weight, norm.bias, norm.out);
  if (aligned) {
    LaunchNorm<Out, centred, 4>(norm, tokens, width, stream);
  } else {
    LaunchNorm<Out, centred, 1>(norm, tokens, width, stream);
  }
}

template <bool centred>
void Normalize(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream) {
  if (tokens == 0) return;
  IC_CHECK(norm.residual != nullptr && norm.weight != nullptr && norm.out != nullptr);
  IC_CHECK(width > 0);
  IC_CHECK(norm.out_dtype == DType::kF32 || norm.out_dtype == DType::kBF16);
  if (norm.out_dtype == DType::kF32) {
    ChooseWidth<float, centred>(norm, tokens, width, stream);
  } else {
    ChooseWidth<BF16, centred>(norm, tokens, width, stream);
  }
}

}  // namespace

void RmsNorm(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream) {
  Normalize<false>(norm, tokens, width, stream);
}

void LayerNorm(const Norm& norm, uint32_t tokens, uint32_t width, Stream stream) {
  Normalize<true>(norm, tokens, width, stream);
}

void RmsNormVectors(const VectorNorm& norm, uint32_t tokens, Stream stream) {
  IC_CHECK(norm.stride >= size_t{norm.vectors} * norm.width);
  if (tokens == 0 || norm.vectors == 0 || norm.width == 0) return;
  IC_CHECK(norm.x != nullptr && norm.weight != nullptr);
  for (uint32_t first = 0; first < tokens; first += kGridRowsMax) {
    VectorNorm part = norm;
    part.x += first * norm.stride;
    Launch(&VectorNormKernel,
           dim3{DivCeil(norm.vectors, kVectorWarps), std::min(tokens - first, kGridRowsMax)},
           dim3{kVectorThreads}, 0, stream, part);
  }
}

}  // namespace infercept::cuda
