#include "sched/step_plan.h"

namespace infercept {
namespace {

std::string CopiesString(const char* name, const std::vector<BlockCopy>& copies) {
  std::string text;
  for (const BlockCopy& copy : copies) {
    text += std::to_string(Index(copy.source)) + ">" + std::to_string(Index(copy.target)) + " ";
  }
  return copies.empty() ? text : "  " + std::string(name) + " " + text + "\n";
}

}  // namespace

std::string_view DispositionName(Disposition disposition) {
  switch (disposition) {
    case Disposition::kPreserve:
      return "preserve";
    case Disposition::kSwap:
      return "swap";
    case Disposition::kDiscard:
      return "discard";
  }
  return "unknown";
}

std::string Decision::DebugString() const {
  return "seq " + std::to_string(Index(seq)) + " " + std::string(DispositionName(disposition)) +
         " " + std::to_string(blocks) + " blocks (waste preserve " +
         std::to_string(waste_preserve) + ", swap " + std::to_string(waste_swap) + ", discard " +
         std::to_string(waste_discard) + ")";
}

void StepPlan::Clear() {
  slices.clear();
  tokens.clear();
  awaited.clear();
  block_tables.clear();
  copies.clear();
  swap_out.clear();
  swap_in.clear();
  swaps_block_compute = false;
  decisions.clear();
}

std::string StepPlan::DebugString() const {
  std::string text = "step " + std::to_string(step) + "\n";
  for (const Slice& slice : slices) {
    text += "  seq " + std::to_string(Index(slice.seq)) + " [" +
            std::to_string(slice.first_position) + ", +" + std::to_string(slice.count) + ")" +
            (slice.sample ? " sample" : "") + "\n";
  }
  text += CopiesString("copies", copies) + CopiesString("swap_out", swap_out) +
          CopiesString("swap_in", swap_in);
  for (const Decision& decision : decisions) text += "  " + decision.DebugString() + "\n";
  return text;
}

void StepResult::Clear() {
  sampled.clear();
  compute = swap_out = swap_in = total = 0;
}

}  // namespace infercept
