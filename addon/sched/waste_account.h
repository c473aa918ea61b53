// Where device memory went, in byte-seconds. Every moment since the first charge is charged once.
#pragma once

#include "sched/scheduler_config.h"
#include "sched/sequence_table.h"
#include "sched/stats.h"
#include "sched/step_builder.h"
#include "sched/step_plan.h"

namespace infercept {

class WasteAccount {
 public:
  WasteAccount(const SchedulerConfig& config, const SequenceTable& sequences)
      : config_(config), sequences_(sequences) {}

  // Nothing ran since the last charge. Call it before anything changes what is resident.
  void ChargeIdle(Nanos now);
  // A step ran and ended now. Call it before its effects are recorded, so that tables show what was
  // resident meanwhile.
  void ChargeStep(const StepResult& result, const PlanNotes& notes, Nanos now);

  const WasteStats& waste() const { return waste_; }

 private:
  double Bytes(uint64_t blocks) const;

  const SchedulerConfig& config_;
  const SequenceTable& sequences_;
  WasteStats waste_;
  Nanos charged_until_ = -1;  // -1: before the first charge
};

}  // namespace infercept
