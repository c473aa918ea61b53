// What both tiers hold while plans are executed, and what a plan may never do to them. Every slot
// holds a digest of the token that stands there and of all before it; so a plan that reads a block
// that was reused, is not copied yet, or belongs to somebody else is found at once; so is one that
// has other layers. With a window, slices read what it shows, and in full groups everything.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "kv/kv_manager.h"
#include "sched/step_plan.h"

namespace infercept::test {

// A property does not hold.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void Require(bool holds, const char* property) {
  if (!holds) throw Violation(property);
}

class MemoryModel {
 public:
  explicit MemoryModel(const KvConfig& config);

  // Executes a plan. `contexts`: for each slice, the digests of its sequence's whole context.
  // `copies_first`: the swaps are complete before the computation begins, otherwise they begin and
  // end after it; a plan must be right for both.
  void Execute(const StepPlan& plan, std::span<const std::span<const uint64_t>> contexts,
               bool copies_first);

 private:
  // [blocks * block_tokens]
  using Slots = std::vector<uint64_t>;

  // What one plan does with a block.
  enum Use : uint8_t {
    kCopySource = 1,
    kCopyTarget = 2,
    kSwapSource = 4,
    kSwapTarget = 8,
    kRead = 16,
    kWritten = 32
  };

  void CheckHazards(const StepPlan& plan);
  void NoteCopies(const StepPlan& plan);
  // The first position that the token at this one reads in blocks of a group.
  uint32_t FirstSeen(uint32_t group, uint32_t position) const;
  void ComputeGroup(const Slice& slice, uint32_t group, std::span<const BlockId> table,
                    std::span<const uint64_t> context);
  void NoteSlice(const StepPlan& plan, size_t slice);
  void Mark(std::vector<uint8_t>& uses, BlockId block, Use use, int forbidden);
  void Swap(const StepPlan& plan);
  void Spoil(const StepPlan& plan);
  void Compute(const StepPlan& plan, size_t slice, std::span<const uint64_t> context);
  void CopyBlock(const Slots& from, BlockId source, Slots& to, BlockId target) const;

  const KvConfig config_;
  Slots device_;
  Slots host_;
  std::vector<uint8_t> device_uses_;  // [blocks] by the present plan
  std::vector<uint8_t> host_uses_;
};

}  // namespace infercept::test
