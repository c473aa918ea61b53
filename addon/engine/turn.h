// How one turn of a sequence is generated: everything that looks at tokens rather than at memory.
// The scheduler never sees it. A turn begins with a submit (or with a resume that carries a new
// one) and ends with Outcome::kFinish; interceptions in between belong to the same turn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"
#include "model/sampling_params.h"
#include "text/trigger.h"

namespace infercept {

struct Turn {
  SamplingParams sampling{};
  std::vector<TokenId> stop_tokens{};
  std::vector<std::string> stop_texts{};  // cut from the output; may span tokens
  std::vector<Trigger> triggers{};
  uint32_t max_tokens = UINT32_MAX;  // sampled tokens in this turn
};

}  // namespace infercept
