// The real executor: copies, computes and samples what a plan says.
// Owner: the engine. Thread: the engine's.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "batch/batch.h"
#include "device/kv_storage.h"
#include "engine/copy_engine.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "model/model.h"

namespace infercept {

class ModelExecutor final : public Executor {
 public:
  // Everything passed in outlives the executor. REQUIRES: the storage has the model's KV shape.
  ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations, ThreadPool& pool);

  // Copies on write first; swaps run beside the computation (before it, if the plan says so); then
  // every slice with `sample` is sampled through the generation table, which keeps the events.
  Status Execute(const StepPlan& plan, StepResult& result) override;

 private:
  void Compute(const StepPlan& plan, StepResult& result);
  void SampleRows(const StepPlan& plan, uint32_t first, uint32_t count, StepResult& result);

  // Constant after construction.
  Model& model_;
  KvStorage& storage_;
  GenerationTable& generations_;
  ThreadPool& pool_;

  CopyEngine copies_;
  Batch batch_;
  std::vector<SamplerScratch> scratch_;    // [pool threads]
  std::vector<Observation> observations_;  // [logit_rows_max]
};

}  // namespace infercept
