// Weights times few tokens (kernels.h, MatMulFew): every weight is loaded once, 16 rows at a time,
// and multiplied with all tokens by matrix instructions.
//
// A block is 4 warps that share the 16 rows of one tile; its chunks of columns go round the warps,
// and what they added up is added in the order of warps. So the order of additions depends on the
// columns alone.
#pragma once

#include "kernels/cuda/device/product.cuh"
#include "kernels/cuda/device/quantized.cuh"

namespace infercept::cuda {

inline constexpr uint32_t kFewThreads = kColumnParts * kWarp;

// What a lane adds up: [token tiles] of 8 tokens, as C of mma.cuh: two rows, two tokens.
template <uint32_t tiles>
using FewSums = float[tiles][4];

// A lane's part of B: 32 columns of one token of each token tile, zeros for tokens that are not
// there. It is the token g of the tile; columns are those of the lane's weights.
template <uint32_t tiles>
struct FewInputs {
  uint32_t b[tiles][2][2];  // [][step]

  template <uint32_t scale_columns>
  __device__ __forceinline__ void Load(const ProductCall& call, const ExpertTile& tokens,
                                       uint32_t column, uint32_t lane) {
#pragma unroll
    for (uint32_t i = 0; i < tiles; ++i) {
      const uint32_t token = tokens.first + i * 8 + lane / 4;
      Words words = {};
      if (token < tokens.end) {
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

  Codes<low_bits, high_bits, zero> codes;
  RowScales<scales> row_scales;

  __device__ __forceinline__ void Load(const ProductPlace& product, uint32_t expert, uint32_t tile,
                                       uint32_t columns, uint32_t chunk, uint32_t lane) {
    const uint32_t chunks = (columns + kChunkColumns - 1) / kChunkColumns;
    const std::byte* from =
        WeightsOf(product, expert) + (size_t{tile} * chunks + chunk) * kChunkBytes;
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
          AddInputs(input_sums[i], inputs.b[i][step]);
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
        AddScaled(sums[i], parts[i], half, scale);
        if constexpr (HasMinimum(scales)) SubtractMinimum(sums[i], input_sums[i], half, minimum);
      }
    }
#pragma unroll
    for (uint32_t i = 0; i < tiles; ++i) {
#pragma unroll
      for (uint32_t j = 0; j < 4; ++j) parts[i][j] = input_sums[i][j] = 0;
    }
  }
};

// Float weights as they are.
template <typename T>
struct FloatFew {
  static constexpr uint32_t kScaleColumns = 32;
  static constexpr uint32_t kColumns = kFloatColumns<T>;
  static constexpr uint32_t kUnits = kColumns / kUnitColumns;
  static constexpr uint32_t kVectors = sizeof(T) / 2;  // 8 values

  Words words[2][kUnits][kVectors];  // of rows g and g + 8

  __device__ __forceinline__ void Load(const ProductPlace& product, uint32_t expert, uint32_t tile,
                                       uint32_t columns, uint32_t chunk, uint32_t lane) {
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
        const std::byte* from =
            WeightsOf(product, expert) + (first + column + lane % 4 * 8) * sizeof(T);
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
      uint32_t a[kTerms<T>][4];
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
#pragma unroll
        for (uint32_t pair = 0; pair < 2; ++pair) {
          SplitPair<T>(words[half][unit], 2 * step + pair, pair * 2 + half, a);
        }
      }
#pragma unroll
      for (uint32_t term = 0; term < kTerms<T>; ++term) {
#pragma unroll
        for (uint32_t i = 0; i < tiles; ++i) MultiplyAdd(sums[i], a[term], inputs.b[i][step]);
      }
    }
  }
};

template <uint32_t tiles>
struct FewPartials {
  float sums[kColumnParts][tiles * 4][kWarp];
};

// Adds what the warps have, and stores it.
template <uint32_t tiles>
__device__ __forceinline__ void StoreFew(const ProductCall& call, const ProductPlace& product,
                                         uint32_t tile, const FewSums<tiles>& sums) {
  FewPartials<tiles>& partials = StaticShared<FewPartials<tiles>>();
  const uint32_t warp = threadIdx.x / kWarp;
#pragma unroll
  for (uint32_t i = 0; i < tiles * 4; ++i) {
    partials.sums[warp][i][threadIdx.x % kWarp] = sums[i / 4][i % 4];
  }
  __syncthreads();
  const ExpertTile tokens = TokensOf(call, blockIdx.y, tiles * 8);  // again: registers are short
  for (uint32_t i = threadIdx.x; i < tiles * 4 * kWarp; i += kFewThreads) {
    const uint32_t lane = i % kWarp;
    const uint32_t place = i / kWarp;
    float sum = 0;
#pragma unroll
    for (uint32_t w = 0; w < kColumnParts; ++w) sum += partials.sums[w][place][lane];
    const uint32_t row = tile * kTileRows + lane / 4 + place % 4 / 2 * 8;
    const uint32_t token = tokens.first + place / 4 * 8 + lane % 4 * 2 + place % 2;
    if (row < product.rows && token < tokens.end) {
      if (product.bias != nullptr) sum += BiasOf(product, tokens.expert, row);
      product.out[token * product.out_stride + row] = sum;
    }
  }
}

template <typename Weights, uint32_t tiles>
__global__ void __launch_bounds__(kFewThreads) FewKernel(const __grid_constant__ ProductCall call) {
  const ProductPlace& product = FindProduct(call, blockIdx.x);
  const uint32_t tile = blockIdx.x - product.first_block;
  const ExpertTile tokens = TokensOf(call, blockIdx.y, tiles * 8);
  if (tokens.first >= tokens.end) return;
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t chunks = (call.columns + Weights::kColumns - 1) / Weights::kColumns;
  uint32_t chunk = threadIdx.x / kWarp;
  FewSums<tiles> sums = {};
  Weights weights;
  if (chunk < chunks) weights.Load(product, tokens.expert, tile, call.columns, chunk, lane);
  while (chunk < chunks) {
    // The next chunk is on its way while this one is multiplied.
    const uint32_t next_chunk = chunk + kColumnParts;
    Weights next = weights;
    if (next_chunk < chunks)
      next.Load(product, tokens.expert, tile, call.columns, next_chunk, lane);
#pragma unroll
    for (uint32_t unit = 0; unit < Weights::kColumns / kUnitColumns; ++unit) {
      const uint32_t column = chunk * Weights::kColumns + unit * kUnitColumns;
      if (column < call.columns) {
        FewInputs<tiles> inputs;
        inputs.template Load<Weights::kScaleColumns>(call, tokens, column, lane);
        weights.template Multiply<tiles>(unit, inputs, sums);
      }
    }
    weights = next;
    chunk = next_chunk;
  }
  StoreFew<tiles>(call, product, tile, sums);
}

}  // namespace infercept::cuda
