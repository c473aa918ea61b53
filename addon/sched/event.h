// What the scheduler reports: one value per change of a sequence's state.
#pragma once

#include <cstdint>
#include <variant>

#include "base/types.h"
#include "sched/step_plan.h"

namespace infercept {

struct PauseEvent {
  SeqId seq{};
  PauseReason reason = PauseReason::kTrigger;
  uint32_t context_tokens = 0;  // of the sequence, the one just sampled included
};

// The interception is over and the sequence's first new token is about to be computed or
// recomputed.
struct ResumeEvent {
  SeqId seq{};
  Nanos waited = 0;  // from the pause to the resume
  Nanos delay = 0;  // from the resume to the step in which its returned tokens began to be computed
  uint32_t recomputed_tokens = 0;  // since the pause
  uint32_t swapped_blocks = 0;     // brought back since the pause
};

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

using SchedulerEvent = std::variant<PauseEvent, ResumeEvent, FinishEvent, DecisionEvent>;

}  // namespace infercept
