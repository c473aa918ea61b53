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

}  // namespace infercept
