// Weights times many tokens (kernels.h, MatMulMany): a block of 8 warps has 128 rows and up to 128
// tokens, a warp 32 rows and half of the tokens. Weights and inputs come in stages of 64 columns by
// asynchronous copies; weights stay packed in shared memory and are taken apart into fragments of A
// in registers, inputs are fragments of B as they lie.
//
// Columns are added up in MatMulFew's order (product.cuh), part after part, each part in sums of
// its own: what a token gets has the same bits here and there.
#pragma once

#include "kernels/cuda/device/copy_async.cuh"
#include "kernels/cuda/device/product.cuh"
#include "kernels/cuda/device/quantized.cuh"

namespace infercept::cuda {

inline constexpr uint32_t kManyWarps = 8;
inline constexpr uint32_t kManyThreads = kManyWarps * kWarp;
inline constexpr uint32_t kTokenWarps = 2;  // warps side by side along the tokens
inline constexpr uint32_t kWarpRowTiles = 2;
inline constexpr uint32_t kManyRowTiles = kManyWarps / kTokenWarps * kWarpRowTiles;
inline constexpr uint32_t kManyRows = kManyRowTiles * kTileRows;

inline constexpr uint32_t kStageUnits = 2;
inline constexpr uint32_t kStageColumns = kStageUnits * kUnitColumns;
inline constexpr uint32_t kRowPieces = kStageColumns / 8;  // of 16 bytes, in a row of 16-bit values
inline constexpr uint32_t kRowBytes = kRowPieces * 16;
inline constexpr size_t kManySharedMax = 99 * 1024;  // what every device has

struct ManyCall {
  ProductCall call;
  // [kColumnParts][tokens][row blocks][kManyRows]: where blocks that have one part each put it.
  // Null: a block has all parts.
  float* parts;
  uint32_t row_blocks;
};

// Rows of 8 pieces in shared memory: which piece lies where, so that the lanes that one cycle
// serves (8 lanes: two rows with four pieces each; or, 8 bytes per lane, four rows with two) read
// all banks.
__device__ __forceinline__ uint32_t PiecePlace(uint32_t row, uint32_t piece) {
  return (row * kRowPieces + (piece ^ (row & 1u) << 2 ^ (row & 2u))) * 16;
}

// What a block asks for now and then: registers are short.
struct ManyBlock {
  const std::byte* weights;
  ExpertTile tokens;
};

// Rows of 16-bit values in device memory.
struct RowsView {
  const void* values;
  uint32_t row_bytes;
  uint32_t columns;
  uint32_t last_row;  // Rows after it give nothing that is stored; this one is copied for them.
};

// Begins to copy the stage's columns of `count` rows, by all threads. Units that are not there are
// not copied: nobody looks at them.
template <uint32_t count>
__device__ __forceinline__ void BeginRows(const RowsView& rows, uint32_t first_row, uint32_t stage,
                                          std::byte* to) {
  static_assert(count * kRowPieces % kManyThreads == 0);
  const uint32_t piece = threadIdx.x % kRowPieces;
  const uint32_t column = stage * kStageColumns + piece * 8;
  if (column / kUnitColumns * kUnitColumns >= rows.columns) return;
  const std::byte* from = static_cast<const std::byte*>(rows.values) + column * 2;
#pragma unroll
  for (uint32_t i = 0; i < count * kRowPieces / kManyThreads; ++i) {
    const uint32_t row = (i * kManyThreads + threadIdx.x) / kRowPieces;
    uint32_t copied = first_row + row;
    if (copied > rows.last_row) copied = rows.last_row;
    CopyAsync16(to + PiecePlace(row, piece), from + uint64_t{copied} * rows.row_bytes);
  }
}

// A lane's part of B, columns of its weights in one unit of one token: [step].
using UnitInputs = uint32_t[2][2];
template <uint32_t scale_columns>
__device__ __forceinline__ void LoadInputs(const std::byte* rows, uint32_t token, uint32_t unit,
                                           uint32_t lane, UnitInputs& b) {
  if constexpr (scale_columns == 16) {
#pragma unroll
    for (uint32_t step = 0; step < 2; ++step) {
      const uint32_t piece = unit * 4 + step * 2 + lane % 4 / 2;
      const auto words =
          LoadVector<Vector<uint32_t, 2>>(rows + PiecePlace(token, piece) + lane % 2 * 8);
      b[step][0] = words[0];
      b[step][1] = words[1];
    }
  } else {
    const auto words = LoadVector<Words>(rows + PiecePlace(token, unit * 4 + lane % 4));
    b[0][0] = words[0];
    b[0][1] = words[1];
    b[1][0] = words[2];
    b[1][1] = words[3];
  }
}

// What RowScales is for a chunk, for the columns of a stage.
template <Scales scales>
struct StageScales {
  using Chunk = RowScales<scales>;
  static constexpr uint32_t kRuns = kStageColumns / ScaleColumns(scales);
  static constexpr uint32_t kBytes = kRuns * (Chunk::kHalves ? 2 : 1);  // of a row: 2 or 4

