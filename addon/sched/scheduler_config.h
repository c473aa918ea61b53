// What the owner of a scheduler decides once.
#pragma once

#include <cstdint>

#include "kv/kv_manager.h"
#include "sched/policy.h"
#include "sched/queue_order.h"

namespace infercept {

struct SchedulerConfig {
  KvConfig kv;
  PolicyKind policy = PolicyKind::kAdaptive;
  AdaptiveIdeas ideas;
  SloWeights slo;
  uint32_t context_tokens_max = 2048;  // of one sequence: the model's limit
  uint32_t step_tokens_max = 512;      // of one step: the executor's workspace
  uint32_t saturation_tokens = 0;      // S; 0: from the cost model
  uint32_t slices_max = 512;           // sequences in one step
  // False: interceptions are expected to last as long as they have lasted (InferCept §4.4). For
  // comparisons only.
  bool learn_durations = true;
};

}  // namespace infercept
