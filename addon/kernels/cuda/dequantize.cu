// Packed weights as rows of BF16, for products with many tokens, where taking weights apart once is
// cheaper than for every tile of tokens.
//
// Roofline, per weight of b bits: b / 8 bytes read, 2 written, about 4 operations: bound by memory.
// A matrix product with n tokens takes 2 n operations per weight: at 2,048 tokens and the rates of
// an H200 (4.3 TB/s, 788 TFLOP/s) 5.2 ns per thousand weights, and this 0.6 (4 bits), so a tenth.
#include "kernels/cuda/device/quantized.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 128;
constexpr uint32_t kWarps = kThreads / kWarp;

struct Target {
  BF16* out;
  size_t stride;
  uint32_t rows;
  uint32_t columns;
};

// One warp per chunk of a tile; a lane writes 8 neighbouring columns at once, or 4.
template <uint32_t low_bits, uint32_t high_bits, Scales scales, uint32_t zero>
__global__ void __launch_bounds__(kThreads)
    DequantizeKernel(const std::byte* packed, uint32_t warps, Target target) {
  constexpr uint32_t kCodeBytes = (low_bits + high_bits) * kChunkUnits / 2 * kWarp * 4;
  constexpr uint32_t kChunkBytes = kCodeBytes + ScaleBytes(scales);
  constexpr bool kBy16 = ScaleColumns(scales) == 16;
  const uint32_t warp = blockIdx.x * kWarps + threadIdx.x / kWarp;
  if (warp >= warps) return;
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t chunks = (target.columns + kChunkColumns - 1) / kChunkColumns;
  const std::byte* from = packed + size_t{warp} * kChunkBytes;
  Codes<low_bits, high_bits, zero> codes;
  codes.Load(from, lane);
  RowScales<scales> row_scales;
  row_scales.Load(from + kCodeBytes, lane / 4);
#pragma unroll
  for (uint32_t unit = 0; unit < kChunkUnits; ++unit) {
    const uint32_t column = warp % chunks * kChunkColumns + unit * kUnitColumns;
    if (column >= target.columns) break;
    uint32_t a[2][4];
    codes.Fragment(unit, 0, a[0]);
    codes.Fragment(unit, 1, a[1]);
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      Words words;
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t run = kBy16 ? 2 * unit + i / 2 : unit;
        const float scale = row_scales.Scale(half, run);
        float minimum = 0;
        if constexpr (HasMinimum(scales)) minimum = row_scales.Minimum(half, run);
        const uint32_t pair = a[i / 2][half + i % 2 * 2];
        words[i] = PackPair(scale * FirstOf(pair) - minimum, scale * SecondOf(pair) - minimum);
      }
      const uint32_t row = warp / chunks * kTileRows + lane / 4 + 8 * half;
      if (row >= target.rows) continue;
      BF16* out = target.out + row * target.stride + column;
      if constexpr (kBy16) {
        StoreVector(out + lane % 4 * 4, Vector<uint32_t, 2>{words[0], words[1]});
        StoreVector(out + 16 + lane % 4 * 4, Vector<uint32_t, 2>{words[2], words[3]});
      } else {
        StoreVector(out + lane % 4 * 8, words);
      }
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) RoundKernel(const T* weights, Target target) {
  const uint32_t column = blockIdx.x * kThreads + threadIdx.x;
  if (column >= target.columns) return;
  const size_t row = blockIdx.y;
  target.out[row * target.stride + column] =
      FromFloat<BF16>(AsFloat(weights[row * PaddedColumns(target.columns) + column]));
}

template <DType dtype>
void LaunchQuantized(const PackedWeight& weight, const Target& target, Stream stream) {
  constexpr QuantizedLayout kLayout = LayoutOf(dtype);
  const uint64_t warps =
      uint64_t{DivCeil(target.rows, kTileRows)} * DivCeil(target.columns, kChunkColumns);
  IC_CHECK(warps <= kGridColumnsMax);
  Launch(&DequantizeKernel<kLayout.low_bits, kLayout.high_bits, kLayout.scales, kLayout.zero>,
         dim3{static_cast<uint32_t>(DivCeil(warps, uint64_t{kWarps}))}, dim3{kThreads}, 0, stream,
         weight.data, static_cast<uint32_t>(warps), target);
}

template <typename T>
void LaunchFloats(const PackedWeight& weight, const Target& target, Stream stream) {
  const size_t row_values = PaddedColumns(target.columns);
  for (uint32_t first = 0; first < target.rows; first += kGridRowsMax) {
    const uint32_t rows = std::min(target.rows - first, kGridRowsMax);
    Target part = target;
    part.out += first * target.stride;
    Launch(&RoundKernel<T>, dim3{DivCeil(target.columns, kThreads), rows}, dim3{kThreads}, 0,
           stream, reinterpret_cast<const T*>(weight.data) + first * row_values, part);
  }
}

}  // namespace

void DequantizeToBF16(const PackedWeight& weight, void* out, size_t out_stride, Stream stream) {
  IC_CHECK(weight.data != nullptr && AllAligned(weight.data) && out != nullptr && AllAligned(out));
  IC_CHECK(weight.rows > 0 && weight.columns > 0 && IsWeightDType(weight.dtype));
  IC_CHECK(weight.columns % BlockValues(weight.dtype) == 0);
  IC_CHECK(out_stride >= weight.columns && out_stride % 8 == 0);
  const Target target = {static_cast<BF16*>(out), out_stride, weight.rows, weight.columns};
  switch (weight.dtype) {
    case DType::kF32:
      return LaunchFloats<float>(weight, target, stream);
    case DType::kF16:
      return LaunchFloats<F16>(weight, target, stream);
    case DType::kBF16:
      return LaunchFloats<BF16>(weight, target, stream);
    case DType::kQ8_0:
    case DType::kIQ4_NL:  // the same layout
      return LaunchQuantized<DType::kQ8_0>(weight, target, stream);
    case DType::kQ4_0:
      return LaunchQuantized<DType::kQ4_0>(weight, target, stream);
    case DType::kQ4_1:
      return LaunchQuantized<DType::kQ4_1>(weight, target, stream);
    case DType::kQ5_0:
      return LaunchQuantized<DType::kQ5_0>(weight, target, stream);
    case DType::kQ5_1:
      return LaunchQuantized<DType::kQ5_1>(weight, target, stream);
    case DType::kQ2_K:
      return LaunchQuantized<DType::kQ2_K>(weight, target, stream);
    case DType::kQ3_K:
      return LaunchQuantized<DType::kQ3_K>(weight, target, stream);
    case DType::kQ4_K:
      return LaunchQuantized<DType::kQ4_K>(weight, target, stream);
    case DType::kQ5_K:
      return LaunchQuantized<DType::kQ5_K>(weight, target, stream);
    case DType::kQ6_K:
      return LaunchQuantized<DType::kQ6_K>(weight, target, stream);
    case DType::kIQ4_XS:
      return LaunchQuantized<DType::kIQ4_XS>(weight, target, stream);
    case DType::kMXFP4:
      return LaunchQuantized<DType::kMXFP4>(weight, target, stream);
    case DType::kF8_E4M3:
      break;
  }
}

}  // namespace infercept::cuda