  uint32_t factors[2];  // of rows g and g + 8
  uint32_t minimums[2];
  float scale[2];
  float minimum_scale[2];

  // `part`: of the chunk, in stages.
  __device__ __forceinline__ void Load(const std::byte* from, uint32_t part, uint32_t g) {
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t row = g + 8 * half;
      const std::byte* factor = from + row * Chunk::kFactorBytes + part * kBytes;
      const std::byte* scale_at = from + kTileRows * Chunk::kFactorBytes;
      factors[half] = LoadBytes(factor);
      if constexpr (scales == Scales::kHalfMinimum) {
        minimums[half] = LoadBytes(factor + kTileRows * Chunk::kFactorBytes);
      } else if constexpr (HasMinimum(scales)) {
        minimums[half] = LoadBytes(factor + Chunk::kFactorBytes / 2);
        const auto pair = *reinterpret_cast<const uint32_t*>(scale_at + row * 4);
        scale[half] = AsFloat(static_cast<F16>(static_cast<uint16_t>(pair)));
        minimum_scale[half] = AsFloat(static_cast<F16>(static_cast<uint16_t>(pair >> 16)));
      } else if constexpr (!Chunk::kHalves) {
        scale[half] = AsFloat(reinterpret_cast<const F16*>(scale_at)[row]);
      }
    }
  }

  __device__ __forceinline__ float Scale(uint32_t half, uint32_t run) const {
    if constexpr (Chunk::kHalves) {
      return HalfAt(factors[half], run);
    } else if constexpr (HasMinimum(scales)) {
      return scale[half] * static_cast<float>(factors[half] >> (run * 8) & 0xFFu);
    } else {
      return scale[half] * static_cast<float>(static_cast<int32_t>(
                               static_cast<int8_t>(factors[half] >> (run * 8) & 0xFFu)));
    }
  }

  __device__ __forceinline__ float Minimum(uint32_t half, uint32_t run) const {
    if constexpr (Chunk::kHalves) return HalfAt(minimums[half], run);
    return minimum_scale[half] * static_cast<float>(minimums[half] >> (run * 8) & 0xFFu);
  }

 private:
  static __device__ __forceinline__ uint32_t LoadBytes(const std::byte* from) {
    if constexpr (kBytes == 4) return *reinterpret_cast<const uint32_t*>(from);
    return *reinterpret_cast<const uint16_t*>(from);
  }
  static __device__ __forceinline__ float HalfAt(uint32_t pair, uint32_t i) {
    const auto bits = static_cast<uint16_t>(pair >> (i * 16));
    if constexpr (scales == Scales::kBrain) return AsFloat(static_cast<BF16>(bits));
    return AsFloat(static_cast<F16>(bits));
  }
};

// The weights of a stage, and a lane's part of those of its warp. Quantized: of a chunk the low
// codes of its columns, the vector of high codes that has theirs, and all scales.
template <uint32_t low_bits, uint32_t high_bits, Scales scales, uint32_t zero>
struct QuantizedMany {
  static constexpr uint32_t kScaleColumns = ScaleColumns(scales);
  static constexpr bool kHasMinimum = HasMinimum(scales);
  static constexpr uint32_t kColumns = kChunkColumns;
  static constexpr uint32_t kParts = kChunkColumns / kStageColumns;

  static constexpr uint32_t kVectorBytes = kWarp * 16;
  static constexpr uint32_t kLowBytes = low_bits / 4 * kVectorBytes;
  static constexpr uint32_t kHighBytes = high_bits > 0 ? kVectorBytes : 0;
  static constexpr uint32_t kHighParts = high_bits == 2 ? 2 : 4;  // that share a vector
  static constexpr uint32_t kTileBytes = kLowBytes + kHighBytes + ScaleBytes(scales);
  static constexpr uint32_t kStageBytes = kTileBytes * kManyRowTiles;

