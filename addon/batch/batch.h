// The flat arrays of one step, made from its plan.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor_view.h"
#include "model/forward_input.h"
#include "sched/step_plan.h"

namespace infercept {

class Batch {
 public:
  // Replaces the content. Block tables have `groups` blocks for each block_tokens tokens. The plan
  // must stay as it is while input() is used. No allocation after warm-up.
  void Assign(const StepPlan& plan, uint32_t block_tokens, uint32_t groups = 1);

  ForwardInput input() const;
  // For each logit row, in order: the index of its slice in the plan.
  const std::vector<uint32_t>& sampled_slices() const { return sampled_slices_; }

 private:
  void AddSlice(const StepPlan& plan, uint32_t index);

  std::span<const TokenId> tokens_;       // [rows], the plan's
  std::vector<uint32_t> positions_;       // [rows]
  std::vector<AttentionSlice> slices_;    // [slices]
  std::vector<uint32_t> logit_rows_;      // [slices with `sample`]
  std::vector<uint32_t> sampled_slices_;  // [slices with `sample`]
};

}  // namespace infercept
