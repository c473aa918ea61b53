#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
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

TokenId Greedy(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best] || std::isnan(logits[best])) best = i;
  }
  return static_cast<TokenId>(best);
}

bool HasPenalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0;
}

void ApplyPenalties(std::span<const TokenId> context, const SamplingParams& params,
                    SamplerScratch& scratch) {
  const size_t window = std::min<size_t>(context.size(), params.penalty_tokens);
  const std::span<const TokenId> recent = context.last(window);
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

void AdjustLogits(std::span<const float> logits, std::span<const TokenId> context,
                  const SamplingParams& params, SamplerScratch& scratch) {
  std::transform(logits.begin(), logits.end(), scratch.logits.begin(),
                 [](float logit) { return std::isnan(logit) ? kMinusInfinity : logit; });
  if (HasPenalties(params)) ApplyPenalties(context, params, scratch);
  for (const auto& [token, bias] : params.logit_bias) {
    scratch.logits[static_cast<size_t>(token)] += bias;
  }
}

// The smallest prefix whose share of all candidates' probability reaches top_p: returns its last
// candidate. A heap gives the prefix in order without sorting the rest. Reorders the candidates.
TokenId TopPCutoff(std::vector<TokenId>& candidates, const Better& better, float largest,
                   float top_p) {
  double total = 0;
  for (const TokenId token : candidates) {
    total += std::exp(double{better.logits[static_cast<size_t>(token)]} - largest);
  }
  const auto worse = [&](TokenId a, TokenId b) { return better(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), worse);
  double sum = 0;
  for (auto end = candidates.end();; --end) {
    const TokenId best = candidates.front();
    sum += std::exp(double{better.logits[static_cast<size_t>(best)]} - largest);
    if (sum >= double{top_p} * total || end - candidates.begin() == 1) return best;
    std::pop_heap(candidates.begin(), end, worse);
  }
}

// The last candidate, in the order of Better, that all filters keep.
TokenId Cutoff(const SamplingParams& params, TokenId best, SamplerScratch& scratch) {
  const Better better{scratch.logits};
  std::vector<TokenId>& candidates = scratch.candidates;
  candidates.resize(scratch.logits.size());
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<TokenId>(i);
  if (params.top_k > 0 && params.top_k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + params.top_k, candidates.end(),
                     better);
    candidates.resize(params.top_k);
  }
  const float largest = scratch.logits[static_cast<size_t>(best)];
  TokenId cutoff = *std::max_element(candidates.begin(), candidates.end(), better);
  if (params.top_p < 1) {
    const TokenId top_p = TopPCutoff(candidates, better, largest, params.top_p);
    if (better(top_p, cutoff)) cutoff = top_p;
  }
  return cutoff;
}

// Draws from the softmax of the logits that are not worse than the cutoff and not below the floor,
// by walking the ids upwards: which algorithm found the cutoff leaves no trace in the result.
TokenId Draw(std::span<const float> logits, TokenId best, const TokenId* cutoff, float floor,
             double uniform) {
  const Better better{logits};
  const float largest = logits[static_cast<size_t>(best)];
  const auto weight = [&](TokenId token) {
    const float logit = logits[static_cast<size_t>(token)];
    if (logit < floor || (cutoff != nullptr && better(*cutoff, token))) return 0.0;
    return std::exp(double{logit} - largest);
  };
  const auto size = static_cast<TokenId>(logits.size());
  double total = 0;
  for (TokenId token = 0; token < size; ++token) total += weight(token);
  double rest = uniform * total;
  TokenId last = best;  // Rounding may leave a rest after the last candidate.
  for (TokenId token = 0; token < size; ++token) {
    const double share = weight(token);
    if (share == 0) continue;
    if (rest < share) return token;
    rest -= share;
    last = token;
  }
  return last;
}

TokenId DrawFiltered(std::span<const TokenId> context, const SamplingParams& params,
                     SamplerScratch& scratch) {
  for (float& logit : scratch.logits) logit /= params.temperature;
  const TokenId best = Greedy(scratch.logits);
  const float largest = scratch.logits[static_cast<size_t>(best)];
  // Nothing to choose from: all are minus infinity, or some are infinite.
  if (!std::isfinite(largest)) return best;
  const float floor = params.min_p > 0 ? largest + std::log(params.min_p) : kMinusInfinity;
  const double uniform = UniformDraw(params.seed, context.size());
  if (params.top_k == 0 && params.top_p >= 1) {
    return Draw(scratch.logits, best, nullptr, floor, uniform);
  }
  const TokenId cutoff = Cutoff(params, best, scratch);
  return Draw(scratch.logits, best, &cutoff, floor, uniform);
}

// Natural logarithm of the sum of exp(logit).
double LogSumExp(std::span<const float> logits) {
  const double largest = logits[static_cast<size_t>(Greedy(logits))];
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) sum += std::exp(logit - largest);
  }
  return largest + std::log(sum);
}

void ReportLogprobs(std::span<const float> logits, uint32_t top, SamplerScratch& scratch,
                    SampleResult& result) {
  const double normalizer = LogSumExp(logits);
  const auto logprob = [&](TokenId token) {
    return static_cast<float>(logits[static_cast<size_t>(token)] - normalizer);
  };
  result.logprob = logprob(result.token);
  result.top.clear();
  std::vector<TokenId>& candidates = scratch.candidates;
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) candidates.push_back(static_cast<TokenId>(i));
  }
  const auto count = static_cast<ptrdiff_t>(std::min<size_t>(top, candidates.size()));
  std::partial_sort(candidates.begin(), candidates.begin() + count, candidates.end(),
                    Better{logits});
  for (ptrdiff_t i = 0; i < count; ++i) {
    const TokenId token = candidates[static_cast<size_t>(i)];
    result.top.push_back({token, logprob(token)});
  }
}

}  // namespace

void SamplerScratch::Reserve(uint32_t vocabulary_size) {
  logits.resize(vocabulary_size);
  candidates.reserve(vocabulary_size);
  occurrences.resize(vocabulary_size);
}

void Sample(std::span<const float> logits, std::span<const TokenId> context,
            const SamplingParams& params, SamplerScratch& scratch, SampleResult& result) {
  IC_CHECK(!logits.empty());
  scratch.Reserve(static_cast<uint32_t>(logits.size()));
  const bool greedy = params.temperature <= 0;
  if (greedy && !HasPenalties(params) && params.logit_bias.empty()) {
    result.token = Greedy(logits);
  } else {
    AdjustLogits(logits, context, params, scratch);
    result.token = greedy ? Greedy(scratch.logits) : DrawFiltered(context, params, scratch);
  }
  result.logprob = 0;
  result.top.clear();
  if (params.logprobs >= 0) {
    ReportLogprobs(logits, static_cast<uint32_t>(params.logprobs), scratch, result);
  }
}

}  // namespace infercept
