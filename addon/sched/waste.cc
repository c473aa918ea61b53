#include "sched/waste.h"

#include <algorithm>

namespace infercept {

uint64_t DeviceTokens(const PausedContext& context) {
  return std::min<uint64_t>(context.tokens, uint64_t{context.device_blocks} * context.block_tokens);
}

double WastePreserve(const PausedContext& context, double seconds, const StepLoad& load) {
  return seconds * context.device_blocks * context.block_tokens * load.bytes_per_token;
}

double WasteDiscard(const PausedContext& context, const StepLoad& load, const CostModel& cost) {
  const uint64_t tokens = DeviceTokens(context);
  const uint64_t reads = cost.KvReads(context.tokens - tokens, tokens);
  const double seconds =
      cost.ForwardMarginal(static_cast<double>(tokens), static_cast<double>(reads));
  return seconds * (static_cast<double>(tokens) / 2.0 + static_cast<double>(load.running_tokens)) *
         load.bytes_per_token;
}

double WasteSwap(const PausedContext& context, uint32_t budget_blocks, const StepLoad& load,
                 const CostModel& cost) {
  if (context.device_blocks <= std::min(budget_blocks, load.host_blocks_free)) return 0;
  const double seconds = cost.Copy(CopyDirection::kOut, context.device_blocks) +
                         cost.Copy(CopyDirection::kIn, context.device_blocks);
  const auto resident = static_cast<double>(load.running_tokens + load.paused_tokens);
  return seconds * resident * load.bytes_per_token;
}

}  // namespace infercept