  Codes<low_bits, high_bits, zero, kStageUnits> codes[kWarpRowTiles];
  StageScales<scales> row_scales[kWarpRowTiles];

  // Each warp copies one tile.
  static __device__ __forceinline__ void Begin(const std::byte* matrix, uint32_t rows,
                                               uint32_t columns, uint32_t row_block, uint32_t stage,
                                               std::byte* to) {
    static_assert(kManyRowTiles == kManyWarps);
    constexpr uint32_t kCodeBytes = (low_bits + high_bits) * kChunkUnits / 2 * kWarp * 4;
    const uint32_t chunks = (columns + kChunkColumns - 1) / kChunkColumns;
    const uint32_t last_tile = (rows - 1) / kTileRows;
    const uint32_t warp = threadIdx.x / kWarp;
    const uint32_t offset = threadIdx.x % kWarp * 16;
    const uint32_t part = stage % kParts;
    // Tiles that are not there are not written either; which one is read does not matter.
    uint32_t tile = row_block * kManyRowTiles + warp;
    if (tile > last_tile) tile = last_tile;
    const std::byte* chunk =
        matrix + (size_t{tile} * chunks + stage / kParts) * (kCodeBytes + ScaleBytes(scales));
    to += warp * kTileBytes;
#pragma unroll
    for (uint32_t i = 0; i < kLowBytes; i += kVectorBytes) {
      CopyAsync16(to + i + offset, chunk + part * kLowBytes + i + offset);
    }
    if constexpr (high_bits > 0) {
      CopyAsync16(to + kLowBytes + offset,
                  chunk + kParts * kLowBytes + part / kHighParts * kVectorBytes + offset);
    }
#pragma unroll
    for (uint32_t i = 0; i < ScaleBytes(scales); i += kVectorBytes) {
      if (i + offset < ScaleBytes(scales)) {
        CopyAsync16(to + kLowBytes + kHighBytes + i + offset, chunk + kCodeBytes + i + offset);
      }
    }
  }

  __device__ __forceinline__ void Load(const std::byte* staged, uint32_t first_tile, uint32_t stage,
                                       uint32_t lane) {
    const uint32_t part = stage % kParts;
#pragma unroll
    for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
      const std::byte* from = staged + (first_tile + tile) * kTileBytes;
      codes[tile].LoadStaged(from, part, lane);
      row_scales[tile].Load(from + kLowBytes + kHighBytes, part, lane / 4);
    }
  }

  // Adds a unit's products with the token tiles of the warp.
  template <uint32_t tiles>
  __device__ __forceinline__ void Multiply(uint32_t unit, const std::byte* inputs,
                                           const float* input_sums, uint32_t first_token,
                                           uint32_t lane,
                                           float (&sums)[kWarpRowTiles][tiles][4]) const {
    constexpr uint32_t kTokens = kTokenWarps * tiles * 8;
    constexpr uint32_t kSteps = kScaleColumns / 16;  // of a run
    constexpr uint32_t kUnitRuns = 2 / kSteps;
    uint32_t a[kWarpRowTiles][2][4];
    float scale[kWarpRowTiles][kUnitRuns][2];
    float minimum[kWarpRowTiles][kUnitRuns][2];
#pragma unroll
    for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
      codes[tile].Fragment(unit, 0, a[tile][0]);
      codes[tile].Fragment(unit, 1, a[tile][1]);
#pragma unroll
      for (uint32_t i = 0; i < kUnitRuns * 2; ++i) {
        const uint32_t run = unit * kUnitRuns + i / 2;
        scale[tile][i / 2][i % 2] = row_scales[tile].Scale(i % 2, run);
        if constexpr (kHasMinimum) {
          minimum[tile][i / 2][i % 2] = row_scales[tile].Minimum(i % 2, run);
        }
      }
    }
