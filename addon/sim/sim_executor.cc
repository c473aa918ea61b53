#include "sim/sim_executor.h"

#include <algorithm>
#include <utility>

namespace infercept {
namespace {

Nanos ToNanos(double seconds) { return static_cast<Nanos>(seconds * kNanosPerSecond); }

}  // namespace

SimExecutor::SimExecutor(std::span<const SimSession> sessions, const CostProfile& profile,
                         std::function<void(const StepPlan&)> on_plan)
    : sessions_(sessions),
      cost_(profile),
      on_plan_(std::move(on_plan)),
      progress_(sessions.size()) {}

Status SimExecutor::Execute(const StepPlan& plan, StepResult& result) {
  if (on_plan_) on_plan_(plan);
  uint64_t kv_tokens = 0;
  for (const Slice& slice : plan.slices) {
    kv_tokens += cost_.KvReads(slice.first_position, slice.count);
    if (slice.sample)
      result.sampled.push_back(Sample(slice.seq, slice.first_position + slice.count));
  }
  if (!plan.tokens.empty()) {
    result.compute = ToNanos(
        cost_.Forward(static_cast<double>(plan.tokens.size()), static_cast<double>(kv_tokens)));
  }
  result.swap_out =
      ToNanos(cost_.Copy(CopyDirection::kOut, static_cast<double>(plan.swap_out.size())));
  result.swap_in =
      ToNanos(cost_.Copy(CopyDirection::kIn, static_cast<double>(plan.swap_in.size())));
  // Both directions at once, as the engine's own copies: each has its thread.
  const Nanos copies = std::max(result.swap_out, result.swap_in);
  result.total =
      plan.swaps_block_compute ? copies + result.compute : std::max(copies, result.compute);
  return {};
}

const SimSegment& SimExecutor::Segment(SeqId seq) const {
  return sessions_[Index(seq)].segments[progress_[Index(seq)].segment];
}

bool SimExecutor::OnLastSegment(SeqId seq) const {
  return progress_[Index(seq)].segment + 1 == sessions_[Index(seq)].segments.size();
}

void SimExecutor::NextSegment(SeqId seq) {
  ++progress_[Index(seq)].segment;
  progress_[Index(seq)].decoded = 0;
}

SampledToken SimExecutor::Sample(SeqId seq, uint32_t position) {
  SampledToken sampled;
  sampled.seq = seq;
  sampled.token = PromptToken(sessions_[Index(seq)], Index(seq), position);
  if (++progress_[Index(seq)].decoded >= Segment(seq).decode_tokens) {
    sampled.outcome = OnLastSegment(seq) ? Outcome::kFinish : Outcome::kPause;
    sampled.finish_reason = FinishReason::kStopToken;
  }
  return sampled;
}

TokenId SimExecutor::PromptToken(const SimSession& session, uint32_t index, uint32_t position) {
  const uint32_t owner = position < session.prefix_tokens ? session.prefix * 2 + 1 : index * 2;
  return static_cast<TokenId>((owner * 0x9e3779b1u + position * 0x85ebca6bu) >> 1);
}

}  // namespace infercept
