// A policy says, for the paused contexts of one step, which keep their device memory. Policies are
// pure functions of one type; the scheduler carries their decisions out as far as budgets and
// memory allow.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "sched/cost_model.h"
#include "sched/step_plan.h"

namespace infercept {

// What `adaptive` does beyond the paper's rule. All of it, but for comparisons.
struct AdaptiveIdeas {
  bool copy_ahead = true;      // blocks that will be wanted are on the host before they leave
  bool spare_copies = true;    // what came back stays on the host until its memory is wanted
  bool full_duplex = true;     // a budget for each direction of the link
  bool host_turnover = true;   // the full host gives up who returns last
  bool price_return = true;    // nobody is moved who returns before moving has paid
  bool partial_return = true;  // who waits for memory takes what there is already
  bool large_yield = true;     // large contexts let smaller ones pass
};

enum class PolicyKind : uint8_t {
  kDiscardRequeue,  // vLLM as the paper measured it: discard at once, a resumed request is a new
                    // one at the tail
  kDiscard,         // discard at once, but keep the arrival ("ImprovedDiscard")
  kPreserve,        // never give up, until nobody else can run
  kSwap,            // move the whole context out at once, synchronously
  kInfercept,       // the paper's min-waste rule, every step
  kAdaptive,        // prepare under pressure, give up when it is wanted, suffix first
};
std::string_view PolicyName(PolicyKind kind);
std::optional<PolicyKind> ParsePolicy(std::string_view name);

// What a policy knows about one paused context.
struct PausedContext {
  SeqId seq{};
  uint32_t place = 0;          // among all paused ones: of equal ones the first gives way
  uint32_t tokens = 0;         // C: computed tokens, wherever they are
  uint32_t device_blocks = 0;  // private device blocks: what giving up would free
  uint32_t backed_blocks = 0;  // of them, those with a copy on the host: what moving out frees now
  uint32_t host_blocks = 0;    // blocks on the host only; they are the last ones
  // Behind the window, in neither tier. If there are any, the context can only be given up as a
  // whole, and all of it is computed again.
  uint32_t released_blocks = 0;
  uint32_t block_tokens = 0;
  uint32_t groups = 1;  // so many blocks have the same tokens, each for other layers
  // Since the interception began; InferCept's own estimate of what is to come
  double elapsed_seconds = 0;
  // Expected from now on: announced by the caller, else by the DurationPredictor
  double residual_seconds = 0;
};

// What one step may spend and what it carries anyway.
struct StepLoad {
  uint32_t decode_tokens = 0;      // query tokens of running sequences
  uint32_t saturation_tokens = 0;  // S
  uint64_t running_tokens = 0;     // C_other: context tokens of running sequences on the device
  uint64_t paused_tokens = 0;      // context tokens of paused sequences on the device
  uint32_t swap_out_blocks = 0;    // budget, device -> host
  uint32_t swap_in_blocks = 0;     // budget, host -> device
  uint32_t host_blocks_free = 0;   // free ones, and spare copies of what is on the device too
  uint32_t returning_blocks = 0;   // on the host, of those that have memory and wait for the link
  uint32_t backed_blocks = 0;      // device blocks of paused contexts with a copy on the host
  // Device blocks that this step's work wants and nobody has free or on the way.
  uint32_t shortage_blocks = 0;
  // Blocks that should be backed beyond those that are, so that later steps find what they want.
  uint32_t ahead_blocks = 0;
  // Of a full host, blocks to give up at a time.
  uint32_t host_room_blocks = 1;
  bool price_return = true;    // see AdaptiveIdeas
  double bytes_per_token = 0;  // M
};

using Policy = void (*)(std::span<PausedContext> paused, const StepLoad& load,
                        const CostModel& cost, std::vector<Decision>& decisions);

// Decisions list contexts in the order in which they give way; those not listed are preserved, and
// so are those that are only to be copied ahead of time (Decision::ahead). They do not depend on
// the order of `paused`, which a policy may change. No allocation once the vector had as many
// decisions as there are contexts.
Policy PolicyFunction(PolicyKind kind);

// Seconds that a step computes for: so long copies keep nobody waiting, T_copy(N) = T_step
// (InferCept §4.1). One that computes nothing may copy for as long as a saturated one would take.
double StepSeconds(uint64_t query_tokens, uint64_t kv_tokens, uint32_t saturation_tokens,
                   const CostModel& cost);
// Blocks that may leave in a step of so many tokens. `swap` waits, however long it takes.
uint32_t SwapOutBudget(PolicyKind kind, uint64_t query_tokens, const StepLoad& load,
                       const CostModel& cost);

// False: the context returns so soon that moving it out and back would free next to nothing.
bool WorthMoving(const PausedContext& context, const StepLoad& load, const CostModel& cost);

// False: whatever is paused, the policy would decide nothing.
bool PolicyActs(PolicyKind kind, const StepLoad& load);

}  // namespace infercept
