#include "sched/hindsight.h"

#include <algorithm>
#include <limits>

#include "sched/waste.h"

namespace infercept {
namespace {

// Block-seconds of the context's own. Shared blocks are never given up.
double HeldWanted(const PastInterception& past) {
  return std::max(0.0, past.held_refused - past.shared_blocks * past.refused_seconds);
}

double BlockBytes(const HindsightLoad& load) {
  return load.block_tokens * load.bytes_per_token / load.groups;
}

}  // namespace

double HindsightPreserve(const PastInterception& past, const HindsightLoad& load) {
  return (HeldWanted(past) + past.given_wanted) * BlockBytes(load);
}

double HindsightSwap(const PastInterception& past, const HindsightLoad& load,
                     const CostModel& cost) {
  if (past.own_blocks > load.host_blocks) return std::numeric_limits<double>::infinity();
  return cost.Copy(CopyDirection::kIn, past.own_blocks) * past.own_blocks / 2 * BlockBytes(load);
}

double HindsightDiscard(const PastInterception& past, const HindsightLoad& load,
                        const CostModel& cost) {
  uint64_t tokens = std::min<uint64_t>(past.context_tokens,
                                       uint64_t{past.own_blocks} * load.block_tokens / load.groups);
  if (past.released_blocks > 0) tokens = past.context_tokens;
  return WasteRecompute({past.context_tokens - tokens, tokens}, load.other_tokens,
                        load.bytes_per_token, cost);
}

double WasteOfPast(const PastInterception& past, const HindsightLoad& load, const CostModel& cost) {
  return HeldWanted(past) * BlockBytes(load) + past.copy_waste +
         WasteRecompute({past.recompute_first, past.recompute_tokens}, load.other_tokens,
                        load.bytes_per_token, cost);
}

Hindsight LookBack(const PastInterception& past, const HindsightLoad& load, const CostModel& cost) {
  Hindsight hindsight;
  hindsight.waste = WasteOfPast(past, load, cost);
  hindsight.preserve = HindsightPreserve(past, load);
  hindsight.swap = HindsightSwap(past, load, cost);
  hindsight.discard = HindsightDiscard(past, load, cost);
  hindsight.regret = hindsight.waste - std::min({hindsight.waste, hindsight.preserve,
                                                 hindsight.swap, hindsight.discard});
  return hindsight;
}

}  // namespace infercept
