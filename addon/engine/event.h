// What the engine tells the world. One batch per step.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "model/sampling_params.h"
#include "sched/step_plan.h"

namespace infercept {

// One sampled token of a sequence.
struct TokenEvent {
  SeqId seq{};
  TokenId token = 0;
  std::string text;  // UTF-8 that became final with this token: whole characters only, stop texts held back and cut
  float logprob = 0;                  // if asked for
  std::vector<TokenLogprob> top;      // most probable first, if asked for
};

// A trigger completed. `text` is what stands between trigger and until (or the trigger itself).
struct MatchEvent {
  SeqId seq{};
  uint32_t trigger = 0;  // index in Turn::triggers
  std::string text;
};

enum class PauseReason : uint8_t { kTrigger, kCode, kPreviousMatch };
struct PauseEvent {
  SeqId seq{};
  PauseReason reason = PauseReason::kTrigger;
  uint32_t context_tokens = 0;  // of the sequence, the one just sampled included
};

// The interception is over and the sequence's first new token is about to be computed or recomputed.
struct ResumeEvent {
  SeqId seq{};
  Nanos waited = 0;               // from the pause to the resume
  Nanos delay = 0;                // from the resume to the step in which its returned tokens began to be computed
  uint32_t recomputed_tokens = 0;  // since the pause
  uint32_t swapped_blocks = 0;     // brought back since the pause
};

enum class FinishReason : uint8_t { kStopToken, kStopText, kLength, kContextLength, kAborted };
struct FinishEvent {
  SeqId seq{};
  FinishReason reason = FinishReason::kStopToken;
  uint32_t context_tokens = 0;
  uint32_t prompt_tokens = 0;     // of this turn: prompt and returned tokens
  uint32_t generated_tokens = 0;  // of this turn
  uint32_t cached_tokens = 0;     // of this turn's prompt that were found in the prefix cache
  Nanos queued = 0;               // arrival to first computation
  Nanos first_token = 0;          // arrival to first sampled token (TTFT)
  Nanos total = 0;                // arrival to finish
  Nanos intercepted = 0;          // of which the sequence was paused
};

struct DecisionEvent {
  Decision decision;
};

// The sequence cannot go on; its blocks are free.
struct FailureEvent {
  SeqId seq{};
  Status status;
};

using Event = std::variant<TokenEvent, MatchEvent, PauseEvent, ResumeEvent, FinishEvent,
                           DecisionEvent, FailureEvent>;

}  // namespace infercept
