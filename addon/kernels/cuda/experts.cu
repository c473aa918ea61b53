// Which experts a token takes, which places that gives their rows, and the sum of what they
// computed. Everything is decided on the device: a step's kernels are the same whatever is chosen.
//
// Roofline, for n tokens, e experts of which u are used, and w values per token:
//   ChooseExperts  4 e n bytes, u + 1 passes over the scores of a warp's token; latency: 128 scores
//                  and 8 rounds are 5,000 cycles, 3 us, whatever n is
//   AssignPlaces   4 u n bytes per expert, from the second-level cache; latency: 2 us for a decode,
//                  8 us for 2,048 tokens of 8 choices
//   MixRows        4 w (u + 1) bytes per token, 2 u w operations; memory
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/device/vector.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kWarps = kThreads / kWarp;

// A score and whose it is. Larger scores are better, of equal ones the first.
struct Scored {
  float score;
  int32_t expert;
};
__device__ __forceinline__ bool IsBetter(const Scored& a, const Scored& b) {
  return a.score > b.score || (a.score == b.score && a.expert < b.expert);
}
struct Better {
  __device__ __forceinline__ Scored operator()(const Scored& a, const Scored& b) const {
    return IsBetter(b, a) ? b : a;
  }
};

// The best of those that come after `last`, by the whole warp. What is no number comes last.
__device__ __forceinline__ Scored BestAfter(const Scored& last, const ExpertChoice& choice,
                                            const float* scores) {
  Scored best = {-INFINITY, INT32_MAX};
  for (uint32_t e = threadIdx.x % kWarp; e < choice.experts; e += kWarp) {
    const float score = scores[e];
    const Scored one = {score == score ? score : -INFINITY, static_cast<int32_t>(e)};
    if (IsBetter(last, one) && IsBetter(one, best)) best = one;
  }
  return WarpReduce(best, Better());
}

// A warp per token.
__global__ void __launch_bounds__(kThreads) ChooseKernel(ExpertChoice choice, uint32_t tokens) {
  const uint32_t token = blockIdx.x * kWarps + threadIdx.x / kWarp;
  if (token >= tokens) return;
  const uint32_t lane = threadIdx.x % kWarp;
  const float* scores = choice.scores + size_t{token} * choice.experts;
  uint32_t* chosen = choice.chosen + size_t{token} * choice.used;
  float* weights = choice.weights + size_t{token} * choice.used;
  float largest = 0;
  Scored last = {INFINITY, -1};  // better than every score
  for (uint32_t i = 0; i < choice.used; ++i) {
    last = BestAfter(last, choice, scores);
    if (i == 0) largest = last.score;
    if (lane == 0) chosen[i] = static_cast<uint32_t>(last.expert);
  }
  __syncwarp();
  float total = 0;
  const uint32_t terms = choice.normalized ? choice.used : choice.experts;
  for (uint32_t i = lane; i < terms; i += kWarp) {
    total += expf(scores[choice.normalized ? chosen[i] : i] - largest);
  }
  total = WarpReduce(total, Add());
  for (uint32_t i = lane; i < choice.used; i += kWarp) {
    weights[i] = expf(scores[chosen[i]] - largest) / total;
  }
}

struct Assigned {
  uint32_t counts[kThreads];  // of an expert's choices, by the threads up to each
};

// How many of the block's are in the threads before this one.
__device__ __forceinline__ uint32_t CountBefore(uint32_t count) {
  Assigned& assigned = StaticShared<Assigned>();
  const uint32_t thread = threadIdx.x;
  assigned.counts[thread] = count;
  __syncthreads();
  for (uint32_t distance = 1; distance < kThreads; distance *= 2) {
    const uint32_t added = thread >= distance ? assigned.counts[thread - distance] : 0;
    __syncthreads();
    assigned.counts[thread] += added;
    __syncthreads();
  }
  return assigned.counts[thread] - count;
}

struct AssignCall {
  ExpertAssignment assignment;
  uint32_t choices;
  uint32_t used;
  uint32_t tile_tokens;
  bool by_place;
};

// The number of the first tile of an expert whose places begin at `place` (expert_tiles.h).
__device__ __forceinline__ uint32_t FirstTile(const AssignCall& call, uint32_t expert,
                                              uint32_t place) {
  return call.by_place ? place : place / call.tile_tokens + expert;
}

