// Counters since the start, and where device memory went. Byte-seconds unless said otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/types.h"
#include "sched/cost_model.h"
#include "sched/step_plan.h"

namespace infercept {

struct WasteStats {
  // Paused contexts held memory that something runnable wanted in vain.
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

// The part of one kind of interception in WasteStats: contexts that waited for it, and what coming
// back from it cost. Without kPreemptionKind's, each is one kind of tool, or a family.
struct KindWaste {
  KindId kind = kUnknownKind;
  double preserved_idle = 0;
  double recompute = 0;
  double stall = 0;
  double swap_wait = 0;
  double paused_unwanted = 0;
  // Completed ones, by the worst that happened to their context.
  std::array<uint64_t, kDispositions> interceptions{};
  std::array<double, kDispositions> regret{};  // of these; see sched/hindsight.h
};

// Running contexts that gave way to older ones and had to be computed again: no interception's.
inline constexpr KindId kPreemptionKind{UINT32_MAX};

struct SchedulerStats {
  uint64_t steps = 0;  // executed
  uint64_t query_tokens = 0;
  uint64_t recomputed_tokens = 0;
  uint64_t cached_tokens = 0;  // prompt tokens found in the prefix cache
  uint64_t swapped_out_blocks = 0;
  uint64_t swapped_in_blocks = 0;
  uint64_t discarded_blocks = 0;
  uint64_t preemptions = 0;  // running sequences that had to give blocks

  WasteStats waste;
  std::vector<KindWaste> kinds;  // Adds up to waste; at most KindAccount::kRowsMax.
  // Now.
  uint32_t waiting = 0;
  uint32_t running = 0;
  uint32_t paused = 0;
  uint32_t device_blocks = 0;
  uint32_t device_blocks_free = 0;
  uint32_t device_blocks_cached = 0;  // unreferenced, still in the prefix cache: free on demand
  uint32_t host_blocks = 0;
  uint32_t host_blocks_free = 0;
  // What steps took to compute, in sum, and what the cost model had predicted of each.
  double measured_seconds = 0;
  double predicted_seconds = 0;
  double cost_error = 0;  // CostModel::relative_error
  CostProfile cost;       // CostModel::profile

  // Completed ones of all kinds to whose context nothing worse happened than this, but this.
  uint64_t Interceptions(Disposition worst) const {
    uint64_t count = 0;
    for (const KindWaste& kind : kinds) count += kind.interceptions[static_cast<size_t>(worst)];
    return count;
  }
};

}  // namespace infercept
