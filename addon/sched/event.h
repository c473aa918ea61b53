// What the scheduler reports: one value per change of a sequence's state.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "base/types.h"
#include "sched/hindsight.h"
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
  uint32_t given_up_blocks = 0;    // by all decisions
  // The worst that happened to the context while it waited.
  Disposition disposition = Disposition::kPreserve;
  Hindsight hindsight;
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

// How long the interception was expected to go on when it was decided about its context.
struct WaitEstimate {
  enum class Source : uint8_t {
    kAnnounced,  // by the caller
    kLearned,    // from earlier interceptions
    kElapsed,    // from how long it has lasted, as nothing else is known or used
  };
  double elapsed_seconds = 0;
  double expected_seconds = 0;  // from then on; Decision::waste_preserve is computed from it
  Source source = Source::kElapsed;
};
std::string_view SourceName(WaitEstimate::Source source);

// As of the beginning of the step, in blocks.
struct MemoryPressure {
  uint32_t device_free = 0;       // that nobody uses
  uint32_t device_available = 0;  // these, and cached ones that nobody references
  uint32_t shortage = 0;          // StepLoad::shortage_blocks
  uint32_t host_free = 0;
  uint32_t copy_budget = 0;  // StepLoad::swap_out_blocks; UINT32_MAX: copies are waited for
};

// Something else than before was decided about a paused context.
struct DecisionEvent {
  Decision decision;
  WaitEstimate estimate;
  MemoryPressure pressure;
};

using SchedulerEvent = std::variant<PauseEvent, ResumeEvent, FinishEvent, DecisionEvent>;

}  // namespace infercept
