// Where device memory went, in byte-seconds. Every moment since the first charge is charged once.
#pragma once

#include "sched/kind_account.h"
#include "sched/scheduler_config.h"
#include "sched/sequence_table.h"
#include "sched/stats.h"
#include "sched/step_builder.h"
#include "sched/step_plan.h"

namespace infercept {

class WasteAccount {
 public:
  WasteAccount(const SchedulerConfig& config, const SequenceTable& sequences, KindAccount& kinds)
      : config_(config), sequences_(sequences), kinds_(kinds) {}

  // Nothing ran since the last charge. Call it before anything changes what is resident.
  void ChargeIdle(Nanos now);
  // A step ran and ended now. Call it before its effects are recorded, so that tables show what was
  // resident meanwhile.
  void ChargeStep(const StepResult& result, const PlanNotes& notes, Nanos now);

  const WasteStats& waste() const { return waste_; }
  // The kinds' rows add up to the whole, but for rounding; throws InternalError if not.
  void CheckIntegrity() const;

 private:
  void ChargeStall(double byte_seconds, const PlanNotes& notes);
  void ChargeRecompute(double byte_seconds_per_token, const PlanNotes& notes);
  double Bytes(uint64_t blocks) const;

  const SchedulerConfig& config_;
  const SequenceTable& sequences_;
  KindAccount& kinds_;
  WasteStats waste_;
  Nanos charged_until_ = -1;  // -1: before the first charge
};

}  // namespace infercept
