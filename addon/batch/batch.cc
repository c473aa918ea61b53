#include "batch/batch.h"

#include "base/check.h"

namespace infercept {

void Batch::Assign(const StepPlan& plan, uint32_t block_tokens, uint32_t groups) {
  tokens_ = plan.tokens;
  positions_.clear();
  slices_.clear();
  logit_rows_.clear();
  sampled_slices_.clear();
  IC_CHECK(plan.block_tables.size() == plan.slices.size());
  for (size_t i = 0; i < plan.slices.size(); ++i) {
    const uint32_t end = plan.slices[i].first_position + plan.slices[i].count;
    IC_CHECK(plan.block_tables[i].size() >= size_t{DivCeil(end, block_tokens)} * groups);
  }
  for (uint32_t i = 0; i < plan.slices.size(); ++i) AddSlice(plan, i);
  IC_CHECK(positions_.size() == tokens_.size());
}

void Batch::AddSlice(const StepPlan& plan, uint32_t index) {
  const Slice& slice = plan.slices[index];
  const std::span<const BlockId> blocks = plan.block_tables[index];
  IC_CHECK(slice.count > 0);
  slices_.push_back({.first_row = static_cast<uint32_t>(positions_.size()),
                     .rows = slice.count,
                     .first_position = slice.first_position,
                     .block_table = blocks.data()});
  for (uint32_t i = 0; i < slice.count; ++i) positions_.push_back(slice.first_position + i);
  if (!slice.sample) return;
  logit_rows_.push_back(static_cast<uint32_t>(positions_.size()) - 1);
  sampled_slices_.push_back(index);
}

ForwardInput Batch::input() const {
  return {.tokens = tokens_, .positions = positions_, .slices = slices_, .logit_rows = logit_rows_};
}

}  // namespace infercept
