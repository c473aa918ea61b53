#include "sched/waste.h"

#include <algorithm>

namespace infercept {

double TokensIn(const PausedContext& context, uint64_t blocks) {
  return static_cast<double>(blocks * context.block_tokens) / context.groups;
}

uint64_t DeviceTokens(const PausedContext& context) {
  const auto tokens = static_cast<uint64_t>(TokensIn(context, context.device_blocks));
  return std::min<uint64_t>(context.tokens, tokens);
}

double WastePreserve(const PausedContext& context, double seconds, const StepLoad& load) {
  return seconds * TokensIn(context, context.device_blocks) * load.bytes_per_token;
}

double HeldOnAverage(double tokens, double reach_tokens) {
  if (tokens <= reach_tokens) return tokens / 2;
  return reach_tokens - reach_tokens * reach_tokens / (2 * tokens);
}

double WasteRecompute(const RecomputeRange& range, uint64_t other_tokens, double bytes_per_token,
                      const CostModel& cost) {
  const uint64_t reads = cost.KvReads(range.first, range.tokens);
  const auto tokens = static_cast<double>(range.tokens);
  const double seconds = cost.ForwardMarginal(tokens, static_cast<double>(reads));
  const double slides = HeldOnAverage(tokens, static_cast<double>(cost.reach_tokens()));
  const double held = cost.full_share() * tokens / 2 + (1 - cost.full_share()) * slides;
  return seconds * (held + static_cast<double>(other_tokens)) * bytes_per_token;
}

double WasteDiscard(const PausedContext& context, const StepLoad& load, const CostModel& cost) {
  // What is on the host are the last blocks: discarding others takes them, too.
  const uint64_t blocks = uint64_t{context.device_blocks} + context.host_blocks;
  auto tokens = static_cast<uint64_t>(TokensIn(context, blocks));
  tokens = std::min<uint64_t>(context.tokens, tokens);
  // What a window depends on is not there to begin from.
  if (context.released_blocks > 0) tokens = context.tokens;
  return WasteRecompute({context.tokens - tokens, tokens}, load.running_tokens,
                        load.bytes_per_token, cost);
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
