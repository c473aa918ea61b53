// What one run of a workload gives, in either world.
#pragma once

#include <cstdint>

#include "engine/json_writer.h"
#include "sim/simulation.h"

namespace infercept::bench {

struct Distribution {
  double mean = 0;
  double p50 = 0;
  double p99 = 0;
};

// Shares of device memory times time, by what became of it.
struct WasteShares {
  double preserved_idle = 0;
  double recompute = 0;
  double stall = 0;
  double swap_wait = 0;
  double total = 0;  // of these
  double paper = 0;  // as the paper counts: all memory of paused contexts is waste, wanted or not
};

// Of all sessions that arrived; who has not ended counts as ending with the run.
struct Outcome {
  uint32_t sessions = 0;
  uint32_t completed = 0;
  double completed_per_second = 0;
  // Time outside interceptions per sampled token.
  Distribution latency_ms;
  Distribution first_token_ms;
  WasteShares waste;
  uint64_t steps = 0;
  uint64_t computed_tokens = 0;
  uint64_t recomputed_tokens = 0;
  uint64_t swapped_out_tokens = 0;
  uint64_t swapped_in_tokens = 0;
};

Outcome Summarize(const SimReport& report, uint32_t block_tokens);

// An object of it.
void Write(const Outcome& outcome, JsonWriter& json);

}  // namespace infercept::bench
