// The real executor: copies, computes and samples what a plan says, on whatever device the model is
// on. Begin enqueues a step on three streams (one computes, two copy); within it they run beside
// each other, and Finish waits for all of them:
//
//   compute   copies on write | arrays | layers | logits, samples | samples to the host
//   swap out  blocks to the host ..............
//   swap in   blocks from the host ....
//   host      enqueues | plans and enqueues the next step         | waits, judges
//
// All work of a step comes after all work of the step before it: the compute stream waits for the
// copies of the step before, and copies wait for where it stands then. So what a plan frees can be
// used by the next one, though neither has been done.
//
// Owner: the engine. Thread: the engine's.
#pragma once

#include <array>
#include <chrono>
#include <memory>

#include "base/thread_pool.h"
#include "batch/batch.h"
#include "device/kv_storage.h"
#include "engine/copy_engine.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "engine/step_sampler.h"
#include "model/model.h"

namespace infercept {

class ModelExecutor final : public Executor {
 public:
  // Everything passed in outlives the executor. kDevice, kOutOfMemory. REQUIRES: the storage has
  // the model's KV shape and lies on its device.
  static Result<std::unique_ptr<ModelExecutor>> Create(Model& model, KvStorage& storage,
                                                       GenerationTable& generations,
                                                       ThreadPool& pool);
  // Waits for what is under way.
  ~ModelExecutor() override;

  // Copies on write first; swaps run beside the computation (before it, if the plan says so); then
  // every slice with `sample` is sampled, and judged by the generation table, which keeps the
  // events.
  Status Execute(const StepPlan& plan, StepResult& result) override;

  // Where the device is the host, Begin would do all the work.
  bool runs_ahead() const override { return !model_.device().properties().is_host; }
  // Waits for the device if the host has to sample (step_sampler.h).
  Status Begin(const StepPlan& plan) override;
  Status Finish(StepResult& result) override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  // A step that has begun.
  struct UnderWay {
    // On the compute stream: before everything; before and after what the slices compute.
    std::unique_ptr<StreamEvent> start;
    std::unique_ptr<StreamEvent> begin;
    std::unique_ptr<StreamEvent> end;
    Time begun;
    StepSamples samples;
  };

  ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations, ThreadPool& pool,
                CopyEngine copies, StepSampler sampler,
                std::array<UnderWay, kStepsUnderWayMax> steps);
  Status Compute(const StepPlan& plan, uint32_t number);

  // Constant after construction.
  Model& model_;
  KvStorage& storage_;
  ThreadPool& pool_;

  CopyEngine copies_;
  StepSampler sampler_;
  Batch batch_;
  std::array<UnderWay, kStepsUnderWayMax> steps_;
  uint32_t next_ = 0;       // which of them begins next
  uint32_t under_way_ = 0;  // how many have begun and not finished, the last of them before next_
  Time finished_;           // when the last one finished
};

}  // namespace infercept
