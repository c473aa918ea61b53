// Weights times few tokens (kernels.h, MatMulFew): every weight is loaded once, 16 rows at a time,
// and multiplied with all tokens by matrix instructions.
//
// A block is 4 warps that share the 16 rows of one tile; its chunks of columns go round the warps,
// and what they added up is added in the order of warps. So the order of additions depends on the
// columns alone.
#pragma once

#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/quantized.cuh"

namespace infercept::cuda {

inline constexpr uint32_t kFewWarps = 4;
inline constexpr uint32_t kFewThreads = kFewWarps * kWarp;
inline constexpr uint32_t kFewProductsMax = 4;

struct FewProduct {
  const std::byte* weights;
  float* out;
  size_t out_stride;  // floats
  uint32_t rows;
  uint32_t first_tile;  // of the grid
};

struct FewCall {
  FewProduct products[kFewProductsMax];
  uint32_t count;
  uint32_t columns;
  const BF16* x;    // [tokens] rows, x_stride values apart
  size_t x_stride;  // >= PaddedColumns(columns), in values
  uint32_t tokens;
};

// What a lane adds up: [token tiles] of 8 tokens, as C of mma.cuh: two rows, two tokens.
template <uint32_t tiles>
using FewSums = float[tiles][4];

// A lane's part of B: 32 columns of one token of each token tile, zeros for tokens that are not
// there. It is the token g of the tile; columns are those of the lane's weights.
template <uint32_t tiles>
struct FewInputs {
  uint32_t b[tiles][2][2];  // [][step]

  template <uint32_t scale_columns>
  __device__ __forceinline__ void Load(const FewCall& call, uint32_t first_token, uint32_t column,
                                       uint32_t lane) {
#pragma unroll
    for (uint32_t i = 0; i < tiles; ++i) {
      const uint32_t token = first_token + i * 8 + lane / 4;
      Words words = {};
      if (token < call.tokens) {
        const BF16* x = call.x + token * call.x_stride + column;
        if constexpr (scale_columns == 16) {
          const auto first = LoadVector<Vector<uint32_t, 2>>(x + lane % 4 * 4);
          const auto second = LoadVector<Vector<uint32_t, 2>>(x + 16 + lane % 4 * 4);
          words = {first[0], first[1], second[0], second[1]};
        } else {
          words = LoadVector<Words>(x + lane % 4 * 8);
        }
      }
      b[i][0][0] = words[0];
      b[i][0][1] = words[1];
      b[i][1][0] = words[2];
      b[i][1][1] = words[3];
    }
  }
};

// Quantized weights. The products of codes are exact; scales come in once per run.
template <uint32_t low_bits, uint32_t high_bits, Scales scales, uint32_t zero>
struct QuantizedFew {
  static constexpr uint32_t kScaleColumns = ScaleColumns(scales);
  static constexpr uint32_t kColumns = kChunkColumns;  // that a warp takes at once
  static constexpr uint32_t kCodeBytes = (low_bits + high_bits) * kChunkUnits / 2 * kWarp * 4;
  static constexpr uint32_t kChunkBytes = kCodeBytes + ScaleBytes(scales);
  static_assert(kChunkBytes == QuantizedLayout{low_bits, high_bits, scales, zero}.chunk_bytes());
  static constexpr uint32_t kOnes = 0x3F803F80u;  // two BF16

  Codes<low_bits, high_bits, zero> codes;
  RowScales<scales> row_scales;

  __device__ __forceinline__ void Load(const FewProduct& product, uint32_t tile, uint32_t columns,
                                       uint32_t chunk, uint32_t lane) {
    const uint32_t chunks = (columns + kChunkColumns - 1) / kChunkColumns;
    const std::byte* from = product.weights + (size_t{tile} * chunks + chunk) * kChunkBytes;
    codes.Load(from, lane);
    row_scales.Load(from + kCodeBytes, lane / 4);
  }