// A block per expert, of which each looks at all choices; a thread has neighbouring ones.
__global__ void __launch_bounds__(kThreads) AssignKernel(AssignCall call) {
  const ExpertAssignment& to = call.assignment;
  const uint32_t expert = blockIdx.x;
  const uint32_t each = (call.choices + kThreads - 1) / kThreads;
  const uint32_t from = threadIdx.x * each;
  const uint32_t until = from + each < call.choices ? from + each : call.choices;
  uint32_t before = 0;  // choices of experts with smaller numbers
  uint32_t own = 0;
  for (uint32_t i = from; i < until; ++i) {
    const uint32_t chosen = to.chosen[i];
    before += chosen < expert;
    own += chosen == expert;
  }
  const uint32_t first = BlockReduce(before, Add());
  uint32_t place = first + CountBefore(own);
  const uint32_t end = first + BlockReduce(own, Add());
  for (uint32_t i = from; i < until && own > 0; ++i) {
    if (to.chosen[i] != expert) continue;
    to.places[i] = place;
    to.rows[place++] = i / call.used;
  }
  const uint32_t first_tile = FirstTile(call, expert, first);
  const uint32_t next_tile = FirstTile(call, expert + 1, end);
  for (uint32_t tile = first_tile + threadIdx.x; tile < next_tile; tile += kThreads) {
    const uint32_t begin = first + (tile - first_tile) * call.tile_tokens;
    const uint32_t tile_end = begin + call.tile_tokens < end ? begin + call.tile_tokens : end;
    to.tiles[tile] = {expert, begin, tile_end};
  }
}

template <uint32_t wide>
__global__ void __launch_bounds__(kThreads) MixKernel(RowMix mix) {
  using V = Vector<float, wide>;
  const uint32_t column = (blockIdx.x * kThreads + threadIdx.x) * wide;
  if (column >= mix.width) return;
  const size_t token = blockIdx.y;
  V sum = {};
  for (uint32_t i = 0; i < mix.used; ++i) {
    const float weight = mix.weights[token * mix.used + i];
    const size_t place = mix.places[token * mix.used + i];
    const V x = LoadVector<V>(mix.x + place * mix.width + column);
#pragma unroll
    for (uint32_t k = 0; k < wide; ++k) sum[k] = __fmaf_rn(weight, x[k], sum[k]);
  }
  StoreVector(mix.out + token * mix.width + column, sum);
}

template <uint32_t wide>
void LaunchMix(const RowMix& mix, uint32_t tokens, Stream stream) {
  const uint32_t blocks = DivCeil(mix.width, kThreads * wide);
  for (uint32_t first = 0; first < tokens; first += kGridRowsMax) {
    RowMix part = mix;
    part.places += size_t{first} * mix.used;
    part.weights += size_t{first} * mix.used;
    part.out += size_t{first} * mix.width;
    Launch(&MixKernel<wide>, dim3{blocks, std::min(tokens - first, kGridRowsMax)}, dim3{kThreads},
           0, stream, part);
  }
}

}  // namespace

void ChooseExperts(const ExpertChoice& choice, uint32_t tokens, Stream stream) {
  if (tokens == 0) return;
  IC_CHECK(choice.used > 0 && choice.used <= choice.experts && choice.experts <= INT32_MAX);
  IC_CHECK(choice.scores != nullptr && choice.chosen != nullptr && choice.weights != nullptr);
  Launch(&ChooseKernel, dim3{DivCeil(tokens, kWarps)}, dim3{kThreads}, 0, stream, choice, tokens);
}

void AssignPlaces(const ExpertAssignment& assignment, const ExpertStep& step, Stream stream) {
  if (step.tokens == 0) return;
  IC_CHECK(step.used > 0 && step.used <= step.experts && step.experts <= kGridColumnsMax);
  IC_CHECK(step.places() / step.used == step.tokens);
  IC_CHECK(assignment.chosen != nullptr && assignment.rows != nullptr &&
           assignment.places != nullptr && assignment.tiles != nullptr);
  const AssignCall call = {assignment, step.places(), step.used, ExpertTileTokens(step),
                           NumbersTilesByPlace(step)};
  Launch(&AssignKernel, dim3{step.experts}, dim3{kThreads}, 0, stream, call);
}

void MixRows(const RowMix& mix, uint32_t tokens, Stream stream) {
  if (tokens == 0 || mix.width == 0) return;
  IC_CHECK(mix.used > 0 && mix.x != nullptr && mix.places != nullptr && mix.weights != nullptr &&
           mix.out != nullptr);
  if (mix.width % 4 == 0 && AllAligned(mix.x, mix.out)) return LaunchMix<4>(mix, tokens, stream);
  LaunchMix<1>(mix, tokens, stream);
}

}  // namespace infercept::cuda
