#include "sched/waste_account.h"

#include <algorithm>

namespace infercept {
namespace {

double Seconds(Nanos duration) { return static_cast<double>(duration) * 1e-9; }

}  // namespace

double WasteAccount::Bytes(uint64_t blocks) const {
  return static_cast<double>(blocks * config_.kv.block_bytes);
}

void WasteAccount::ChargeIdle(Nanos now) {
  if (charged_until_ >= 0 && now > charged_until_) {
    const double seconds = Seconds(now - charged_until_);
    const double paused = Bytes(sequences_.paused_sums().device_blocks) * seconds;
    waste_.capacity += Bytes(config_.kv.device_blocks) * seconds;
    waste_.paper_preserved += paused;
    waste_.paused_unwanted += paused;
  }
  charged_until_ = std::max(charged_until_, now);
}

void WasteAccount::ChargeStep(const StepResult& result, const PlanNotes& notes, Nanos now) {
  charged_until_ = now;
  const double seconds = Seconds(result.total);
  const double paused = Bytes(sequences_.paused_sums().device_blocks);
  const double active = Bytes(sequences_.active_sums().device_blocks);
  waste_.capacity += Bytes(config_.kv.device_blocks) * seconds;
  waste_.paper_preserved += paused * seconds;
  (notes.memory_refused ? waste_.preserved_idle : waste_.paused_unwanted) += paused * seconds;
  // Sequences cannot run while others of their blocks are still on the host.
  waste_.swap_wait += Bytes(sequences_.active_sums().incoming_blocks) * seconds;
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
