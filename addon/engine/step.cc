#include "engine/step.h"

namespace infercept {

Result<StepOutcome> StepOnce(Scheduler& scheduler, Executor& executor, Clock& clock,
                             StepResult& result) {
  const StepPlan& plan = scheduler.Plan(clock.Now());
  if (plan.empty()) return StepOutcome::kIdle;
  result.Clear();
  if (Status status = executor.Execute(plan, result); !status.ok()) return status;
  clock.Advance(result.total);
  scheduler.Commit(result, clock.Now());
  return StepOutcome::kRan;
}

}  // namespace infercept
