// Lives a random world on a scheduler, through the loop body of the engine, and checks after every
// step what must always hold:
//
//   integrity   every block is free or referenced as often as its count says; none is left at the
//               end
//   hazards     no block is used before its copy is complete or written while it is copied out;
//               every slice reads what was computed for its context (memory_model.h)
//   budgets     query tokens, slices and copies of a plan
//   liveness    the head of the queue goes on within the steps that scheduler.h promises
//   accounts    waste by kind adds up to all waste, regrets add up and are never negative
//   states      the scheduler's sequences, statuses, tokens and events are those of a plain model
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "random_world.h"
#include "sched/stats.h"

namespace infercept::test {

// What is wrong with the times that the scheduler is told. What happens when stays as it is.
enum class TimeFault : uint8_t {
  kNone,
  kZeroDurations,  // every step takes no time
  kHugeDurations,  // steps and copies take up to three centuries
  kLateCopies,     // copies are reported to have taken longer than their step
  kWildClock,      // the clock leaps years ahead and back
};

struct RunOptions {
  // Sequence id of each life; empty: its index.
  std::vector<uint32_t> ids;
  // Not 0: other allocations come between, so that objects lie elsewhere.
  uint64_t scatter_seed = 0;
  TimeFault time_fault = TimeFault::kNone;
  // Every step is planned while the one before it runs.
  bool ahead = false;
  // Stop at this time; 0: when everybody's life is over.
  Nanos until = 0;
};

struct WorldOutcome {
  std::string violation;  // empty: everything held
  uint32_t lives = 0;     // that were submitted or forked, and ended
  uint64_t steps = 0;
  uint64_t plans = 0;               // digest of every plan, with lives in place of sequence ids
  std::vector<Nanos> ended;         // by life; -1: it never ended
  std::vector<uint32_t> generated;  // by life: tokens sampled
  Nanos time = 0;
  SchedulerStats stats;
};

WorldOutcome RunWorld(const World& world, const RunOptions& options = {});

}  // namespace infercept::test
