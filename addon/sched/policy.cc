#include "sched/policy.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/check.h"
#include "sched/waste.h"

namespace infercept {
namespace {

constexpr std::array<std::string_view, 6> kNames = {
    "discard-requeue", "discard", "preserve", "swap", "infercept", "adaptive"};

Decision Weigh(const PausedContext& context, const StepLoad& load, const CostModel& cost,
               double seconds) {
  Decision decision;
  decision.seq = context.seq;
  decision.place = context.place;
  decision.blocks = context.device_blocks;
  decision.waste_preserve = WastePreserve(context, seconds, load);
  decision.waste_swap = WasteSwap(context, load.swap_out_blocks, load, cost);
  decision.waste_discard = WasteDiscard(context, load, cost);
  return decision;
}

void GiveUpAll(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
               Disposition disposition, std::vector<Decision>& decisions) {
  std::ranges::sort(paused, {}, &PausedContext::place);
  for (const PausedContext& context : paused) {
    if (context.device_blocks == 0) continue;
    decisions.push_back(Weigh(context, load, cost, context.residual_seconds));
    decisions.back().disposition = disposition;
  }
}

void Discard(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
             std::vector<Decision>& decisions) {
  GiveUpAll(paused, load, cost, Disposition::kDiscard, decisions);
}

void Swap(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
          std::vector<Decision>& decisions) {
  GiveUpAll(paused, load, cost, Disposition::kSwap, decisions);
}

void Preserve(std::span<PausedContext>, const StepLoad&, const CostModel&, std::vector<Decision>&) {
}

double SmallerWaste(const Decision& decision) {
  return std::min(decision.waste_preserve, decision.waste_discard);
}

// The order in which InferCept looks at contexts: largest waste first.
bool WastesLess(const Decision& a, const Decision& b) {
  return std::tuple(SmallerWaste(a), b.place) < std::tuple(SmallerWaste(b), a.place);
}

// InferCept (ICML 2024) §4.3: sort all intercepted requests by min(preserve, discard) waste,
// largest first; swap out in that order until the step's budget is used up; of the others, keep
// those whose preserve waste is smaller. A heap: only those that are swapped or discarded have to
// be in order.
//
//   decisions    [ the others ... | swapped last ... swapped first ]
void Infercept(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
               std::vector<Decision>& decisions) {
  for (const PausedContext& context : paused) {
    if (context.device_blocks == 0) continue;
    decisions.push_back(Weigh(context, load, cost, context.elapsed_seconds));
    decisions.back().expectation = Expectation::kElapsed;
  }
  std::ranges::make_heap(decisions, WastesLess);
  auto others = decisions.end();
  uint32_t budget = std::min(load.swap_out_blocks, load.host_blocks_free);
  while (budget > 0 && others != decisions.begin() && SmallerWaste(decisions.front()) > 0) {
    std::ranges::pop_heap(decisions.begin(), others--, WastesLess);
    others->disposition = Disposition::kSwap;
    others->blocks = std::min(others->blocks, budget);  // The rest follows in later steps.
    budget -= others->blocks;
  }
  const auto discarded = std::partition(decisions.begin(), others, [](const Decision& decision) {
    return decision.waste_discard > decision.waste_preserve;
  });
  for (auto decision = discarded; decision != others; ++decision) {
    decision->disposition = Disposition::kDiscard;
  }
  std::sort(discarded, others, WastesLess);
  decisions.erase(decisions.begin(), discarded);
  std::ranges::reverse(decisions);
}

// The order in which contexts give way to others: longest residual time first.
bool ReturnsSooner(const PausedContext& a, const PausedContext& b) {
  return std::tuple(a.residual_seconds, b.place) < std::tuple(b.residual_seconds, a.place);
}

// What is missing beyond all that is backed has to be copied now if nobody copies ahead.
uint32_t ToMoveNow(const StepLoad& load) {
  if (load.ahead_blocks > 0) return 0;
  return load.shortage_blocks - std::min(load.shortage_blocks, load.backed_blocks);
}

// Of one context: how many blocks leave, backed ones at once, and how many others are copied while
// they stay. Spends what is missing, the link's budget and the host's memory.
void MoveOut(const PausedContext& context, Decision& decision, StepLoad& left) {
  const uint32_t unbacked = context.device_blocks - context.backed_blocks;
  const uint32_t link = std::min(left.swap_out_blocks, left.host_blocks_free);
  const uint32_t moved = std::min({unbacked, ToMoveNow(left), link});
  const uint32_t backed = std::min(context.backed_blocks, left.shortage_blocks - moved);
  decision.blocks = backed + moved;
  decision.ahead = std::min({unbacked - moved, left.ahead_blocks, link - moved});
  if (decision.blocks > 0) decision.disposition = Disposition::kSwap;
  left.shortage_blocks -= decision.blocks;
  left.backed_blocks -= std::min(backed, left.backed_blocks);
  left.ahead_blocks -= decision.ahead;
  left.swap_out_blocks -= moved + decision.ahead;
  left.host_blocks_free -= moved + decision.ahead;
}

// Of one context: how many blocks are given up for good, from the end. Those on the host make room
// for contexts that return sooner.
void GiveUp(const PausedContext& context, Decision& decision, StepLoad& left) {
  const double tokens = TokensIn(context, context.device_blocks + context.host_blocks);
  const double waste_keep = context.residual_seconds * tokens * left.bytes_per_token;
  if (decision.waste_discard > waste_keep) return;
  decision.disposition = Disposition::kDiscard;
  if (context.host_blocks > 0) {
    decision.blocks = std::min(context.host_blocks, left.host_room_blocks);
    left.host_blocks_free += decision.blocks;
    left.host_room_blocks -= decision.blocks;
  } else {
    decision.blocks = std::min(context.device_blocks, left.shortage_blocks);
    left.shortage_blocks -= decision.blocks;
  }
}

// Nothing is given up before somebody wants it, and then only as many blocks as are missing, from
// the end of a context, in the order of expected residual time, longest first. Under pressure the
// link copies in the same order what will be wanted next, so that it leaves at once when it is
// wanted. When the host is full, contexts are discarded whose recompute wastes less than their
// waiting, wherever they are.
void Adaptive(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
              std::vector<Decision>& decisions) {
  StepLoad left = load;
  left.host_room_blocks = load.host_blocks_free > 0 ? 0 : std::max(load.host_room_blocks, 1u);
  // A heap: mostly a few contexts are enough.
  std::ranges::make_heap(paused, ReturnsSooner);
  for (auto end = paused.end(); end != paused.begin();) {
    const bool copies = std::min(left.swap_out_blocks, left.host_blocks_free) > 0 &&
                        (left.ahead_blocks > 0 || ToMoveNow(left) > 0);
    const bool leaves =
        left.shortage_blocks > 0 && (left.host_room_blocks > 0 || left.backed_blocks > 0);
    if (!copies && !leaves) return;
    std::ranges::pop_heap(paused.begin(), end--, ReturnsSooner);
    if (end->device_blocks + end->host_blocks == 0) continue;
    if (!WorthMoving(*end, load, cost)) continue;
    Decision decision = Weigh(*end, load, cost, end->residual_seconds);
    MoveOut(*end, decision, left);
    const bool moves = decision.blocks + decision.ahead > 0;
    if (!moves && left.shortage_blocks > 0 && left.host_room_blocks > 0) {
      GiveUp(*end, decision, left);
    }
    if (decision.blocks + decision.ahead > 0) decisions.push_back(decision);
  }
}

}  // namespace

std::string_view PolicyName(PolicyKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::optional<PolicyKind> ParsePolicy(std::string_view name) {
  const auto at = std::ranges::find(kNames, name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<PolicyKind>(at - kNames.begin());
}

Policy PolicyFunction(PolicyKind kind) {
  switch (kind) {
    case PolicyKind::kDiscardRequeue:
    case PolicyKind::kDiscard:
      return Discard;
    case PolicyKind::kPreserve:
      return Preserve;
    case PolicyKind::kSwap:
      return Swap;
    case PolicyKind::kInfercept:
      return Infercept;
    case PolicyKind::kAdaptive:
      return Adaptive;
  }
  IC_CHECK(false);
}

double StepSeconds(uint64_t query_tokens, uint64_t kv_tokens, uint32_t saturation_tokens,
                   const CostModel& cost) {
  if (query_tokens == 0) return cost.Forward(saturation_tokens, 0);
  return cost.Forward(static_cast<double>(query_tokens), static_cast<double>(kv_tokens));
}

uint32_t SwapOutBudget(PolicyKind kind, uint64_t query_tokens, const StepLoad& load,
                       const CostModel& cost) {
  if (kind == PolicyKind::kSwap) return UINT32_MAX;
  const uint64_t query = std::min<uint64_t>(query_tokens, load.saturation_tokens);
  const double seconds = StepSeconds(query, load.running_tokens, load.saturation_tokens, cost);
  return cost.CopyBlocksWithin(CopyDirection::kOut, seconds);
}

bool WorthMoving(const PausedContext& context, const StepLoad& load, const CostModel& cost) {
  // What it frees it takes again for as long as it comes back, behind those that wait for the link
  // already; and its session waits so much longer.
  if (!load.price_return) return true;
  const double queue = static_cast<double>(load.returning_blocks) + context.device_blocks;
  return context.residual_seconds > 2 * cost.Copy(CopyDirection::kIn, queue);
}

bool PolicyActs(PolicyKind kind, const StepLoad& load) {
  if (kind == PolicyKind::kAdaptive) return load.shortage_blocks > 0 || load.ahead_blocks > 0;
  return kind != PolicyKind::kPreserve;
}

}  // namespace infercept
