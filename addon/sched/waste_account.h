// Where device memory went during one step, in byte-seconds.
#pragma once

#include "sched/scheduler_config.h"
#include "sched/sequence_table.h"
#include "sched/stats.h"
#include "sched/step_builder.h"
#include "sched/step_plan.h"

namespace infercept {

struct WasteAccount {
  const SchedulerConfig& config;
  const CostModel& cost;
  const KvManager& kv;
  const SequenceTable& sequences;
  const PlanNotes& notes;

  // `elapsed`: since the last charge, idle time before the step included. REQUIRES: called before the plan's effects are
  // recorded, so that tables show what was resident while the step ran.
  void Charge(const StepResult& result, Nanos elapsed, WasteStats& waste) const;
};

}  // namespace infercept
