// Attention of the 16 queries of a warp over tiles of 32 positions, on tensor cores: scores are
// queries times keys, outputs weights times values, with a running maximum of the scores (online
// softmax: Milakov and Gimelshein 2018). All arithmetic is on pairs of a query and a column, in the
// order of positions: what a query gets depends on no other one. Where the compiler could make one
// rounding of two, intrinsics say which are meant, so that all kernels compute the same bits.
//
// T is BF16 or F16: queries and weights are rounded to it.
#pragma once

#include "kernels/cuda/device/kv_tile.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/vector.cuh"

namespace infercept::cuda {

inline constexpr uint32_t kWarpQueries = 16;

inline constexpr float kLog2E = 1.44269504f;
// Below every score that sensible models give; finite, so that two of them have a difference. The
// largest score of a query that has seen nothing.
inline constexpr float kNoScore = -1e30f;

// From dot products to scores' logarithms to base 2: e^x = 2^(x log2 e), and a power of two costs
// less than one of e.
struct ScoreRule {
  float input_scale;  // of dot products; with a cap, to 2 log2(e) score / cap
  float base2_cap;    // cap * log2(e), or 0: none

  __device__ __forceinline__ float Score(float dot) const {
    const float x = __fmul_rn(dot, input_scale);
    if (base2_cap == 0) return x;
    // cap tanh(y) with tanh(y) = 1 - 2 / (e^2y + 1), which is 1 long before e^2y overflows.
    const float power = PowerOfTwo(x < 64.0f ? x : 64.0f);
    const float rest = __fdividef(2.0f, __fadd_rn(power, 1.0f));
    return __fmul_rn(base2_cap, __fsub_rn(1.0f, rest));
  }
};

// Of a lane's two queries, rows g and g + 8 of a tile.
struct Sight {
  uint32_t begin[2];  // the first position that each sees
  uint32_t end[2];    // after the last; 0 for a query that does not exist
};

// The queries of a warp as fragments of A. Those of more than 128 values are in shared memory
// beyond that, [steps][lanes]: registers are short.
template <uint32_t head_dim>
struct QueryFragments {
  using Fragment = Vector<uint32_t, 4>;
  static constexpr uint32_t kSteps = head_dim / 16;
  static constexpr uint32_t kKeptSteps = kSteps < 8 ? kSteps : 8;
  static constexpr uint32_t kSharedBytes = (kSteps - kKeptSteps) * kWarp * sizeof(Fragment);

  Fragment kept[kKeptSteps];
  Fragment* shared;  // of this lane

  // A row that is null is zeros. Warps with the same queries share `memory`, and one of them
  // `stores`; a barrier follows before any uses it.
  template <typename T>
  __device__ __forceinline__ void Load(const float* const (&rows)[2], std::byte* memory,
                                       bool stores, uint32_t lane) {
    shared = reinterpret_cast<Fragment*>(memory) + lane;
#pragma unroll
    for (uint32_t step = 0; step < kKeptSteps; ++step) {
      kept[step] = LoadStep<T>(rows, step, lane);
    }
    if (!stores) return;
#pragma unroll
    for (uint32_t step = kKeptSteps; step < kSteps; ++step) {
      StoreVector(shared + (step - kKeptSteps) * kWarp, LoadStep<T>(rows, step, lane));
    }
  }

  __device__ __forceinline__ Fragment At(uint32_t step) const {
    if (step < kKeptSteps) return kept[step];
    return LoadVector<Fragment>(shared + (step - kKeptSteps) * kWarp);
  }

 private:
  template <typename T>
  static __device__ __forceinline__ Fragment LoadStep(const float* const (&rows)[2], uint32_t step,
                                                      uint32_t lane) {
    Fragment a;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      Vector<float, 2> pair = {};
      const float* row = rows[i % 2];
      if (row != nullptr) {
        pair = LoadVector<Vector<float, 2>>(row + step * 16 + i / 2 * 8 + lane % 4 * 2);
      }
      a[i] = PackPairOf<T>(pair[0], pair[1]);
    }
    return a;
  }
};

// How much of two states their union has.
struct FoldFactors {
  float largest;
  float own;
  float other;

  __device__ __forceinline__ FoldFactors(float own_largest, float other_largest) {
    largest = own_largest > other_largest ? own_largest : other_largest;
    own = PowerOfTwo(__fsub_rn(own_largest, largest));
    other = PowerOfTwo(__fsub_rn(other_largest, largest));
  }

  __device__ __forceinline__ float Fold(float own_value, float other_value) const {
    return __fmaf_rn(own_value, own, __fmul_rn(other_value, other));
  }
};

// By what weighted sums are to be multiplied; `sink` is a score (to base 2) without a value, or
// -infinity.
__device__ __forceinline__ float OutputFactor(float largest, float total, float sink) {
  const float all = largest > sink ? largest : sink;
  const float own = PowerOfTwo(__fsub_rn(largest, all));
  const float weights = __fmaf_rn(total, own, PowerOfTwo(__fsub_rn(sink, all)));
  return own / weights;
}

