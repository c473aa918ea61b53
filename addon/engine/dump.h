// The engine's state as JSON, for people and bug reports: queues, block tables, budgets, the last
// steps.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine_info.h"
#include "sched/scheduler.h"

namespace infercept {

struct DumpSource {
  const Status& failure;
  const Scheduler* scheduler;  // nullptr while there is none
  std::vector<StepRecord> steps;
};

// { state, failure?, scheduler?: { device, host, cost, sequences: [...] }, steps: [...] }
// A block is written as "d12" (device), "h3" (host) or "d12h3" (both).
std::string DumpJson(const DumpSource& source);

// [{ kind, bins: [[seconds, weight], ...] }, ...]; kind 0 is all interceptions.
std::string DurationsJson(std::span<const LearnedDurations> learned);

}  // namespace infercept
