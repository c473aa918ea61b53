// The next token of each row of logits, as model/sampler.h defines it: one block of threads per
// row, a few passes over the row, nothing sorted. Every sum is added up in the same order whatever
// else is in the step.
//
// Roofline, per row of v logits: 4 v bytes per pass (8 v and 4 v written in the first one if logits
// are adjusted); 2 passes for the best token and a free draw, 6 with top-k or top-p, all but the
// first from the second-level cache. One multiprocessor takes at most 64 bytes per cycle from it: 5
// us per pass for 128,256 logits. A step has one row per sequence, so rows run side by side. The
// most probable tokens take a pass, and one thread's share of a pass for each.
//
// top-k and top-p keep a prefix of the order (higher logits first, equal ones by id), which ends at
// a cutoff: the largest logit such that enough lies above it or equals it. It is found by three
// bounds at a time, among few candidates close to the best logit where these are enough (nearly
// always), else among all.
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/cuda/device/reduce.cuh"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shapes.h"

namespace infercept::cuda {
namespace {

// With 1,024 a thread would have 64 registers, which are too few.
constexpr uint32_t kThreads = 512;
constexpr uint32_t kWarps = kThreads / kWarp;
// Logits that the cutoff is looked for among. Distributions of language models have a few hundred
// tokens within e^-8 of the best one.
constexpr uint32_t kCandidatesMax = 4096;

__device__ __forceinline__ float MinusInfinity() { return __uint_as_float(0xFF800000u); }

// Orders as the floats do; no NaN.
__device__ __forceinline__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(value);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float ValueOfKey(uint32_t key) {
  return __uint_as_float(key >> 31 != 0 ? key & 0x7FFFFFFFu : ~key);
}

// Logits of one row, divided by the temperature.
struct Row {
  const float* logits;
  uint32_t count;
  float temperature;

  __device__ __forceinline__ float operator[](uint32_t i) const {
    const float logit = logits[i];
    // Plus zero: of the two zeros, one key is enough.
    return logit == logit ? logit / temperature + 0.0f : MinusInfinity();
  }
};

struct SampleShared {
  float candidates[kCandidatesMax];
  uint32_t counts[kWarps];
  double sums[kWarps];
  uint32_t ties[kWarps];
};

// ---- Adjusting: mask, bias, penalties ----

__device__ __forceinline__ bool Allowed(const uint32_t* mask, uint32_t i) {
  return mask == nullptr || (mask[i / 32] >> (i % 32) & 1u) != 0;
}

__device__ __forceinline__ void Penalize(const SampleRow& row, const SampleCall& call,
                                         float* logits) {
  const TokenId* recent = call.recent + row.recent_first;
  for (uint32_t i = threadIdx.x; i < row.recent_count; i += kThreads) {
    uint32_t occurrences = 0;
    bool first = true;
    for (uint32_t j = 0; j < row.recent_count; ++j) {
      if (recent[j] != recent[i]) continue;
      ++occurrences;
      first = first && j >= i;
    }
    if (!first) continue;
    float& logit = logits[recent[i]];
    logit = logit > 0 ? logit / row.repetition_penalty : logit * row.repetition_penalty;
    logit -= row.presence_penalty;
    logit -= __fmul_rn(row.frequency_penalty, static_cast<float>(occurrences));
  }
}

// A copy of the row with everything that changes single logits.
__device__ __forceinline__ void Adjust(const SampleRow& row, const SampleCall& call,
                                       const float* logits, float* adjusted) {
  for (uint32_t i = threadIdx.x; i < call.vocabulary; i += kThreads) {
    const float logit = logits[i];
    adjusted[i] = logit == logit ? logit : MinusInfinity();
  }
  __syncthreads();
  Penalize(row, call, adjusted);
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < row.bias_count; i += kThreads) {
    const TokenBias bias = call.biases[row.bias_first + i];
    adjusted[bias.token] += bias.bias;
  }
  __syncthreads();
  if (row.mask == nullptr) return;
  for (uint32_t i = threadIdx.x; i < call.vocabulary; i += kThreads) {
    if (!Allowed(row.mask, i)) adjusted[i] = MinusInfinity();
  }
  __syncthreads();
}

// ---- The best token ----

// The first of the largest ones.
__device__ __forceinline__ TokenId BestToken(const Row& row) {
  uint64_t best = 0;
  for (uint32_t i = threadIdx.x; i < row.count; i += kThreads) {
    const uint64_t key = uint64_t{KeyOf(row[i])} << 32 | (0xFFFFFFFFu - i);
    best = best > key ? best : key;
  }
  best = BlockReduce(best, Larger());
  return static_cast<TokenId>(0xFFFFFFFFu - static_cast<uint32_t>(best));
}

// ---- The cutoff ----

// What each logit counts for: top-k counts heads, top-p weights relative to the best one.
struct Heads {
  __device__ __forceinline__ float operator()(float) const { return 1.0f; }
};
struct Weights {
  float largest;
  __device__ __forceinline__ float operator()(float logit) const { return __expf(logit - largest); }
};

// A thread adds up few values, in float; all threads together in double.
struct Sums {
  double of[3];

