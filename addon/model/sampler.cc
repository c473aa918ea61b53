#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "model/logit_row.h"
#include "model/philox.h"

namespace infercept {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The order of candidates: higher logits first, equal ones by id. It is total, so every filter
// keeps a prefix of it and is described by the last candidate it keeps.
struct Better {
  std::span<const float> logits;
  bool operator()(TokenId a, TokenId b) const {
    const float logit_a = logits[static_cast<size_t>(a)];
    const float logit_b = logits[static_cast<size_t>(b)];
    return logit_a > logit_b || (logit_a == logit_b && a < b);
  }
};

void ApplyPenalties(std::span<const TokenId> recent, const SamplingParams& params,
                    SamplerScratch& scratch) {
  for (const TokenId token : recent) ++scratch.occurrences[static_cast<size_t>(token)];
  for (const TokenId token : recent) {
    uint32_t& occurrences = scratch.occurrences[static_cast<size_t>(token)];
    if (occurrences == 0) continue;  // an earlier place in the window was its turn
    float& logit = scratch.logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit -= params.presence_penalty;
    logit -= params.frequency_penalty * static_cast<float>(occurrences);
    occurrences = 0;
  }
}

void AdjustLogits(std::span<const float> logits, const SampleRequest& request,
                  SamplerScratch& scratch) {
  const SamplingParams& params = *request.params;
  std::transform(logits.begin(), logits.end(), scratch.logits.begin(),
                 [](float logit) { return std::isnan(logit) ? kMinusInfinity : logit; });
  ApplyPenalties(request.recent, params, scratch);
  for (const auto& [token, bias] : params.logit_bias) {
    scratch.logits[static_cast<size_t>(token)] += bias;
  }
}

// Logits whose largest one stands for them when the best ones are looked for.
constexpr size_t kGroup = 64;

// A logit that at least `count` others reach: that of the count-th best group, or minus infinity.
float Threshold(std::span<const float> logits, size_t count, std::vector<float>& largest) {
  largest.clear();
  for (size_t i = 0; i < logits.size(); i += kGroup) {
    largest.push_back(LargestLogit(logits.subspan(i, std::min(kGroup, logits.size() - i))));
  }
  if (count > largest.size()) return kMinusInfinity;
  const auto nth = largest.begin() + static_cast<ptrdiff_t>(count) - 1;
  std::nth_element(largest.begin(), nth, largest.end(), std::greater<>());
  return *nth;
}

// In the order of ids.
void FindCandidates(std::span<const float> logits, float threshold,
                    std::vector<TokenId>& candidates) {
  candidates.clear();
  for (size_t begin = 0; begin < logits.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, logits.size());
    if (LargestLogit(logits.subspan(begin, end - begin)) < threshold) continue;
    for (size_t i = begin; i < end; ++i) {
      if (logits[i] >= threshold) candidates.push_back(static_cast<TokenId>(i));
    }
  }
}

// The `count` best candidates, or all, in any order. NaN is none.
void FindBest(std::span<const float> logits, size_t count, SamplerScratch& scratch) {
  std::vector<TokenId>& candidates = scratch.candidates;
  FindCandidates(logits, Threshold(logits, count, scratch.groups), candidates);
  if (count >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(count),
                   candidates.end(), Better{logits});
  candidates.resize(count);
}

// The smallest prefix of the candidates whose weights reach `enough`: returns its last one. A heap
// gives the prefix in order without sorting the rest. Reorders the candidates.
TokenId PrefixEnd(std::span<const float> logits, float largest, double enough,
                  std::vector<TokenId>& candidates) {
  const Better better{logits};
  const auto worse = [&](TokenId a, TokenId b) { return better(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), worse);
  double sum = 0;
  for (auto end = candidates.end();; --end) {
    const TokenId best = candidates.front();
    sum += std::exp(double{logits[static_cast<size_t>(best)]} - largest);
    if (sum >= enough || end - candidates.begin() == 1) return best;
    std::pop_heap(candidates.begin(), end, worse);
  }
}

// top_p of all tokens. Most of the probability lies close to the best one: there first, then
// farther away.
TokenId TopPEnd(float top_p, float largest, SamplerScratch& scratch) {
  const std::span<const float> logits = scratch.logits;
  WeighLogits(logits, largest, kMinusInfinity, scratch.weights);
  const double enough = double{top_p} * SumWeights(scratch.weights);
  // Weights are rounded: a little more than enough is sure to be.
  const double surely = enough * (1 + 1e-4);
  for (float distance = 4; distance < 64; distance *= 2) {
    WeighLogits(logits, largest, largest - distance, scratch.weights);
    if (SumWeights(scratch.weights) < surely) continue;
    FindCandidates(logits, largest - distance, scratch.candidates);
    return PrefixEnd(logits, largest, enough, scratch.candidates);
  }
  FindCandidates(logits, kMinusInfinity, scratch.candidates);
  return PrefixEnd(logits, largest, enough, scratch.candidates);
}

// The last token, in the order of Better, that top_k and top_p keep.
TokenId Cutoff(const SamplingParams& params, float largest, SamplerScratch& scratch) {
  if (params.top_k == 0) return TopPEnd(params.top_p, largest, scratch);
  const std::span<const float> logits = scratch.logits;
  std::vector<TokenId>& candidates = scratch.candidates;
  FindBest(logits, params.top_k, scratch);
  if (params.top_p >= 1) {
    return *std::max_element(candidates.begin(), candidates.end(), Better{logits});
  }
  double total = 0;
  for (const TokenId token : candidates) {
    total += std::exp(double{logits[static_cast<size_t>(token)]} - largest);
  }
  return PrefixEnd(logits, largest, double{params.top_p} * total, candidates);
}

