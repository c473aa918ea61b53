// The part of StepBuilder that looks for contexts that may have to give way: the policy's input.
//
// Where many wait, looking at each in each step would take longer than the step. All are looked at
// once in a while; in the steps between only those that stay away longest, the longest first, and
// no more of them than will do.
#include <algorithm>
#include <tuple>

#include "sched/step_builder.h"

namespace infercept {
namespace {

// So many contexts, of those that can leave and of those that can be copied ahead, are remembered,
// and for so many steps. A link that keeps up with the model takes some three contexts per step.
constexpr size_t kRemembered = 256;
constexpr uint64_t kRememberedSteps = 64;
// When too few are left, all are looked at again as soon as that is so many per step.
constexpr size_t kRankedPerStep = 64;
// In each step so many at least: a decode that finds no block may need more than was foreseen.
constexpr size_t kLeast = 8;

// Contexts whose memory is fetched before they are looked at.
constexpr size_t kAhead = 8;

bool StaysLonger(const RankedContext& a, const RankedContext& b) {
  return std::tuple(-a.residual_seconds, a.place) < std::tuple(-b.residual_seconds, b.place);
}

void Remember(LongestWaits::List& list) {
  std::vector<RankedContext>& ranked = list.ranked;
  const auto last = ranked.begin() + static_cast<ptrdiff_t>(std::min(ranked.size(), kRemembered));
  std::partial_sort(ranked.begin(), last, ranked.end(), StaysLonger);
  list.longest.clear();
  for (auto context = ranked.begin(); context != last; ++context) {
    list.longest.push_back(context->seq);
  }
}

bool CanLeave(const BlockTable& blocks, bool host_too) { return blocks.backed() > 0 || host_too; }
bool CanBeCopied(const BlockTable& blocks, bool) {
  return blocks.private_blocks() > blocks.backed();
}

}  // namespace

template <typename Visit>
void StepBuilder::ForEachLent(bool host_too, Visit visit) {
  if (!host_too) {
    // Each is a cache miss or three: they are fetched some steps ahead, one after the other.
    const std::vector<BlockTable*>& holders = kv_.holders(Hold::kLent);
    for (size_t i = 0; i < holders.size(); ++i) {
      if (i + 2 * kAhead < holders.size()) __builtin_prefetch(holders[i + 2 * kAhead]);
      if (i + kAhead < holders.size()) {
        __builtin_prefetch(&context_.sequences.PausedOwner(*holders[i + kAhead]).interception);
      }
      visit(context_.sequences.PausedOwner(*holders[i]));
    }
    return;
  }
  for (Sequence* sequence : context_.sequences.paused()) {
    if (sequence->blocks.hold() == Hold::kLent && !sequence->blocks.empty()) visit(*sequence);
  }
}

void StepBuilder::GatherPaused() {
  gathered_ = true;
  PlanBuffers& buffers = context_.buffers;
  LongestWaits& waits = buffers.waits;
  // What is on the host may have to go, too.
  const bool host_too = adaptive() && context_.config.ideas.host_turnover &&
                        load_.host_blocks_free == 0 && load_.shortage_blocks > 0;
  const size_t contexts =
      host_too ? context_.sequences.paused().size() : kv_.holders(Hold::kLent).size();
  if (!adaptive() || contexts <= kRemembered) {
    buffers.paused.clear();
    ForEachLent(host_too,
                [&](Sequence& sequence) { buffers.paused.push_back(Describe(sequence)); });
    return;
  }
  const uint64_t age = plan_.step - waits.as_of;
  if (waits.host_too == host_too && age < kRememberedSteps) {
    if (GatherLongest() || age * kRankedPerStep < contexts) return;
  }
  waits.host_too = host_too;
  waits.as_of = plan_.step;
  RankAll();
  GatherLongest();
}

void StepBuilder::RankAll() {
  LongestWaits& waits = context_.buffers.waits;
  waits.leaving.ranked.clear();
  waits.copied.ranked.clear();
  ForEachLent(waits.host_too, [&](Sequence& sequence) {
    const BlockTable& blocks = sequence.blocks;
    const RankedContext context{ResidualSeconds(sequence.interception), blocks.tag, sequence.id};
    if (CanLeave(blocks, waits.host_too)) waits.leaving.ranked.push_back(context);
    if (CanBeCopied(blocks, waits.host_too)) waits.copied.ranked.push_back(context);
  });
  Remember(waits.leaving);
  Remember(waits.copied);
}

// False: too few are remembered for what the step wants.
bool StepBuilder::GatherLongest() {
  LongestWaits& waits = context_.buffers.waits;
  context_.buffers.paused.clear();
  uint32_t backed = std::min(load_.shortage_blocks, load_.backed_blocks);
  const uint32_t to_copy = std::max(load_.ahead_blocks, load_.shortage_blocks - backed);
  uint32_t unbacked = std::min({to_copy, load_.swap_out_blocks, load_.host_blocks_free});
  uint32_t on_host = waits.host_too ? load_.host_room_blocks : 0;
  size_t least = kLeast;
  const auto count = [&](const PausedContext& context) {
    backed -= std::min(backed, context.backed_blocks);
    unbacked -= std::min(unbacked, context.device_blocks - context.backed_blocks);
    on_host -= std::min(on_host, context.host_blocks);
    least -= std::min<size_t>(least, 1);
  };
  Gather(waits.leaving, CanLeave, count, [&] { return backed + on_host + least == 0; });
  Gather(waits.copied, CanBeCopied, count, [&] { return unbacked == 0; });
  return backed + unbacked + on_host == 0;
}

// Forgets those that came back, or have nothing left to give.
template <typename Gives, typename Count, typename Enough>
void StepBuilder::Gather(LongestWaits::List& list, Gives gives, Count count, Enough enough) {
  std::vector<PausedContext>& gathered = context_.buffers.paused;
  auto seq = list.longest.begin();
  auto kept = seq;
  for (; seq != list.longest.end() && !enough(); ++seq) {
    Sequence* sequence = context_.sequences.Find(*seq);
    if (sequence == nullptr || sequence->blocks.hold() != Hold::kLent) continue;
    if (!gives(sequence->blocks, context_.buffers.waits.host_too)) continue;
    *kept++ = *seq;
    if (std::ranges::find(gathered, *seq, &PausedContext::seq) != gathered.end()) continue;
    const PausedContext context = Describe(*sequence);
    if (!WorthMoving(context, load_, context_.cost)) continue;
    gathered.push_back(context);
    count(context);
  }
  list.longest.erase(kept, seq);
}

}  // namespace infercept
