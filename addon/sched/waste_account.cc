#include "sched/waste_account.h"

#include <algorithm>

namespace infercept {
namespace {

double Seconds(Nanos duration) { return static_cast<double>(duration) * 1e-9; }

uint64_t DeviceBlocks(const std::vector<Sequence*>& sequences) {
  uint64_t blocks = 0;
  for (const Sequence* sequence : sequences) {
    blocks += static_cast<uint64_t>(std::ranges::count_if(sequence->blocks, &BlockRef::on_device));
  }
  return blocks;
}

uint64_t IncomingBlocks(const std::vector<Sequence*>& sequences) {
  uint64_t blocks = 0;
  for (const Sequence* sequence : sequences) {
    const auto on_device = std::ranges::count_if(sequence->blocks, &BlockRef::on_device);
    if (static_cast<size_t>(on_device) < sequence->blocks.size()) blocks += static_cast<uint64_t>(on_device);
  }
  return blocks;
}

}  // namespace

void WasteAccount::Charge(const StepResult& result, Nanos elapsed, WasteStats& waste) const {
  const auto bytes = static_cast<double>(config.kv.block_bytes);
  const double paused = static_cast<double>(DeviceBlocks(sequences.paused())) * bytes;
  const double active = static_cast<double>(DeviceBlocks(sequences.active())) * bytes;
  const double seconds = Seconds(elapsed);

  waste.capacity += config.kv.device_blocks * bytes * seconds;
  waste.paper_preserved += paused * seconds;
  (notes.memory_refused ? waste.preserved_idle : waste.paused_unwanted) += paused * seconds;
  waste.swap_wait += static_cast<double>(IncomingBlocks(sequences.active())) * bytes * seconds;

  const double stall = Seconds(std::max<Nanos>(0, result.total - result.compute));
  const bool copied = result.swap_in > 0 || result.swap_out > 0;
  if (copied) waste.stall += stall * (active + paused);

  // What the recomputed tokens added to the step, while everything was resident.
  const double recompute =
      notes.query_tokens == 0 ? 0
                              : Seconds(result.compute) * notes.recompute_tokens / notes.query_tokens;
  waste.recompute += recompute * active;
}

}  // namespace infercept
