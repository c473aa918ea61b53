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

// Nothing is given up while nobody wants it. Under pressure contexts give way in the order of their
// expected residual time, longest first: to the host while the copy budget lasts, else by
// discarding those whose recompute wastes less than their waiting. Only as many blocks as are
// missing, from the end of the context.
void Adaptive(std::span<PausedContext> paused, const StepLoad& load, const CostModel& cost,
              std::vector<Decision>& decisions) {
  uint32_t missing = load.shortage_blocks;
  uint32_t budget = std::min(load.swap_out_blocks, load.host_blocks_free);
  if (missing == 0) return;
  // A heap: mostly a few contexts are enough.
  std::ranges::make_heap(paused, ReturnsSooner);
  for (auto end = paused.end(); end != paused.begin() && missing > 0;) {
    const bool swap = budget > 0;
    // What the link cannot take now it takes in a later step; recomputing is for when there is no
    // host memory.
    if (!swap && load.host_blocks_free > 0) return;
    std::ranges::pop_heap(paused.begin(), end--, ReturnsSooner);
    if (end->device_blocks == 0) continue;
    Decision decision = Weigh(*end, load, cost, end->residual_seconds);
    if (!swap && decision.waste_discard > decision.waste_preserve) continue;
    decision.disposition = swap ? Disposition::kSwap : Disposition::kDiscard;
    decision.blocks = std::min({end->device_blocks, missing, swap ? budget : UINT32_MAX});
    missing -= decision.blocks;
    if (swap) budget -= decision.blocks;
    decisions.push_back(decision);
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

uint32_t SwapOutBudget(PolicyKind kind, uint64_t pending_tokens, const StepLoad& load,
                       const CostModel& cost) {
  if (kind == PolicyKind::kSwap) return UINT32_MAX;
  const uint64_t query = pending_tokens == 0
                             ? load.saturation_tokens
                             : std::min<uint64_t>(pending_tokens, load.saturation_tokens);
  const double seconds =
      cost.Forward(static_cast<double>(query), static_cast<double>(load.running_tokens));
  return cost.CopyBlocksWithin(CopyDirection::kOut, seconds);
}

bool PolicyActs(PolicyKind kind, const StepLoad& load) {
  if (kind == PolicyKind::kAdaptive) return load.shortage_blocks > 0;
  return kind != PolicyKind::kPreserve;
}

}  // namespace infercept
