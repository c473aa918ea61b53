#include "sched/policy.h"

#include <algorithm>
#include <array>

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
  decision.blocks = context.device_blocks;
  decision.waste_preserve = WastePreserve(context, seconds, load);
  decision.waste_swap = WasteSwap(context, load.swap_out_blocks, load, cost);
  decision.waste_discard = WasteDiscard(context, load, cost);
  return decision;
}

void GiveUpAll(std::span<const PausedContext> paused, const StepLoad& load, const CostModel& cost,
               Disposition disposition, std::vector<Decision>& decisions) {
  for (const PausedContext& context : paused) {
    if (context.device_blocks == 0) continue;
    decisions.push_back(Weigh(context, load, cost, context.residual_seconds));
    decisions.back().disposition = disposition;
  }
}

void Discard(std::span<const PausedContext> paused, const StepLoad& load, const CostModel& cost,
             std::vector<Decision>& decisions) {
  GiveUpAll(paused, load, cost, Disposition::kDiscard, decisions);
}

void Swap(std::span<const PausedContext> paused, const StepLoad& load, const CostModel& cost,
          std::vector<Decision>& decisions) {
  GiveUpAll(paused, load, cost, Disposition::kSwap, decisions);
}

void Preserve(std::span<const PausedContext>, const StepLoad&, const CostModel&,
              std::vector<Decision>&) {}

// InferCept (ICML 2024) §4.3: sort all intercepted requests by min(preserve, discard) waste,
// largest first; swap out in that order until the step's budget is used up; of the others, keep
// those whose preserve waste is smaller.
void Infercept(std::span<const PausedContext> paused, const StepLoad& load, const CostModel& cost,
               std::vector<Decision>& decisions) {
  for (const PausedContext& context : paused) {
    if (context.device_blocks == 0) continue;
    decisions.push_back(Weigh(context, load, cost, context.elapsed_seconds));
  }
  const auto waste = [](const Decision& decision) {
    return std::min(decision.waste_preserve, decision.waste_discard);
  };
  std::ranges::stable_sort(decisions, std::ranges::greater{}, waste);
  uint32_t budget = std::min(load.swap_out_blocks, load.host_blocks_free);
  for (Decision& decision : decisions) {
    if (budget > 0 && waste(decision) > 0) {
      decision.disposition = Disposition::kSwap;
      decision.blocks = std::min(decision.blocks, budget);  // The rest follows in later steps.
      budget -= decision.blocks;
    } else if (decision.waste_discard <= decision.waste_preserve) {
      decision.disposition = Disposition::kDiscard;
    }
  }
  std::erase_if(decisions, [](const Decision& decision) {
    return decision.disposition == Disposition::kPreserve;
  });
}

// Nothing is given up while nobody wants it. Under pressure contexts give way in the order of their
// expected residual time, longest first: to the host while the copy budget lasts, else by
// discarding those whose recompute wastes less than their waiting. Only as many blocks as are
// missing, from the end of the context.
void Adaptive(std::span<const PausedContext> paused, const StepLoad& load, const CostModel& cost,
              std::vector<Decision>& decisions) {
  if (load.shortage_blocks == 0) return;
  std::vector<const PausedContext*> order;
  for (const PausedContext& context : paused) {
    if (context.device_blocks > 0) order.push_back(&context);
  }
  std::ranges::stable_sort(order, std::ranges::greater{}, &PausedContext::residual_seconds);
  uint32_t missing = load.shortage_blocks;
  uint32_t budget = std::min(load.swap_out_blocks, load.host_blocks_free);
  for (const PausedContext* context : order) {
    if (missing == 0) return;
    Decision decision = Weigh(*context, load, cost, context->residual_seconds);
    const bool swap = budget > 0;
    // What the link cannot take now it takes in a later step; recomputing is for when there is no
    // host memory.
    if (!swap && (load.host_blocks_free > 0 || decision.waste_discard > decision.waste_preserve))
      continue;
    decision.disposition = swap ? Disposition::kSwap : Disposition::kDiscard;
    decision.blocks = std::min({context->device_blocks, missing, swap ? budget : UINT32_MAX});
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

}  // namespace infercept
