// How the next token is chosen from logits. Filters apply in this order: penalties, logit bias,
// temperature, top-k, top-p, min-p.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/types.h"

namespace infercept {

struct SamplingParams {
  float temperature = 0;  // 0: greedy
  uint32_t top_k = 0;     // 0: off
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  // 1: off. Divides positive logits, multiplies negative ones (Keskar et al. 2019).
  float repetition_penalty = 1;
  float presence_penalty = 0;     // subtracted once from tokens that occurred
  float frequency_penalty = 0;    // subtracted per occurrence
  uint32_t penalty_tokens = 256;  // of the context, counted from its end, that penalties look at
  std::vector<std::pair<TokenId, float>> logit_bias{};  // added to logits; no token twice
  uint64_t seed = 0;      // draw i of the sequence depends on (seed, position) alone
  int32_t logprobs = -1;  // -1: none; 0: of the sampled token; n: and the n most probable ones
};

struct TokenLogprob {
  TokenId token = 0;
  // Natural logarithm, of the model's own distribution: before penalties, bias and temperature.
  float logprob = 0;
};

}  // namespace infercept