  __device__ __forceinline__ Sums operator+(const Sums& other) const {
    return {{of[0] + other.of[0], of[1] + other.of[1], of[2] + other.of[2]}};
  }
};

// Of what is at least the bound.
template <typename Values, typename Measure>
__device__ __forceinline__ double SumFrom(const Values& values, uint32_t count, float bound,
                                          const Measure& measure) {
  float sum = 0;
  for (uint32_t i = threadIdx.x; i < count; i += kThreads) {
    const float value = values[i];
    if (value >= bound) sum += measure(value);
  }
  return BlockReduce(double{sum}, Add());
}

// The largest key whose sum, with those above it, reaches enough; 0 if none does. Two bits of it in
// each pass.
template <typename Values, typename Measure>
__device__ __forceinline__ uint32_t SearchKey(const Values& values, uint32_t count, float floor,
                                              double enough, const Measure& measure) {
  uint32_t found = 0;
  for (int shift = 30; shift >= 0; shift -= 2) {
    float sums[3] = {};
    for (uint32_t i = threadIdx.x; i < count; i += kThreads) {
      const float value = values[i];
      if (!(value >= floor)) continue;
      const uint32_t key = KeyOf(value);
      if (key < found) continue;
      const float weight = measure(value);
      const uint32_t digit = (key - found) >> shift;
#pragma unroll
      for (uint32_t j = 0; j < 3; ++j) {
        if (digit > j) sums[j] += weight;
      }
    }
    const Sums total =
        BlockReduce(Sums{{double{sums[0]}, double{sums[1]}, double{sums[2]}}}, Add());
    uint32_t digit = 0;
#pragma unroll
    for (uint32_t j = 0; j < 3; ++j) {
      if (total.of[j] >= enough) digit = j + 1;
    }
    found += digit << shift;
  }
  return found;
}

// Each warp has a stretch of neighbouring ids: walking warps and lanes in order is walking ids.
struct Stretch {
  uint32_t begin;
  uint32_t end;
};
__device__ __forceinline__ Stretch StretchOf(uint32_t warp, uint32_t count) {
  const uint32_t length = (count + kThreads - 1) / kThreads * kWarp;
  const uint32_t begin = warp * length < count ? warp * length : count;
  return {begin, begin + length < count ? begin + length : count};
}

// Logits that reach the bound, in the order of ids; returns how many there are. More than fit are
// not stored.
__device__ __forceinline__ uint32_t Gather(const Row& row, float bound, SampleShared& shared) {
  const uint32_t warp = threadIdx.x / kWarp;
  const uint32_t lane = threadIdx.x % kWarp;
  const Stretch stretch = StretchOf(warp, row.count);
  uint32_t found = 0;
  for (uint32_t i = stretch.begin; i < stretch.end; i += kWarp) {
    found += static_cast<uint32_t>(
        __popc(__ballot_sync(kAllLanes, i + lane < stretch.end && row[i + lane] >= bound)));
  }
  if (lane == 0) shared.counts[warp] = found;
  __syncthreads();
  uint32_t place = 0;
  uint32_t total = 0;
  for (uint32_t w = 0; w < kWarps; ++w) {
    if (w < warp) place += shared.counts[w];
    total += shared.counts[w];
  }
  if (total <= kCandidatesMax) {
    for (uint32_t i = stretch.begin; i < stretch.end; i += kWarp) {
      const bool reaches = i + lane < stretch.end && row[i + lane] >= bound;
      const uint32_t reaching = __ballot_sync(kAllLanes, reaches);
      const auto before = static_cast<uint32_t>(__popc(reaching & ((1u << lane) - 1)));
      if (reaches) shared.candidates[place + before] = row[i + lane];
      place += static_cast<uint32_t>(__popc(reaching));
    }
  }
  __syncthreads();
  return total;
}

// A prefix of the order: everything above the logit, and the first `ties` of those that equal it.
struct Cutoff {
  float logit;
  uint32_t ties;
};

// The smallest prefix whose measures reach `enough`, of what is at least `floor`.
template <typename Measure>
__device__ __forceinline__ Cutoff FindCutoff(const Row& row, float largest, float floor,
                                             double enough, const Measure& measure,
                                             SampleShared& shared) {
  // Sums of few and of all are rounded differently: a little more than enough is sure to be.
  const double surely = enough * 1.0001;
  float bound = floor;
  for (float distance = 4; distance < 64; distance *= 2) {
    if (!(largest - distance > floor)) break;
    if (SumFrom(row, row.count, largest - distance, measure) >= surely) {
      bound = largest - distance;
      break;
    }
  }
  const uint32_t count = Gather(row, bound, shared);
  const bool few = count <= kCandidatesMax;
  const float* candidates = shared.candidates;
  const uint32_t key = few ? SearchKey(candidates, count, bound, enough, measure)
                           : SearchKey(row, row.count, bound, enough, measure);
  // Rounding may leave nothing that reaches enough: then all of it is kept.
  const float logit = key == 0 ? bound : ValueOfKey(key);
  const float above_bound = ValueOfKey(KeyOf(logit) + 1);
  const double above = few ? SumFrom(candidates, count, above_bound, measure)
                           : SumFrom(row, row.count, above_bound, measure);
  const double each = double{measure(logit)};
  const double ties = each > 0 ? ceil((enough - above) / each) : 0.0;
  return {logit, ties < 1 ? 1u : ties < 4e9 ? static_cast<uint32_t>(ties) : 0xFFFFFFFFu};
}

// ---- The draw ----

// The weight that lane `lane` has for id i + lane, and whether it equals the cutoff.
struct Chance {
  float weight;
  bool tie;
};
__device__ __forceinline__ Chance ChanceOf(const Row& row, uint32_t i, uint32_t end, float largest,
                                           const Cutoff& cutoff, float floor) {
  if (i >= end) return {0, false};
  const float logit = row[i];
  if (!(logit >= cutoff.logit) || !(logit >= floor)) return {0, false};
  return {__expf(logit - largest), logit == cutoff.logit};
}

// Walks the stretch of one warp. Ties beyond those that are left count for nothing. Returns the
// sum; `found` becomes the first id at which the sum exceeds `rest`, `last` the last one that
// counts.
struct Walk {
  double sum;
  uint32_t found;
  uint32_t last;
};
__device__ __forceinline__ Walk WalkStretch(const Row& row, const Stretch& stretch, float largest,
                                            const Cutoff& cutoff, float floor, uint32_t ties_left,
                                            double rest) {
  const uint32_t lane = threadIdx.x % kWarp;
  Walk walk = {0, 0xFFFFFFFFu, 0xFFFFFFFFu};
  for (uint32_t i = stretch.begin; i < stretch.end; i += kWarp) {
    Chance chance = ChanceOf(row, i + lane, stretch.end, largest, cutoff, floor);
    const uint32_t tied = __ballot_sync(kAllLanes, chance.tie);
    if (tied != 0) {
      const auto before = static_cast<uint32_t>(__popc(tied & ((1u << lane) - 1)));
      if (chance.tie && before >= ties_left) chance.weight = 0;
      const auto taken = static_cast<uint32_t>(__popc(tied));
      ties_left -= taken < ties_left ? taken : ties_left;
    }
    float prefix = chance.weight;
#pragma unroll
    for (uint32_t distance = 1; distance < kWarp; distance *= 2) {
      const float below = __shfl_up_sync(kAllLanes, prefix, distance);
      if (lane >= distance) prefix += below;
    }
    const uint32_t counting = __ballot_sync(kAllLanes, chance.weight > 0);
    const uint32_t exceeding =
        __ballot_sync(kAllLanes, chance.weight > 0 && walk.sum + prefix > rest);
    if (walk.found == 0xFFFFFFFFu && exceeding != 0) {
      walk.found = i + static_cast<uint32_t>(__ffs(static_cast<int>(exceeding))) - 1;
    }
    if (counting != 0)
      walk.last = i + 31 - static_cast<uint32_t>(__clz(static_cast<int>(counting)));
    walk.sum += __shfl_sync(kAllLanes, prefix, kWarp - 1);
  }
  return walk;
}

// Draws in proportion to the weights, by walking the ids upwards.
__device__ __forceinline__ TokenId Draw(const Row& row, TokenId best, float largest,
                                        const Cutoff& cutoff, float floor, double uniform,
                                        SampleShared& shared) {
  const uint32_t warp = threadIdx.x / kWarp;
  const bool first_lane = threadIdx.x % kWarp == 0;
  const Stretch stretch = StretchOf(warp, row.count);
  // Ties first: how many belong to the warps before.
  uint32_t ties = 0;
  for (uint32_t i = stretch.begin; i < stretch.end; i += kWarp) {
    const uint32_t id = i + threadIdx.x % kWarp;
    ties += static_cast<uint32_t>(
        __popc(__ballot_sync(kAllLanes, id < stretch.end && row[id] == cutoff.logit)));
  }
  if (first_lane) shared.ties[warp] = ties;
  __syncthreads();
  uint32_t ties_left = cutoff.ties;
  for (uint32_t w = 0; w < warp; ++w) {
    ties_left -= shared.ties[w] < ties_left ? shared.ties[w] : ties_left;
  }
  const double sum = WalkStretch(row, stretch, largest, cutoff, floor, ties_left, 0).sum;
  if (first_lane) shared.sums[warp] = sum;
  __syncthreads();
  double total = 0;
  for (uint32_t w = 0; w < kWarps; ++w) total += shared.sums[w];
  double rest = uniform * total;
  uint32_t chosen = 0;
  while (chosen < kWarps - 1 && rest >= shared.sums[chosen]) rest -= shared.sums[chosen++];
  // Rounding may leave a rest after the last one that counts.
  while (chosen > 0 && !(shared.sums[chosen] > 0)) --chosen;
  uint32_t token = static_cast<uint32_t>(best);
  if (warp == chosen) {
    const Walk walk = WalkStretch(row, stretch, largest, cutoff, floor, ties_left, rest);
    if (walk.found != 0xFFFFFFFFu) {
      token = walk.found;
    } else if (walk.last != 0xFFFFFFFFu) {
      token = walk.last;
    }
    if (first_lane) shared.counts[0] = token;
  }
  __syncthreads();
  return static_cast<TokenId>(shared.counts[0]);
}

__device__ __forceinline__ TokenId DrawFiltered(const SampleRow& sample, const Row& row,
                                                SampleShared& shared) {
  const TokenId best = BestToken(row);
  const float largest = row[static_cast<uint32_t>(best)];
  // Nothing to choose from: all are minus infinity, or some are infinite.
  if (!(fabsf(largest) < __uint_as_float(0x7F800000u))) return best;
  Cutoff cutoff = {MinusInfinity(), 0xFFFFFFFFu};
  if (sample.top_k > 0 && sample.top_k < row.count) {
    cutoff = FindCutoff(row, largest, MinusInfinity(), static_cast<double>(sample.top_k), Heads(),
                        shared);
  }
  if (sample.top_p < 1) {
    const Weights weights{largest};
    // Of what top-k keeps: of the ties at its end only some.
    const double above = SumFrom(row, row.count, ValueOfKey(KeyOf(cutoff.logit) + 1), weights);
    const double total = above + double{weights(cutoff.logit)} * cutoff.ties;
    const Cutoff kept =
        FindCutoff(row, largest, cutoff.logit, double{sample.top_p} * total, weights, shared);
    if (kept.logit > cutoff.logit || kept.ties < cutoff.ties) cutoff = kept;
  }
  const float floor = sample.min_p > 0 ? largest + logf(sample.min_p) : MinusInfinity();
  return Draw(row, best, largest, cutoff, floor, sample.uniform, shared);
}

// ---- The kernel ----

// Log probabilities of the model's own distribution: before penalties, bias, mask and temperature.
struct Logprobs {
  float largest;
  float log_sum;