// Draws in proportion to the weights, by walking the ids upwards: which algorithm found the cutoff
// leaves no trace in the result. `best` has a weight.
TokenId Draw(std::span<const float> weights, TokenId best, double uniform) {
  // Whole stretches are passed over at once.
  constexpr size_t kStretch = 1024;
  double total = 0;
  for (size_t i = 0; i < weights.size(); i += kStretch) {
    total += SumWeights(weights.subspan(i, std::min(kStretch, weights.size() - i)));
  }
  double rest = uniform * total;
  size_t last = static_cast<size_t>(best);  // Rounding may leave a rest after the last candidate.
  for (size_t begin = 0; begin < weights.size(); begin += kStretch) {
    const auto stretch = weights.subspan(begin, std::min(kStretch, weights.size() - begin));
    const double sum = SumWeights(stretch);
    if (rest >= sum) {
      rest -= sum;
      continue;
    }
    for (size_t i = 0; i < stretch.size(); ++i) {
      if (stretch[i] == 0) continue;
      if (rest < double{stretch[i]}) return static_cast<TokenId>(begin + i);
      rest -= double{stretch[i]};
      last = begin + i;
    }
  }
  return static_cast<TokenId>(last);
}

TokenId DrawFiltered(const SamplingParams& params, double uniform, SamplerScratch& scratch) {
  for (float& logit : scratch.logits) logit /= params.temperature;
  const std::span<const float> logits = scratch.logits;
  const TokenId best = BestToken(logits);
  const float largest = logits[static_cast<size_t>(best)];
  // Nothing to choose from: all are minus infinity, or some are infinite.
  if (!std::isfinite(largest)) return best;
  float floor = params.min_p > 0 ? largest + std::log(params.min_p) : kMinusInfinity;
  TokenId cutoff = static_cast<TokenId>(logits.size());
  if (params.top_k > 0 || params.top_p < 1) {
    cutoff = Cutoff(params, largest, scratch);
    floor = std::max(floor, logits[static_cast<size_t>(cutoff)]);
  }
  WeighLogits(logits, largest, floor, scratch.weights);
  // Of those that equal the cutoff, later ones are worse.
  for (size_t i = static_cast<size_t>(cutoff) + 1; i < logits.size(); ++i) {
    if (logits[i] == logits[static_cast<size_t>(cutoff)]) scratch.weights[i] = 0;
  }
  return Draw(scratch.weights, best, uniform);
}

// Natural logarithm of the sum of exp(logit). Adds up weights, whose errors are of both signs.
double LogSumExp(std::span<const float> logits, SamplerScratch& scratch) {
  const float largest = LargestLogit(logits);
  if (!std::isfinite(largest)) return largest;
  WeighLogits(logits, largest, kMinusInfinity, scratch.weights);
  return largest + std::log(SumWeights(scratch.weights));
}

void ReportLogprobs(std::span<const float> logits, uint32_t top, SamplerScratch& scratch,
                    SampleResult& result) {
  const double normalizer = LogSumExp(logits, scratch);
  const auto logprob = [&](TokenId token) {
    return static_cast<float>(logits[static_cast<size_t>(token)] - normalizer);
  };
  result.logprob = logprob(result.token);
  result.top.clear();
  if (top == 0) return;
  FindBest(logits, top, scratch);
  std::sort(scratch.candidates.begin(), scratch.candidates.end(), Better{logits});
  for (const TokenId token : scratch.candidates) result.top.push_back({token, logprob(token)});
}

}  // namespace

void SamplerScratch::Reserve(uint32_t vocabulary_size) {
  logits.resize(vocabulary_size);
  weights.resize(vocabulary_size);
  groups.reserve(vocabulary_size / kGroup + 1);
  candidates.reserve(vocabulary_size);
  occurrences.resize(vocabulary_size);
}

bool HasPenalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0;
}

namespace {

// The end of the context that penalties look at, with room for so many tokens to come.
std::span<const TokenId> Recent(std::span<const TokenId> context, const SamplingParams& params,
                                uint32_t to_come) {
  if (!HasPenalties(params) || params.penalty_tokens <= to_come) return {};
  return context.last(std::min<size_t>(context.size(), params.penalty_tokens - to_come));
}

}  // namespace

SampleRequest RequestSample(std::span<const TokenId> context, const SamplingParams& params) {
  return {.params = &params,
          .recent = Recent(context, params, 0),
          .uniform = UniformDraw(params.seed, context.size())};
}

SampleRequest RequestSampleAhead(std::span<const TokenId> context, const SamplingParams& params) {
  return {.params = &params,
          .recent = Recent(context, params, 1),
          .lacks_newest = HasPenalties(params) && params.penalty_tokens > 0,
          .uniform = UniformDraw(params.seed, context.size() + 1)};
}

void Sample(std::span<const float> logits, const SampleRequest& request, SamplerScratch& scratch,
            SampleResult& result) {
  IC_CHECK(!logits.empty() && !request.lacks_newest);
  const SamplingParams& params = *request.params;
  scratch.Reserve(static_cast<uint32_t>(logits.size()));
  const bool greedy = params.temperature <= 0;
  if (greedy && !HasPenalties(params) && params.logit_bias.empty()) {
    result.token = BestToken(logits);
  } else {
    AdjustLogits(logits, request, scratch);
    result.token =
        greedy ? BestToken(scratch.logits) : DrawFiltered(params, request.uniform, scratch);
  }
  result.logprob = 0;
  result.top.clear();
  if (params.logprobs >= 0) {
    ReportLogprobs(logits, static_cast<uint32_t>(params.logprobs), scratch, result);
  }
}

}  // namespace infercept
