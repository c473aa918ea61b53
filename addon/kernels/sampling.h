// How tokens are chosen where logits lie on a device: what each row asks for, what it gets, and how
// tokens that only the device knows get into the arrays of the next step. Plain data, the same for
// the host and for kernels.
#pragma once

#include <cstdint>
#include <span>

#include "base/types.h"

namespace infercept {

struct TokenBias {
  TokenId token = 0;
  float bias = 0;
};

// How one row's token is chosen (model/sampling_params.h).
struct SampleRow {
  float temperature = 0;  // 0: the best token
  uint32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint32_t recent_first = 0;  // in the list of recent tokens: what penalties look at
  uint32_t recent_count = 0;
  uint32_t bias_first = 0;  // in the list of biases; no token twice
  uint32_t bias_count = 0;
  uint32_t top_first = 0;  // in the list of the most probable tokens: where this row's go
  uint32_t top_count = 0;  // 0 unless wants_logprob
  bool wants_logprob = false;
  double uniform = 0;              // the row's draw from [0, 1)
  const uint32_t* mask = nullptr;  // [DivCeil(vocabulary, 32)] bit i: token i may follow; null: all
};

// A token that was chosen, or one of the most probable ones.
struct RowSample {
  TokenId token = 0;  // -1: there are no more (NaN is no probability)
  float logprob = 0;  // 0 unless wanted; of the model's own distribution
};

// Of one call; all of it in memory of the device.
struct SampleRows {
  const float* logits = nullptr;      // [rows][vocabulary]
  std::span<const SampleRow> rows;    // of this call
  std::span<const TokenId> recent;    // of these rows and others; each below vocabulary
  std::span<const TokenBias> biases;  // likewise
  float* adjusted = nullptr;          // [rows][vocabulary], scratch
  RowSample* results = nullptr;       // [rows]
  std::span<RowSample> top;           // of these rows and others, most probable first
};

// A token that goes from the samples of one step into an array of the next one.
struct TokenPick {
  uint32_t target = 0;  // index in the array
  uint32_t sample = 0;  // index in the samples
};

// Picks, and where from; all of it in memory of the device.
struct TokenPicks {
  std::span<const TokenPick> picks;
  std::span<const RowSample> samples;
};

}  // namespace infercept
