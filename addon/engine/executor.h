// Everything below the scheduler, real or simulated. One method on purpose.
#pragma once

#include "base/status.h"
#include "sched/step_plan.h"

namespace infercept {

class Executor {
 public:
  virtual ~Executor() = default;
  // Performs the plan and fills `result`. An error leaves the executor unusable: the engine becomes
  // failed.
  virtual Status Execute(const StepPlan& plan, StepResult& result) = 0;
};

}  // namespace infercept
