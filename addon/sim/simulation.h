// The scheduler of the engine under virtual time: same code, same StepOnce, a SimExecutor instead
// of a model.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "sched/cost_model.h"
#include "sched/scheduler_config.h"
#include "sched/stats.h"
#include "sched/step_plan.h"
#include "sim/workload.h"

namespace infercept {

struct SimOptions {
  SchedulerConfig scheduler;
  CostProfile profile;  // Its window is the scheduler's.
  // Virtual time at which the simulation stops; 0: when every session has finished
  Nanos until = 0;
  // Tells the scheduler at each pause how long it will last: an oracle to compare estimators with.
  bool durations_known = false;
  // By kind: what the caller wishes for contexts that wait for it, as a tool's `disposition` does.
  // Kinds beyond the end have none.
  std::vector<std::optional<Disposition>> wishes;
  bool check_integrity = false;                  // after every step
  std::function<void(const StepPlan&)> on_plan;  // sees every plan before it is executed
  // Asked every few thousand steps; true stops the simulation (kAborted).
  std::function<bool()> cancelled;
};

// One session, in order of the workload.
struct SimSessionReport {
  Nanos arrival = -1;          // -1: a sub-agent that was not called before the simulation stopped
  Nanos first_token = -1;      // from arrival (TTFT); -1: none yet
  Nanos finished = -1;         // from arrival; -1: still running when the simulation stopped
  Nanos intercepted = 0;       // time in interceptions
  uint32_t output_tokens = 0;  // sampled
  uint32_t returned_tokens = 0;  // by interceptions
};

struct SimReport {
  std::vector<SimSessionReport> sessions;
  SchedulerStats stats;
  Nanos virtual_time = 0;
  uint64_t steps = 0;
};

// kOutOfMemory when a session could never fit.
Result<SimReport> Simulate(std::span<const SimSession> sessions, const SimOptions& options);

}  // namespace infercept
