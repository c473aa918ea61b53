// Measures at load what a step and a copy cost on this machine, for the scheduler's cost model.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "base/types.h"
#include "device/kv_storage.h"
#include "model/model.h"
#include "sched/cost_model.h"

namespace infercept {

struct Calibration {
  std::vector<ForwardSample> forward;
  std::vector<CopySample> swap_out;  // empty without a host tier
  std::vector<CopySample> swap_in;
};

// Overwrites blocks of both tiers: call it before the first step. `budget` bounds the whole
// measurement, but for a model so slow that the three steps that are always made take longer.
Calibration Calibrate(Model& model, const KvStorage& storage, ThreadPool& pool,
                      Nanos budget = 250'000'000);

}  // namespace infercept