  template <uint32_t tiles>
  __device__ __forceinline__ void Multiply(uint32_t unit, const FewInputs<tiles>& inputs,
                                           FewSums<tiles>& sums) const {
    FewSums<tiles> parts = {};
    FewSums<tiles> input_sums = {};  // of the inputs that a run covers: its minimum counts them
#pragma unroll
    for (uint32_t step = 0; step < 2; ++step) {
      uint32_t a[4];
      codes.Fragment(unit, step, a);
#pragma unroll
      for (uint32_t i = 0; i < tiles; ++i) {
        MultiplyAdd(parts[i], a, inputs.b[i][step]);
        if constexpr (HasMinimum(scales)) {
          const uint32_t ones[4] = {kOnes, kOnes, kOnes, kOnes};
          MultiplyAdd(input_sums[i], ones, inputs.b[i][step]);
        }
      }
      if constexpr (kScaleColumns == 16) AddRun<tiles>(2 * unit + step, parts, input_sums, sums);
    }
    if constexpr (kScaleColumns == 32) AddRun<tiles>(unit, parts, input_sums, sums);
  }

 private:
  template <uint32_t tiles>
  __device__ __forceinline__ void AddRun(uint32_t run, FewSums<tiles>& parts,
                                         FewSums<tiles>& input_sums, FewSums<tiles>& sums) const {
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const float scale = row_scales.Scale(half, run);
      float minimum = 0;
      if constexpr (HasMinimum(scales)) minimum = row_scales.Minimum(half, run);
#pragma unroll
      for (uint32_t i = 0; i < tiles; ++i) {
#pragma unroll
        for (uint32_t j = 2 * half; j < 2 * half + 2; ++j) {
          sums[i][j] += scale * parts[i][j];
          if constexpr (HasMinimum(scales)) sums[i][j] -= minimum * input_sums[i][j];
          parts[i][j] = 0;
          input_sums[i][j] = 0;
        }
      }
    }
  }
};

// Float weights as they are: a BF16 is one term, an F16 is the sum of two BF16, a float of three.
template <typename T>
struct FloatFew {
  static constexpr uint32_t kScaleColumns = 32;
  // Both rows of a lane: 8 (float: 16) registers for each 32 columns. Floats are split into three
  // terms, which takes registers besides.
  static constexpr uint32_t kUnits = sizeof(T) == 2 ? 4 : 1;
  static constexpr uint32_t kColumns = kUnits * kUnitColumns;
  static constexpr uint32_t kVectors = sizeof(T) / 2;  // 8 values
  static constexpr uint32_t kTerms = std::is_same_v<T, BF16> ? 1 : std::is_same_v<T, F16> ? 2 : 3;

  Words words[2][kUnits][kVectors];  // of rows g and g + 8

  __device__ __forceinline__ void Load(const FewProduct& product, uint32_t tile, uint32_t columns,
                                       uint32_t chunk, uint32_t lane) {
    const uint32_t padded = (columns + kUnitColumns - 1) / kUnitColumns * kUnitColumns;
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t row = tile * kTileRows + lane / 4 + 8 * half;
      // Rows that are not there are not written either; which one is read does not matter.
      const size_t first = size_t{row < product.rows ? row : product.rows - 1} * padded;
#pragma unroll
      for (uint32_t unit = 0; unit < kUnits; ++unit) {
        const uint32_t column = chunk * kColumns + unit * kUnitColumns;
        if (column >= padded) continue;
        const std::byte* from = product.weights + (first + column + lane % 4 * 8) * sizeof(T);
#pragma unroll
        for (uint32_t v = 0; v < kVectors; ++v) {
          words[half][unit][v] = LoadStreaming(from + v * 16);
        }
      }
    }
  }

  template <uint32_t tiles>
  __device__ __forceinline__ void Multiply(uint32_t unit, const FewInputs<tiles>& inputs,
                                           FewSums<tiles>& sums) const {
#pragma unroll
    for (uint32_t step = 0; step < 2; ++step) {
      uint32_t a[kTerms][4];
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
#pragma unroll
        for (uint32_t pair = 0; pair < 2; ++pair) {
          Split(half, unit, 2 * step + pair, pair * 2 + half, a);
        }
      }
#pragma unroll
      for (uint32_t term = 0; term < kTerms; ++term) {
#pragma unroll
        for (uint32_t i = 0; i < tiles; ++i) MultiplyAdd(sums[i], a[term], inputs.b[i][step]);
      }
    }
  }

 private:
  // The terms of one pair of neighbouring values.
  __device__ __forceinline__ void Split(uint32_t half, uint32_t unit, uint32_t pair, uint32_t place,
                                        uint32_t (&a)[kTerms][4]) const {
    if constexpr (std::is_same_v<T, BF16>) {
      a[0][place] = words[half][unit][0][pair];
    } else {
      float first;
      float second;
      if constexpr (std::is_same_v<T, F16>) {
        const uint32_t bits = words[half][unit][0][pair];
        first = AsFloat(static_cast<F16>(static_cast<uint16_t>(bits)));
        second = AsFloat(static_cast<F16>(static_cast<uint16_t>(bits >> 16)));
      } else {
        first = __uint_as_float(words[half][unit][pair / 2][pair % 2 * 2]);
        second = __uint_as_float(words[half][unit][pair / 2][pair % 2 * 2 + 1]);
      }
#pragma unroll
      for (uint32_t term = 0; term < kTerms; ++term) {
        a[term][place] = PackPair(first, second);
        first -= FirstOf(a[term][place]);
        second -= SecondOf(a[term][place]);
      }
    }
  }
};

