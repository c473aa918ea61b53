// What the engine tells the world: what the scheduler reports (sched/event.h) and what the
// generated tokens say. One batch per step, in the order in which things happened.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "model/sampling_params.h"
#include "sched/event.h"

namespace infercept {

// One sampled token of a sequence.
struct TokenEvent {
  SeqId seq{};
  TokenId token = 0;
  std::string text;   // UTF-8 that became final with this token: whole characters only, stop texts
                      // held back and cut
  float logprob = 0;  // if asked for
  std::vector<TokenLogprob> top;  // most probable first, if asked for
};

// A trigger completed. `text` is what stands between trigger and until (or the trigger itself).
struct MatchEvent {
  SeqId seq{};
  uint32_t trigger = 0;  // index in Turn::triggers
  std::string text;
};

// The sequence cannot go on; its blocks are free.
struct FailureEvent {
  SeqId seq{};
  Status status;
};

using Event = std::variant<TokenEvent, MatchEvent, PauseEvent, ResumeEvent, FinishEvent,
                           DecisionEvent, FailureEvent>;

}  // namespace infercept
