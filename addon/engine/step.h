// The loop body: drain, plan, execute, commit. The engine thread calls it with steady-clock time
// and a ModelExecutor, the simulation with virtual time and a SimExecutor. Nothing below this line
// knows which.
#pragma once

#include "engine/executor.h"
#include "sched/scheduler.h"

namespace infercept {

// Where time comes from.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Nanos Now() = 0;
  // Called after each executed step with what the executor says it took: virtual clocks advance,
  // real ones have.
  virtual void Advance(Nanos duration) = 0;
};

enum class StepOutcome : uint8_t { kRan, kIdle };

// One step. Commands have been applied to the scheduler before (that is "drain"). `result` is a
// buffer that keeps its capacity between calls. An error comes from the executor and is final.
Result<StepOutcome> StepOnce(Scheduler& scheduler, Executor& executor, Clock& clock,
                             StepResult& result);

// The same where the executor runs ahead: while the device computes a step, the host plans the next
// one and enqueues it, and then looks at what the one before has said.
//
//   host    | plan k+1, begin it | .... waits for k | judge and commit k | plan k+2, begin it | ...
//   device  | step k ............................. | step k+1 .....................................
class StepsAhead {
 public:
  // All outlive this.
  StepsAhead(Scheduler& scheduler, Executor& executor, Clock& clock)
      : scheduler_(scheduler), executor_(executor), clock_(clock) {}

  // Begins a step, if there is something to do, and finishes the one before, if there is one. Idle:
  // neither. An error comes from the executor and is final.
  Result<StepOutcome> Step();
  // Finishes the step under way, if there is one. Before commands are applied: they are about a
  // state that is known.
  Status Finish();

 private:
  Status FinishOldest();

  Scheduler& scheduler_;
  Executor& executor_;
  Clock& clock_;
  StepResult result_;
  bool under_way_ = false;  // A step has begun and is not committed.
};

}  // namespace infercept
