// What an interception cost, and what it would have cost had its context been preserved, swapped or
// discarded from its beginning: known once it is over. Pure functions; byte-seconds of device
// memory.
//
// Each alternative is for this context alone, everything else as it was, and the link is free for
// it. Keeping costs what others missed: memory that the context held counts in steps in which
// something runnable was refused for want of memory (as in WasteStats::preserved_idle), memory that
// it gave up counts in these and where less than that was left over: there others used it. While
// nobody wanted the memory, keeping it costs nothing.
#pragma once

#include <cstdint>

#include "sched/cost_model.h"
#include "sched/policy.h"

namespace infercept {

// What is known of an interception when its context goes on. Blocks are device blocks.
struct PastInterception {
  // When it began: C, and the context's blocks, its own and those shared with others.
  uint32_t context_tokens = 0;
  uint32_t released_blocks = 0;  // behind its window, on no device
  uint32_t own_blocks = 0;
  uint32_t shared_blocks = 0;
  double refused_seconds = 0;     // of its duration: SpentSeconds::refused
  double held_refused = 0;        // block-seconds of what the context held meanwhile
  double given_wanted = 0;        // block-seconds of what it had given up, while others used it
  double copy_waste = 0;          // byte-seconds charged for stalls and for blocks that came in
  uint32_t recompute_first = 0;   // position of the first token that has to be computed again
  uint32_t recompute_tokens = 0;  // that were computed before the interception
};

// Present conditions: C_other, M, and what there is of host memory.
struct HindsightLoad {
  uint64_t other_tokens = 0;  // on the device, of other running sequences
  double bytes_per_token = 0;
  uint32_t block_tokens = 0;
  uint32_t groups = 1;       // PausedContext::groups
  uint32_t host_blocks = 0;  // of the whole tier
};

struct Hindsight {
  double waste = 0;  // of what was done
  // Of the alternatives; swap is infinite where the host tier is too small for the context.
  double preserve = 0;
  double swap = 0;
  double discard = 0;
  // `waste` less the least of these, itself included: never negative.
  double regret = 0;
};

// InferCept (ICML 2024) eq. 2, T_INT * C * M, of the actual duration as far as the memory was
// wanted.
double HindsightPreserve(const PastInterception& past, const HindsightLoad& load);

// Copies run beside steps (InferCept §4.1), so nobody waits; but what has come back is of no use
// until all is there, half of it on average: T_swap_in(C) * C/2 * M.
double HindsightSwap(const PastInterception& past, const HindsightLoad& load,
                     const CostModel& cost);

// Eq. 4 with marginal step times (WasteRecompute) for all that is the context's own.
double HindsightDiscard(const PastInterception& past, const HindsightLoad& load,
                        const CostModel& cost);

// The context's own blocks for as long as they stayed while work was refused, what its copies were
// charged for, and eq. 4 for what has to be computed again.
double WasteOfPast(const PastInterception& past, const HindsightLoad& load, const CostModel& cost);

Hindsight LookBack(const PastInterception& past, const HindsightLoad& load, const CostModel& cost);

}  // namespace infercept
