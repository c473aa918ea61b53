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

// What one token is sampled by, logits aside.
struct SampleRequest {
  const SamplingParams* params = nullptr;
  std::span<const TokenId> recent;  // what penalties look at; none, if there are no penalties
  bool lacks_newest = false;        // the last of them is not known yet, and missing
  double uniform = 0;               // the draw from [0, 1)
};

// Of a sequence's next token. `context`: all of its tokens so far; the penalties look at the last
// params.penalty_tokens of them. The draw depends on (params.seed, context.size()).
SampleRequest RequestSample(std::span<const TokenId> context, const SamplingParams& params);
// The same where the context goes on with a token that is not known yet.
SampleRequest RequestSampleAhead(std::span<const TokenId> context, const SamplingParams& params);

// Whether penalties change anything.
bool HasPenalties(const SamplingParams& params);

// Equal logits: the smallest id wins. NaN counts as minus infinity. REQUIRES: logits is not empty;
// ids in request.recent, which lacks nothing, and logit_bias are below logits.size().
void Sample(std::span<const float> logits, const SampleRequest& request, SamplerScratch& scratch,
            SampleResult& result);

}  // namespace infercept