// The softmax so far of 16 queries, and `columns` columns of the weighted sums of values, laid out
// as C (mma.cuh).
template <uint32_t columns>
struct AttentionState {
  float values[columns / 8][4];
  float total[2];    // of the weights, of rows g and g + 8
  float largest[2];  // score, likewise

  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (uint32_t i = 0; i < columns / 8; ++i) {
#pragma unroll
      for (uint32_t j = 0; j < 4; ++j) values[i][j] = 0;
    }
    total[0] = total[1] = 0;
    largest[0] = largest[1] = kNoScore;
  }

  __device__ __forceinline__ void Fold(const AttentionState& other) {
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const FoldFactors factors(largest[half], other.largest[half]);
      largest[half] = factors.largest;
      total[half] = factors.Fold(total[half], other.total[half]);
#pragma unroll
      for (uint32_t j = 2 * half; j < 2 * half + 2; ++j) {
#pragma unroll
        for (uint32_t i = 0; i < columns / 8; ++i) {
          values[i][j] = factors.Fold(values[i][j], other.values[i][j]);
        }
      }
    }
  }

  __device__ __forceinline__ void Scale(const float (&factors)[2]) {
    total[0] = __fmul_rn(total[0], factors[0]);
    total[1] = __fmul_rn(total[1], factors[1]);
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
#pragma unroll
      for (uint32_t i = 0; i < columns / 8; ++i) {
        values[i][j] = __fmul_rn(values[i][j], factors[j / 2]);
      }
    }
  }
};

using TileScores = float[kTileTokens / 8][4];

// The row of the lane in a load of two neighbouring fragments of B, at row k and column n of a
// matrix in shared memory.
__device__ __forceinline__ const uint16_t* FragmentRow(const uint16_t* matrix, uint32_t stride,
                                                       uint32_t k, uint32_t n, uint32_t lane) {
  return matrix + (k + lane % 16) * stride + n + lane / 16 * 8;
}

template <typename T, uint32_t head_dim>
__device__ __forceinline__ void MultiplyKeys(const QueryFragments<head_dim>& queries,
                                             const KvTile<head_dim>& tile, uint32_t lane,
                                             TileScores& scores) {
#pragma unroll
  for (uint32_t step = 0; step < head_dim / 16; ++step) {
    const auto query = queries.At(step);
#pragma unroll
    for (uint32_t n = 0; n < kTileTokens / 8; n += 2) {
      uint32_t keys[4];
      LoadMatricesTransposed(
          keys, FragmentRow(tile.keys, KvTile<head_dim>::kKeyStride, step * 16, n * 8, lane));
      MultiplyAddOf<T>(scores[n], query.values, {keys[0], keys[1]});
      MultiplyAddOf<T>(scores[n + 1], query.values, {keys[2], keys[3]});
    }
  }
}

// Turns dot products into scores, -infinity for what a query does not see, and raises the state's
// largest ones; what the state has is scaled accordingly.
template <uint32_t columns>
__device__ __forceinline__ void ScoreTile(const ScoreRule& rule, const Sight& sight, uint32_t start,
                                          uint32_t lane, TileScores& scores,
                                          AttentionState<columns>& state) {
  float largest[2] = {state.largest[0], state.largest[1]};
#pragma unroll
  for (uint32_t n = 0; n < kTileTokens / 8; ++n) {
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t position = start + n * 8 + lane % 4 * 2 + j % 2;
      const bool seen = position >= sight.begin[j / 2] && position < sight.end[j / 2];
      scores[n][j] = seen ? rule.Score(scores[n][j]) : -INFINITY;
      largest[j / 2] = scores[n][j] > largest[j / 2] ? scores[n][j] : largest[j / 2];
    }
  }
  float factors[2];
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
#pragma unroll
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      const float other = __shfl_xor_sync(kAllLanes, largest[half], lanes);
      largest[half] = other > largest[half] ? other : largest[half];
    }
    factors[half] = PowerOfTwo(__fsub_rn(state.largest[half], largest[half]));
    state.largest[half] = largest[half];
  }
  state.Scale(factors);
}

// Adds the tile's values with their weights to the columns from `first_column` on. A column of ones
// adds up the weights, rounded as the values meet them.
template <typename T, uint32_t columns, uint32_t head_dim>
__device__ __forceinline__ void AddValues(const KvTile<head_dim>& tile, const TileScores& scores,
                                          uint32_t first_column, uint32_t lane,
                                          AttentionState<columns>& state) {
  const uint32_t one = PackPairOf<T>(1.0f, 1.0f);
  float total[4] = {state.total[0], state.total[0], state.total[1], state.total[1]};
#pragma unroll
  for (uint32_t step = 0; step < kTileTokens / 16; ++step) {
    uint32_t weights[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const float* pair = scores[2 * step + i / 2] + i % 2 * 2;
      const float largest = state.largest[i % 2];
      weights[i] = PackPairOf<T>(PowerOfTwo(__fsub_rn(pair[0], largest)),
                                 PowerOfTwo(__fsub_rn(pair[1], largest)));
    }
    MultiplyAddOf<T>(total, weights, {one, one});
#pragma unroll
    for (uint32_t n = 0; n < columns / 8; n += 2) {
      uint32_t values[4];
      LoadMatricesTransposed(values, FragmentRow(tile.values, KvTile<head_dim>::kValueStride,
                                                 step * 16, first_column + n * 8, lane));
      MultiplyAddOf<T>(state.values[n], weights, {values[0], values[1]});
      MultiplyAddOf<T>(state.values[n + 1], weights, {values[2], values[3]});
    }
  }
  state.total[0] = total[0];
  state.total[1] = total[2];
}

// One tile, whose first position is `start`. REQUIRES: the whole warp calls.
template <typename T, uint32_t columns, uint32_t head_dim>
__device__ __forceinline__ void AttendTile(const QueryFragments<head_dim>& queries,
                                           const KvTile<head_dim>& tile, uint32_t start,
                                           const ScoreRule& rule, const Sight& sight,
                                           uint32_t first_column, uint32_t lane,
                                           AttentionState<columns>& state) {
  TileScores scores = {};
  MultiplyKeys<T>(queries, tile, lane, scores);
  ScoreTile(rule, sight, start, lane, scores, state);
  AddValues<T>(tile, scores, first_column, lane, state);
}

}  // namespace infercept::cuda
