// Chooses the next token from one row of logits. Pure: the same logits, window, parameters and
// position give the same token. Time is O(vocabulary); nothing is sorted as a whole.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"
#include "model/sampling_params.h"

namespace infercept {

// Working memory of one thread. Filled on first use, then reused.
struct SamplerScratch {
  std::vector<float> logits;          // [vocabulary] after penalties, bias and temperature
  std::vector<float> weights;         // [vocabulary] not normalized
  std::vector<float> groups;          // the largest logit of each few neighbours
  std::vector<TokenId> candidates;    // [<= vocabulary]
  std::vector<uint32_t> occurrences;  // [vocabulary] all zero between calls

  // Sizes everything for a vocabulary, so that Sample does not allocate.
  void Reserve(uint32_t vocabulary_size);
};

struct SampleResult {
  TokenId token = 0;
  float logprob = 0;              // 0 unless params.logprobs >= 0
  std::vector<TokenLogprob> top;  // params.logprobs of them, most probable first; equal ones by id
};

// `context`: all tokens of the sequence so far; the penalties look at the last
// params.penalty_tokens of them. The draw depends on (params.seed, context.size()). Equal logits:
// the smallest id wins. NaN counts as minus infinity. REQUIRES: logits is not empty; ids in context
// and logit_bias are below logits.size().
void Sample(std::span<const float> logits, std::span<const TokenId> context,
            const SamplingParams& params, SamplerScratch& scratch, SampleResult& result);

}  // namespace infercept
