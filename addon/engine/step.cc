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

Result<StepOutcome> StepsAhead::Step() {
  const Nanos now = clock_.Now();
  const StepPlan& plan = under_way_ ? scheduler_.PlanAhead(now) : scheduler_.Plan(now);
  const bool begins = !plan.empty();
  if (!begins && !under_way_) return StepOutcome::kIdle;
  if (begins) {
    if (Status status = executor_.Begin(plan); !status.ok()) return status;
  }
  if (under_way_) {
    if (Status status = FinishOldest(); !status.ok()) return status;
  }
  under_way_ = begins;
  return StepOutcome::kRan;
}

Status StepsAhead::Finish() {
  if (!under_way_) return Status();
  under_way_ = false;
  return FinishOldest();
}

Status StepsAhead::FinishOldest() {
  result_.Clear();
  if (Status status = executor_.Finish(result_); !status.ok()) return status;
  clock_.Advance(result_.total);
  scheduler_.Commit(result_, clock_.Now());
  return Status();
}

}  // namespace infercept
