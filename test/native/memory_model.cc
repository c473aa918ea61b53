#include "memory_model.h"

#include <algorithm>

namespace infercept::test {
namespace {

// No digest has this value: digests are odd.
constexpr uint64_t kGarbage = 0xdead;

}  // namespace

MemoryModel::MemoryModel(const KvConfig& config)
    : config_(config),
      device_(size_t{config.device_blocks} * config.block_tokens, kGarbage),
      host_(size_t{config.host_blocks} * config.block_tokens, kGarbage),
      device_uses_(config.device_blocks, 0),
      host_uses_(config.host_blocks, 0) {}

void MemoryModel::Execute(const StepPlan& plan, std::span<const std::span<const uint64_t>> contexts,
                          bool copies_first) {
  CheckHazards(plan);
  for (const BlockCopy& copy : plan.copies) CopyBlock(device_, copy.source, device_, copy.target);
  const bool early = copies_first || plan.swaps_block_compute;
  if (early) {
    Swap(plan);
  } else {
    Spoil(plan);
  }
  for (size_t i = 0; i < plan.slices.size(); ++i) Compute(plan, i, contexts[i]);
  if (!early) Swap(plan);
}

void MemoryModel::CheckHazards(const StepPlan& plan) {
  std::ranges::fill(device_uses_, uint8_t{0});
  std::ranges::fill(host_uses_, uint8_t{0});
  NoteCopies(plan);
  for (size_t i = 0; i < plan.slices.size(); ++i) NoteSlice(plan, i);
}

// Swaps run beside the computation: what they write nobody else touches, what they read nobody
// writes. Copies on the device come before everything.
void MemoryModel::NoteCopies(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) {
    Mark(device_uses_, copy.source, kCopySource, kCopyTarget);
    Mark(device_uses_, copy.target, kCopyTarget, kCopyTarget | kCopySource);
  }
  for (const BlockCopy& copy : plan.swap_out) {
    Mark(device_uses_, copy.source, kSwapSource, kSwapSource | kCopyTarget);
    Mark(host_uses_, copy.target, kSwapTarget, kSwapTarget);
  }
  for (const BlockCopy& copy : plan.swap_in) {
    Mark(host_uses_, copy.source, kSwapSource, kSwapTarget);
    Mark(device_uses_, copy.target, kSwapTarget,
         kSwapTarget | kSwapSource | kCopySource | kCopyTarget);
  }
}

uint32_t MemoryModel::FirstSeen(uint32_t group, uint32_t position) const {
  const uint32_t window = group < config_.full_groups ? 0 : config_.window_tokens;
  return window == 0 || position < window ? 0 : position + 1 - window;
}

void MemoryModel::NoteSlice(const StepPlan& plan, size_t slice) {
  const auto table = plan.block_tables[slice];
  const uint32_t first_position = plan.slices[slice].first_position;
  const uint32_t first_written = first_position / config_.block_tokens;
  for (uint32_t i = 0; i < table.size(); ++i) {
    const uint32_t row = i / config_.groups;
    const uint32_t seen = FirstSeen(i % config_.groups, first_position);
    if (row < seen / config_.block_tokens) continue;
    if (row < first_written) {
      Mark(device_uses_, table[i], kRead, kSwapTarget | kWritten);
    } else {
      Mark(device_uses_, table[i], kWritten, kSwapTarget | kSwapSource | kRead | kWritten);
    }
  }
}

void MemoryModel::Mark(std::vector<uint8_t>& uses, BlockId block, Use use, int forbidden) {
  Require(Index(block) < uses.size(), "every block of a plan exists");
  Require((uses[Index(block)] & forbidden) == 0, "no block is used against a copy or a write");
  uses[Index(block)] |= use;
}

// In before out, out before in: both orders are allowed, so each step takes the other one.
void MemoryModel::Swap(const StepPlan& plan) {
  for (uint64_t turn = plan.step; turn < plan.step + 2; ++turn) {
    if (turn % 2 == 0) {
      for (const BlockCopy& copy : plan.swap_out)
        CopyBlock(device_, copy.source, host_, copy.target);
    } else {
      for (const BlockCopy& copy : plan.swap_in)
        CopyBlock(host_, copy.source, device_, copy.target);
    }
  }
}

// What is still under way is not there.
void MemoryModel::Spoil(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.swap_in) {
    std::ranges::fill(std::span(device_).subspan(size_t{Index(copy.target)} * config_.block_tokens,
                                                 config_.block_tokens),
                      kGarbage);
  }
}

void MemoryModel::Compute(const StepPlan& plan, size_t slice_index,
                          std::span<const uint64_t> context) {
  const Slice& slice = plan.slices[slice_index];
  const auto table = plan.block_tables[slice_index];
  const uint32_t end = slice.first_position + slice.count;
  Require(end <= context.size(), "a slice lies within its context");
  Require(table.size() == DivCeil(end, config_.block_tokens) * config_.groups,
          "a block table reaches to the slice");
  for (uint32_t group = 0; group < config_.groups; ++group) {
    ComputeGroup(slice, group, table, context);
  }
}

void MemoryModel::ComputeGroup(const Slice& slice, uint32_t group, std::span<const BlockId> table,
                               std::span<const uint64_t> context) {
  const uint32_t end = slice.first_position + slice.count;
  for (uint32_t position = FirstSeen(group, slice.first_position); position < end; ++position) {
    const size_t row = position / config_.block_tokens;
    const size_t block = Index(table[row * config_.groups + group]);
    uint64_t& slot = device_[block * config_.block_tokens + position % config_.block_tokens];
    const uint64_t value = context[position] ^ uint64_t { group } << 1;
    if (position >= slice.first_position) slot = value;
    Require(slot == value, "a slice reads what was computed for its own context and layers");
  }
}

void MemoryModel::CopyBlock(const Slots& from, BlockId source, Slots& to, BlockId target) const {
  const size_t size = config_.block_tokens;
  std::copy_n(from.begin() + static_cast<ptrdiff_t>(Index(source) * size), size,
              to.begin() + static_cast<ptrdiff_t>(Index(target) * size));
}

}  // namespace infercept::test
