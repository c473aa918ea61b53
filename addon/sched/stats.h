// Counters since the start, and where device memory went. Byte-seconds unless said otherwise.
#pragma once

#include <cstdint>

#include "sched/step_plan.h"

namespace infercept {

struct WasteStats {
  // Paused contexts held memory while something runnable was refused for want of it.
  double preserved_idle = 0;
  // Memory of everybody during time spent on recomputing discarded contexts.
  double recompute = 0;
  // Everything resident while a step waited for copies.
  double stall = 0;
  // Blocks that were coming in and could not be used yet.
  double swap_wait = 0;
  // Paused contexts held memory that nobody wanted: reported, not waste.
  double paused_unwanted = 0;
  // The paper's definition: all memory of paused contexts, wanted or not.
  double paper_preserved = 0;
  // Pool bytes * time: the denominator.
  double capacity = 0;

  double wasted() const { return preserved_idle + recompute + stall + swap_wait; }
};

struct SchedulerStats {
  uint64_t steps = 0;  // executed
  uint64_t query_tokens = 0;
  uint64_t recomputed_tokens = 0;
  uint64_t cached_tokens = 0;  // prompt tokens found in the prefix cache
  uint64_t swapped_out_blocks = 0;
  uint64_t swapped_in_blocks = 0;
  uint64_t discarded_blocks = 0;
  uint64_t preemptions = 0;  // running sequences that had to give blocks
  // Interceptions by the worst that happened to their context while they lasted.
  uint64_t interceptions = 0;
  uint64_t preserved = 0;
  uint64_t swapped = 0;
  uint64_t discarded = 0;
  void CountInterception(Disposition worst) {
    ++interceptions;
    ++(worst == Disposition::kDiscard ? discarded
       : worst == Disposition::kSwap  ? swapped
                                      : preserved);
  }

  WasteStats waste;
  // Now.
  uint32_t waiting = 0;
  uint32_t running = 0;
  uint32_t paused = 0;
  uint32_t device_blocks = 0;
  uint32_t device_blocks_free = 0;
  uint32_t device_blocks_cached = 0;  // unreferenced, still in the prefix cache: free on demand
  uint32_t host_blocks = 0;
  uint32_t host_blocks_free = 0;
  double cost_error = 0;  // CostModel::relative_error
};

}  // namespace infercept