#pragma unroll
    for (uint32_t i = 0; i < tiles; ++i) {
      UnitInputs b;
      LoadInputs<kScaleColumns>(inputs, first_token + i * 8 + lane / 4, unit, lane, b);
#pragma unroll
      for (uint32_t run = 0; run < kUnitRuns; ++run) {
        Vector<float, 2> added = {};
        if constexpr (kHasMinimum) {
          added = LoadVector<Vector<float, 2>>(input_sums + (unit * kUnitRuns + run) * kTokens +
                                               first_token + i * 8 + lane % 4 * 2);
        }
#pragma unroll
        for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
          float parts[4] = {};
#pragma unroll
          for (uint32_t step = run * kSteps; step < (run + 1) * kSteps; ++step) {
            MultiplyAdd(parts, a[tile][step], b[step]);
          }
#pragma unroll
          for (uint32_t half = 0; half < 2; ++half) {
            AddScaled(sums[tile][i], parts, half, scale[tile][run][half]);
            if constexpr (kHasMinimum) {
              SubtractMinimum(sums[tile][i], added.values, half, minimum[tile][run][half]);
            }
          }
        }
      }
    }
  }
};

template <typename T>
struct FloatMany {
  static_assert(sizeof(T) == 2);
  static constexpr uint32_t kScaleColumns = 32;
  static constexpr bool kHasMinimum = false;
  static constexpr uint32_t kColumns = kFloatColumns<T>;
  static constexpr uint32_t kStageBytes = kManyRows * kRowBytes;

  Words words[kWarpRowTiles][2][kStageUnits][1];  // of rows g and g + 8

  static __device__ __forceinline__ void Begin(const std::byte* matrix, uint32_t rows,
                                               uint32_t columns, uint32_t row_block, uint32_t stage,
                                               std::byte* to) {
    const uint32_t padded = (columns + kUnitColumns - 1) / kUnitColumns * kUnitColumns;
    BeginRows<kManyRows>({matrix, padded * 2, columns, rows - 1}, row_block * kManyRows, stage, to);
  }

  __device__ __forceinline__ void Load(const std::byte* staged, uint32_t first_tile, uint32_t,
                                       uint32_t lane) {
#pragma unroll
    for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t row = (first_tile + tile) * kTileRows + lane / 4 + 8 * half;
#pragma unroll
        for (uint32_t unit = 0; unit < kStageUnits; ++unit) {
          words[tile][half][unit][0] =
              LoadVector<Words>(staged + PiecePlace(row, unit * 4 + lane % 4));
        }
      }
    }
  }

  template <uint32_t tiles>
  __device__ __forceinline__ void Multiply(uint32_t unit, const std::byte* inputs, const float*,
                                           uint32_t first_token, uint32_t lane,
                                           float (&sums)[kWarpRowTiles][tiles][4]) const {
    uint32_t a[kWarpRowTiles][2][kTerms<T>][4];
#pragma unroll
    for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {  // step, half, pair
        const uint32_t half = i / 2 % 2;
        SplitPair<T>(words[tile][half][unit], i / 4 * 2 + i % 2, i % 2 * 2 + half, a[tile][i / 4]);
      }
    }
#pragma unroll
    for (uint32_t i = 0; i < tiles; ++i) {
      UnitInputs b;
      LoadInputs<kScaleColumns>(inputs, first_token + i * 8 + lane / 4, unit, lane, b);
#pragma unroll
      for (uint32_t step = 0; step < 2; ++step) {
#pragma unroll
        for (uint32_t term = 0; term < kTerms<T>; ++term) {
#pragma unroll
          for (uint32_t tile = 0; tile < kWarpRowTiles; ++tile) {
            MultiplyAdd(sums[tile][i], a[tile][step][term], b[step]);
          }
        }
      }
    }
  }
};

// The stages of some parts of the columns (product.cuh), part by part.
template <uint32_t chunk_columns>
struct StageOrder {
  static constexpr uint32_t kChunkStages = chunk_columns / kStageColumns;

  uint32_t stages;  // of the matrix
  uint32_t last_part;
  uint32_t part;
  uint32_t stage;

  __device__ __forceinline__ StageOrder(uint32_t columns, uint32_t first, uint32_t last)
      : stages((columns + kStageColumns - 1) / kStageColumns),
        last_part(last),
        part(first),
        stage(first * kChunkStages) {}

  __device__ __forceinline__ bool more() const { return stage < stages; }

  __device__ __forceinline__ void Advance() {
    if (++stage % kChunkStages == 0) stage += (kColumnParts - 1) * kChunkStages;
    if (stage >= stages && part < last_part) stage = ++part * kChunkStages;
  }
};

