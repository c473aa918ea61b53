// Measures at load what a step and a copy cost on this machine, for the scheduler's cost model.
#pragma once

#include <functional>
#include <vector>

#include "base/types.h"
#include "sched/cost_model.h"

namespace infercept {

// A step of equal slices: `slices` of `count` tokens each, the last of which has position
// `context` - 1.
struct ProbedStep {
  uint32_t slices = 1;
  uint32_t count = 1;
  uint32_t context = 1;
};

// A machine that can be asked what things take, and how far one may go with it.
struct CostProbe {
  uint32_t step_tokens_max = 0;
  // The largest prefill worth asking for. By default enough for a processor: for its time to differ
  // from a decode's where reading the weights dominates, and to grow in proportion.
  uint32_t prefill_tokens_max = 64;
  // Sequences of the longest context that a step may have.
  uint32_t far_slices_max = 16;
  uint32_t context_tokens_max = 0;  // 0: no steps can be measured
  uint32_t copy_blocks_max = 0;     // 0: there is no host tier
  uint32_t window_tokens = 0;       // CostProfile::window_tokens
  uint32_t query_tile = 1;          // CostProfile::query_tile
  double full_share = 0;            // CostProfile::full_share
  std::function<Nanos(const ProbedStep& step)> step;
  std::function<Nanos(CopyDirection direction, uint32_t blocks)> copy;
};

struct Calibration {
  std::vector<ForwardSample> forward;
  std::vector<CopySample> swap_out;  // empty without a host tier
  std::vector<CopySample> swap_in;
};

// What is asked depends on the answers alone, and so does how much: in sum they take no longer than
// `budget`, and a decode, a prefill of 16 tokens and four copies of a block, which are always asked
// for: without them there is no line. A machine that does those in a quarter of a second is
// calibrated in half a second. Prefills grow until a token's time has ceased to fall.
Calibration Calibrate(const CostProbe& probe, Nanos budget);

}  // namespace infercept