  __device__ __forceinline__ float operator()(float logit) const {
    return logit - largest - log_sum;
  }
};
__device__ __forceinline__ Logprobs LogprobsOf(const Row& row) {
  const float largest = row[static_cast<uint32_t>(BestToken(row))];
  const double sum = SumFrom(row, row.count, MinusInfinity(), Weights{largest});
  return {largest, logf(static_cast<float>(sum))};
}

// The best of this thread's tokens that come after `before`, in the order of BestToken; 0: none.
__device__ __forceinline__ uint64_t BestAfter(const Row& row, uint64_t before) {
  uint64_t best = 0;
  for (uint32_t i = threadIdx.x; i < row.count; i += kThreads) {
    const float logit = row.logits[i];
    if (logit != logit) continue;
    const uint64_t key = uint64_t{KeyOf(row[i])} << 32 | (0xFFFFFFFFu - i);
    if (key < before && key > best) best = key;
  }
  return best;
}

// The most probable tokens, one after the other: whose thread gave the last one looks for its next.
__device__ __forceinline__ void WriteTop(const Row& row, const Logprobs& logprobs, uint32_t count,
                                         RowSample* top) {
  uint64_t own = BestAfter(row, ~uint64_t{0});
  for (uint32_t k = 0; k < count; ++k) {
    const uint64_t best = BlockReduce(own, Larger());
    if (threadIdx.x == 0) {
      const auto token = static_cast<TokenId>(0xFFFFFFFFu - static_cast<uint32_t>(best));
      const float logit = ValueOfKey(static_cast<uint32_t>(best >> 32));
      top[k] = best == 0 ? RowSample{-1, 0} : RowSample{token, logprobs(logit)};
    }
    if (own == best && best != 0) own = BestAfter(row, best);
  }
}

__global__ void __launch_bounds__(kThreads, 1)
    SampleKernel(const __grid_constant__ SampleCall call) {
  const SampleRow& sample = call.rows[blockIdx.x];
  const float* logits = call.logits + blockIdx.x * call.logits_stride;
  Row row = {logits, call.vocabulary, 1.0f};
  if (sample.recent_count > 0 || sample.bias_count > 0 || sample.mask != nullptr) {
    float* adjusted = call.adjusted + size_t{blockIdx.x} * call.vocabulary;
    Adjust(sample, call, logits, adjusted);
    row.logits = adjusted;
  }
  TokenId token;
  if (sample.temperature > 0) {
    row.temperature = sample.temperature;
    token = DrawFiltered(sample, row, StaticShared<SampleShared>());
  } else {
    token = BestToken(row);
  }
  float logprob = 0;
  if (sample.wants_logprob) {
    const Row own = {logits, call.vocabulary, 1.0f};
    const Logprobs logprobs = LogprobsOf(own);
    logprob = logprobs(own[static_cast<uint32_t>(token)]);
    WriteTop(own, logprobs, sample.top_count, call.top + sample.top_first);
  }
  if (threadIdx.x == 0) call.results[blockIdx.x] = {token, logprob};
}

constexpr uint32_t kPickThreads = 256;

__global__ void __launch_bounds__(kPickThreads)
    PickTokensKernel(const TokenPick* picks, uint32_t count, const RowSample* samples,
                     TokenId* target) {
  const uint32_t i = blockIdx.x * kPickThreads + threadIdx.x;
  if (i < count) target[picks[i].target] = samples[picks[i].sample].token;
}

}  // namespace

void Sample(const SampleCall& call, uint32_t rows, Stream stream) {
  IC_CHECK(call.vocabulary > 0 && call.vocabulary <= 0x7FFFFFFFu);
  IC_CHECK(call.logits_stride >= call.vocabulary);
  if (rows == 0) return;
  IC_CHECK(call.logits != nullptr && call.rows != nullptr && call.results != nullptr);
  IC_CHECK(call.adjusted != nullptr);
  Launch(&SampleKernel, dim3{rows}, dim3{kThreads}, 0, stream, call);
}

void PickTokens(const TokenPick* picks, uint32_t count, const RowSample* samples, TokenId* target,
                Stream stream) {
  if (count == 0) return;
  IC_CHECK(picks != nullptr && samples != nullptr && target != nullptr);
  Launch(&PickTokensKernel, dim3{DivCeil(count, kPickThreads)}, dim3{kPickThreads}, 0, stream,
         picks, count, samples, target);
}

}  // namespace infercept::cuda
