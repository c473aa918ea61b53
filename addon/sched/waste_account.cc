#include "sched/waste_account.h"

#include <algorithm>

namespace infercept {
namespace {

double Seconds(Nanos duration) { return static_cast<double>(duration) * 1e-9; }

uint64_t DeviceBlocks(const Sequence& sequence) {
  return static_cast<uint64_t>(std::ranges::count_if(sequence.blocks, &BlockRef::on_device));
}

uint64_t DeviceBlocks(const std::vector<Sequence*>& sequences) {
  uint64_t blocks = 0;
  for (const Sequence* sequence : sequences) blocks += DeviceBlocks(*sequence);
  return blocks;
}

}  // namespace

double WasteAccount::PausedBytes() const {
  return static_cast<double>(DeviceBlocks(sequences_.paused()) * config_.kv.block_bytes);
}

double WasteAccount::ActiveBytes() const {
  return static_cast<double>(DeviceBlocks(sequences_.active()) * config_.kv.block_bytes);
}

// Of sequences that cannot run because others of their blocks are still on the host.
double WasteAccount::IncomingBytes() const {
  uint64_t blocks = 0;
  for (const Sequence* sequence : sequences_.active()) {
    const uint64_t on_device = DeviceBlocks(*sequence);
    if (on_device < sequence->blocks.size()) blocks += on_device;
  }
  return static_cast<double>(blocks * config_.kv.block_bytes);
}

void WasteAccount::ChargeIdle(Nanos now) {
  if (charged_until_ >= 0 && now > charged_until_) {
    const double seconds = Seconds(now - charged_until_);
    const double paused = PausedBytes() * seconds;
    waste_.capacity +=
        static_cast<double>(config_.kv.device_blocks * config_.kv.block_bytes) * seconds;
    waste_.paper_preserved += paused;
    waste_.paused_unwanted += paused;
  }
  charged_until_ = std::max(charged_until_, now);
}

void WasteAccount::ChargeStep(const StepResult& result, const PlanNotes& notes, Nanos now) {
  charged_until_ = now;
  const double seconds = Seconds(result.total);
  const double paused = PausedBytes();
  const double active = ActiveBytes();
  waste_.capacity +=
      static_cast<double>(config_.kv.device_blocks * config_.kv.block_bytes) * seconds;
  waste_.paper_preserved += paused * seconds;
  (notes.memory_refused ? waste_.preserved_idle : waste_.paused_unwanted) += paused * seconds;
  waste_.swap_wait += IncomingBytes() * seconds;
  if (result.swap_in > 0 || result.swap_out > 0) {
    waste_.stall += Seconds(std::max<Nanos>(0, result.total - result.compute)) * (active + paused);
  }
  if (notes.query_tokens > 0) {
    // What the recomputed tokens added to the step, while everything was resident.
    waste_.recompute +=
        Seconds(result.compute) * notes.recompute_tokens / notes.query_tokens * active;
  }
}

}  // namespace infercept
