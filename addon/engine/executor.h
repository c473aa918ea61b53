// Everything below the scheduler, real or simulated.
#pragma once

#include "base/check.h"
#include "base/status.h"
#include "sched/step_plan.h"

namespace infercept {

// Steps that can be under way at once: one that computes, and one that waits for it.
inline constexpr uint32_t kStepsUnderWayMax = 2;

class Executor {
 public:
  virtual ~Executor() = default;
  // Performs the plan and fills `result`. An error leaves the executor unusable: the engine becomes
  // failed.
  virtual Status Execute(const StepPlan& plan, StepResult& result) = 0;

  // Where a device works while the host goes on, the same in two halves, so that a step can begin
  // before the one before it has finished: Begin, Begin, Finish, Begin, Finish, ... All work of a
  // step comes after all work of the step before it; that is for the device to see to.
  virtual bool runs_ahead() const { return false; }
  // Enqueues the step. The plan is not looked at any more when this returns. At most one step is
  // under way before; its samples are what plan.awaited asks for.
  virtual Status Begin(const StepPlan& plan) {
    static_cast<void>(plan);
    IC_CHECK(false);
    return Status();
  }
  // Waits for the oldest step under way, and says what it did. StepResult::total is the time since
  // the step before it was done, or since Begin if that was later. A sequence whose turn was over
  // with the step before gets Outcome::kVoid here, and nothing is recorded of its token.
  virtual Status Finish(StepResult& result) {
    static_cast<void>(result);
    IC_CHECK(false);
    return Status();
  }
};

}  // namespace infercept
