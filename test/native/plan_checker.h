// Executes plans on blocks that hold, per position, which token stands there and after which
// prefix; so a plan that reads a block that was reused, not copied yet, or belongs to somebody else
// is found at once.
#pragma once

#include <span>
#include <vector>

#include "base/check.h"
#include "kv/kv_manager.h"
#include "sched/step_plan.h"
#include "sim/sim_executor.h"

namespace infercept {

class PlanChecker {
 public:
  // A plan must be right whether its swaps are complete before the computation begins or only after
  // it.
  PlanChecker(std::span<const SimSession> sessions, const KvConfig& config, bool copies_first)
      : sessions_(sessions),
        config_(config),
        copies_first_(copies_first),
        device_(static_cast<size_t>(config.device_blocks) * config.block_tokens),
        host_(static_cast<size_t>(config.host_blocks) * config.block_tokens) {}

  void Execute(const StepPlan& plan) {
    for (const BlockCopy& copy : plan.copies) CopyBlock(device_, copy.source, device_, copy.target);
    if (copies_first_ || plan.swaps_block_compute) Swap(plan);
    for (size_t i = 0; i < plan.slices.size(); ++i) Compute(plan, i);
    if (!copies_first_ && !plan.swaps_block_compute) Swap(plan);
  }

  // [blocks * block_tokens] digest of all tokens up to this one
 private:
  using Slots = std::vector<uint64_t>;

  void CopyBlock(const Slots& from, BlockId source, Slots& to, BlockId target) const {
    for (uint32_t i = 0; i < config_.block_tokens; ++i) {
      to[Index(target) * config_.block_tokens + i] = from[Index(source) * config_.block_tokens + i];
    }
  }

  // In before out, out before in: both orders are allowed, so each step takes the other one.
  void Swap(const StepPlan& plan) {
    if (plan.step % 2 == 0) {
      for (const BlockCopy& copy : plan.swap_out)
        CopyBlock(device_, copy.source, host_, copy.target);
    }
    for (const BlockCopy& copy : plan.swap_in) CopyBlock(host_, copy.source, device_, copy.target);
    if (plan.step % 2 == 1) {
      for (const BlockCopy& copy : plan.swap_out)
        CopyBlock(device_, copy.source, host_, copy.target);
    }
  }

  void Compute(const StepPlan& plan, size_t slice_index) {
    const Slice& slice = plan.slices[slice_index];
    const auto table = plan.block_tables[slice_index];
    const uint32_t session = Index(slice.seq);
    uint64_t digest = 0;
    for (uint32_t position = 0; position < slice.first_position + slice.count; ++position) {
      const TokenId token = SimExecutor::PromptToken(sessions_[session], session, position);
      digest = (digest ^ static_cast<uint32_t>(token)) * 0x9e3779b97f4a7c15u + 1;
      uint64_t& slot =
          device_[Index(table[position / config_.block_tokens]) * config_.block_tokens +
                  position % config_.block_tokens];
      if (position < slice.first_position) {
        IC_CHECK(slot == digest);
      } else {
        slot = digest;
      }
    }
  }

  std::span<const SimSession> sessions_;
  const KvConfig config_;
  const bool copies_first_;
  Slots device_;
  Slots host_;
};

}  // namespace infercept
