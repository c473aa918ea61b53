// The real executor: copies, computes and samples what a plan says, on whatever device the model is
// on. The host waits for three streams at the end of a step (one computes, two copy); within a step
// they run beside each other:
//
//   compute   copies on write | batch | layers | logits ...... | logits of more rows
//   swap out  blocks to the host ..............
//   swap in   blocks from the host ....
//   host      enqueues                         waits, samples   ...          waits for the copies
//
// Owner: the engine. Thread: the engine's.
#pragma once

#include <memory>
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
  // Everything passed in outlives the executor. kDevice. REQUIRES: the storage has the model's KV
  // shape and lies on its device.
  static Result<std::unique_ptr<ModelExecutor>> Create(Model& model, KvStorage& storage,
                                                       GenerationTable& generations,
                                                       ThreadPool& pool);

  // Copies on write first; swaps run beside the computation (before it, if the plan says so); then
  // every slice with `sample` is sampled through the generation table, which keeps the events.
  Status Execute(const StepPlan& plan, StepResult& result) override;

 private:
  ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations, ThreadPool& pool,
                CopyEngine copies, std::unique_ptr<StreamEvent> begin,
                std::unique_ptr<StreamEvent> end);
  Status Compute(const StepPlan& plan, StepResult& result);
  Status SampleRows(const StepPlan& plan, uint32_t first, uint32_t count, StepResult& result);

  // Constant after construction.
  Model& model_;
  KvStorage& storage_;
  GenerationTable& generations_;
  ThreadPool& pool_;

  CopyEngine copies_;
  // Of the slices' computation.
  std::unique_ptr<StreamEvent> begin_;
  std::unique_ptr<StreamEvent> end_;
  Batch batch_;
  std::vector<SamplerScratch> scratch_;    // [pool threads]
  std::vector<Observation> observations_;  // [logit_rows_max]
};

}  // namespace infercept