template <uint32_t tiles>
struct FewPartials {
  float sums[kFewWarps][tiles * 4][kWarp];
};

__device__ __forceinline__ const FewProduct& FindProduct(const FewCall& call, uint32_t tile) {
  uint32_t i = 0;
  while (i + 1 < call.count && call.products[i + 1].first_tile <= tile) ++i;
  return call.products[i];
}

// Adds what the warps have, and stores it.
template <uint32_t tiles>
__device__ __forceinline__ void StoreFew(const FewCall& call, const FewProduct& product,
                                         uint32_t tile, uint32_t first_token,
                                         const FewSums<tiles>& sums) {
  FewPartials<tiles>& partials = StaticShared<FewPartials<tiles>>();
  const uint32_t warp = threadIdx.x / kWarp;
#pragma unroll
  for (uint32_t i = 0; i < tiles * 4; ++i) {
    partials.sums[warp][i][threadIdx.x % kWarp] = sums[i / 4][i % 4];
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < tiles * 4 * kWarp; i += kFewThreads) {
    const uint32_t lane = i % kWarp;
    const uint32_t place = i / kWarp;
    float sum = 0;
#pragma unroll
    for (uint32_t w = 0; w < kFewWarps; ++w) sum += partials.sums[w][place][lane];
    const uint32_t row = tile * kTileRows + lane / 4 + place % 4 / 2 * 8;
    const uint32_t token = first_token + place / 4 * 8 + lane % 4 * 2 + place % 2;
    if (row < product.rows && token < call.tokens) {
      product.out[token * product.out_stride + row] = sum;
    }
  }
}

template <typename Weights, uint32_t tiles>
__global__ void __launch_bounds__(kFewThreads) FewKernel(const __grid_constant__ FewCall call) {
  const FewProduct& product = FindProduct(call, blockIdx.x);
  const uint32_t tile = blockIdx.x - product.first_tile;
  const uint32_t first_token = blockIdx.y * tiles * 8;
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t chunks = (call.columns + Weights::kColumns - 1) / Weights::kColumns;
  uint32_t chunk = threadIdx.x / kWarp;
  FewSums<tiles> sums = {};
  Weights weights;
  if (chunk < chunks) weights.Load(product, tile, call.columns, chunk, lane);
  while (chunk < chunks) {
    // The next chunk is on its way while this one is multiplied.
    const uint32_t next_chunk = chunk + kFewWarps;
    Weights next = weights;
    if (next_chunk < chunks) next.Load(product, tile, call.columns, next_chunk, lane);
#pragma unroll
    for (uint32_t unit = 0; unit < Weights::kColumns / kUnitColumns; ++unit) {
      const uint32_t column = chunk * Weights::kColumns + unit * kUnitColumns;
      if (column < call.columns) {
        FewInputs<tiles> inputs;
        inputs.template Load<Weights::kScaleColumns>(call, first_token, column, lane);
        weights.template Multiply<tiles>(unit, inputs, sums);
      }
    }
    weights = next;
    chunk = next_chunk;
  }
  StoreFew<tiles>(call, product, tile, first_token, sums);
}

}  // namespace infercept::cuda