// The shared memory of a block: stages of weights and inputs, and what the inputs of two stages add
// up to.
template <typename Weights, uint32_t tiles>
struct ManyShared {
  static constexpr uint32_t kTokens = kTokenWarps * tiles * 8;
  static constexpr uint32_t kStageBytes = Weights::kStageBytes + kTokens * kRowBytes;
  static constexpr uint32_t kRuns = kStageColumns / Weights::kScaleColumns;
  static constexpr uint32_t kSumBytes =
      Weights::kHasMinimum ? 2 * kRuns * kTokens * static_cast<uint32_t>(sizeof(float)) : 0;
  static constexpr uint32_t kFitting =
      (kManySharedMax - kSumBytes - sizeof(ManyBlock)) / kStageBytes;
  // With 5 under way, 4-bit weights have 33 KB, and 23 KB cover a latency of 700 ns.
  static constexpr uint32_t kStages = kFitting < 6 ? kFitting : 6;
  static_assert(kStages >= 3, "sums of inputs look one stage ahead");
  static constexpr uint32_t kBytes = kStages * kStageBytes + kSumBytes + sizeof(ManyBlock);
};

// Adds up the inputs of a stage, run by run: [runs][tokens]. The token tiles go round the warps.
template <typename Weights, uint32_t tiles>
__device__ __forceinline__ void SumInputs(const std::byte* inputs, uint32_t columns, uint32_t stage,
                                          float* input_sums) {
  constexpr uint32_t kTokens = kTokenWarps * tiles * 8;
  constexpr uint32_t kSteps = Weights::kScaleColumns / 16;
  const uint32_t lane = threadIdx.x % kWarp;
// Registers are short, and this is a tenth of the work.
#pragma unroll 1
  for (uint32_t i = 0; i < kTokens / 8 / kManyWarps; ++i) {
    const uint32_t first_token = (i * kManyWarps + threadIdx.x / kWarp) * 8;
#pragma unroll 1
    for (uint32_t unit = 0; unit < kStageUnits; ++unit) {
      if (stage * kStageColumns + unit * kUnitColumns >= columns) break;
      UnitInputs b;
      LoadInputs<Weights::kScaleColumns>(inputs, first_token + lane / 4, unit, lane, b);
#pragma unroll
      for (uint32_t run = 0; run < 2 / kSteps; ++run) {
        float added[4] = {};
#pragma unroll
        for (uint32_t step = run * kSteps; step < (run + 1) * kSteps; ++step) {
          AddInputs(added, b[step]);
        }
        if (lane < 4) {
          StoreVector(input_sums + (unit * 2 / kSteps + run) * kTokens + first_token + lane * 2,
                      Vector<float, 2>{added[0], added[1]});
        }
      }
    }
  }
}

template <uint32_t tiles>
__device__ __forceinline__ void StoreMany(const ManyCall& many, const ProductPlace& product,
                                          const ExpertTile& tokens, uint32_t first_row,
                                          uint32_t first_token, uint32_t lane,
                                          const float (&sums)[kWarpRowTiles][tiles][4]) {
  float* out = product.out;
  size_t stride = product.out_stride;
  uint32_t row_end = product.rows;
  if (many.parts != nullptr) {
    stride = size_t{many.row_blocks} * kManyRows;
    out = many.parts + blockIdx.z * many.call.tokens * stride + product.first_block * kManyRows;
    row_end = UINT32_MAX;  // parts have whole blocks of rows
  }
#pragma unroll
  for (uint32_t i = 0; i < tiles; ++i) {
#pragma unroll
    for (uint32_t j = 0; j < 2; ++j) {
      const uint32_t token = first_token + i * 8 + lane % 4 * 2 + j;
      if (token >= tokens.end) continue;
#pragma unroll
      for (uint32_t k = 0; k < kWarpRowTiles * 2; ++k) {
        const uint32_t row = first_row + k * 8 + lane / 4;
        if (row >= row_end) continue;
        float sum = sums[k / 2][i][k % 2 * 2 + j];
        if (product.bias != nullptr) sum += BiasOf(product, tokens.expert, row);
        out[token * stride + row] = sum;
      }
    }
  }
}

