// Waste: device memory that is held or lost without use, times how long, in byte-seconds. One
// function per formula.
#pragma once

#include "sched/policy.h"

namespace infercept {

// Tokens whose keys and values of all layers take as much memory as so many blocks.
double TokensIn(const PausedContext& context, uint64_t blocks);
// Of the computed tokens, those for which there is memory on the device.
uint64_t DeviceTokens(const PausedContext& context);

// InferCept (ICML 2024) eq. 2: T_INT * C * M. `seconds` is the estimate of the interception's
// remaining time.
double WastePreserve(const PausedContext& context, double seconds, const StepLoad& load);

// Consecutive tokens that are computed again.
struct RecomputeRange {
  uint64_t first = 0;  // position
  uint64_t tokens = 0;
};

// Tokens that a context holds on average while so many are computed at an even pace, in layers that
// see no further back than `reach_tokens`.
double HeldOnAverage(double tokens, double reach_tokens);

// InferCept eq. 4 with marginal instead of whole step times: recomputing C tokens in chunks of S -
// decodes holds half of their memory on average (see HeldOnAverage), and prolongs everybody else's
// stay by what the chunks add to their steps.
double WasteRecompute(const RecomputeRange& range, uint64_t other_tokens, double bytes_per_token,
                      const CostModel& cost);
// Of all that giving up the context would free.
double WasteDiscard(const PausedContext& context, const StepLoad& load, const CostModel& cost);

// InferCept eq. 3, for what does not fit into the step's copy budget: both ways stall everything on
// the device. Inside the budget (blocks <= budget) copies hide behind the step and the waste is 0.
double WasteSwap(const PausedContext& context, uint32_t budget_blocks, const StepLoad& load,
                 const CostModel& cost);

}  // namespace infercept