// Grid: [token blocks][row blocks][1, or kColumnParts]. Blocks of neighbouring tokens run at the
// same time and load the same weights: from memory they come once.
template <typename Weights, uint32_t tiles>
__global__ void __launch_bounds__(kManyThreads, 1)
    ManyKernel(const __grid_constant__ ManyCall many) {
  using Shared = ManyShared<Weights, tiles>;
  using Order = StageOrder<Weights::kColumns>;
  constexpr uint32_t kStages = Shared::kStages;
  const ProductCall& call = many.call;
  const ProductPlace& product = FindProduct(call, blockIdx.y);
  const uint32_t row_block = blockIdx.y - product.first_block;
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t warp = threadIdx.x / kWarp;
  const uint32_t first_tile = warp / kTokenWarps * kWarpRowTiles;
  const uint32_t first_token = warp % kTokenWarps * tiles * 8;
  std::byte* shared = DynamicShared();
  auto* input_sums = reinterpret_cast<float*>(shared + kStages * Shared::kStageBytes);
  constexpr uint32_t kSums = Shared::kRuns * Shared::kTokens;  // of a stage
  auto& block = *reinterpret_cast<ManyBlock*>(shared + Shared::kBytes - sizeof(ManyBlock));
  if (threadIdx.x == 0) {
    block.tokens = TokensOf(call, blockIdx.x, Shared::kTokens);
    block.weights = WeightsOf(product, block.tokens.expert);
  }
  __syncthreads();
  if (block.tokens.first >= block.tokens.end) return;

  const uint32_t last_part = many.parts == nullptr ? kColumnParts - 1 : blockIdx.z;
  Order order(call.columns, blockIdx.z, last_part);
  Order ahead = order;  // of the next copy
  const auto begin_copy = [&](uint32_t slot) {
    if (ahead.more()) {
      std::byte* to = shared + slot * Shared::kStageBytes;
      Weights::Begin(block.weights, product.rows, call.columns, row_block, ahead.stage, to);
      const RowsView inputs = {call.x, static_cast<uint32_t>(call.x_stride * sizeof(BF16)),
                               call.columns, block.tokens.end - 1};
      BeginRows<Shared::kTokens>(inputs, block.tokens.first, ahead.stage,
                                 to + Weights::kStageBytes);
      ahead.Advance();
    }
    CommitCopies();
  };
  const auto inputs_of = [&](uint32_t slot) {
    return shared + slot * Shared::kStageBytes + Weights::kStageBytes;
  };
#pragma unroll
  for (uint32_t slot = 0; slot + 1 < kStages; ++slot) begin_copy(slot);

  if constexpr (Weights::kHasMinimum) {
    WaitForCopies<kStages - 2>();
    __syncthreads();
    if (order.more()) {
      SumInputs<Weights, tiles>(inputs_of(0), call.columns, order.stage, input_sums);
    }
  }
  float totals[kWarpRowTiles][tiles][4] = {};  // of the parts so far
  float sums[kWarpRowTiles][tiles][4] = {};    // of this one
  uint32_t slot = 0;
  for (uint32_t parity = 0; order.more(); parity ^= 1u) {
    // Sums of inputs look one stage ahead, so that one barrier per stage is enough.
    WaitForCopies<kStages - 2 - (Weights::kHasMinimum ? 1 : 0)>();
    __syncthreads();
    begin_copy(slot == 0 ? kStages - 1 : slot - 1);  // where the stage before was
    const uint32_t stage = order.stage;
    const uint32_t part = order.part;
    order.Advance();
    const uint32_t next_slot = slot + 1 < kStages ? slot + 1 : 0;
    if constexpr (Weights::kHasMinimum) {
      if (order.more()) {
        SumInputs<Weights, tiles>(inputs_of(next_slot), call.columns, order.stage,
                                  input_sums + (parity ^ 1u) * kSums);
      }
    }
    Weights weights;
    weights.Load(shared + slot * Shared::kStageBytes, first_tile, stage, lane);
#pragma unroll
    for (uint32_t unit = 0; unit < kStageUnits; ++unit) {
      if (stage * kStageColumns + unit * kUnitColumns >= call.columns) break;
      weights.template Multiply<tiles>(unit, inputs_of(slot), input_sums + parity * kSums,
                                       first_token, lane, sums);
    }
    slot = next_slot;
    if (order.more() && order.part == part) continue;
#pragma unroll
    for (uint32_t k = 0; k < kWarpRowTiles; ++k) {
#pragma unroll
      for (uint32_t i = 0; i < tiles; ++i) {
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) {
          totals[k][i][j] = __fadd_rn(totals[k][i][j], sums[k][i][j]);
          sums[k][i][j] = 0;
        }
      }
    }
  }
  WaitForCopies<0>();
  StoreMany<tiles>(many, product, block.tokens, row_block * kManyRows + first_tile * kTileRows,
                   block.tokens.first + first_token, lane, totals);
}

}  // namespace infercept::cuda
