// Who says the next token of each sequence of a step: the model's device, where it is not the host
// and can; else the host, from logits that are copied back. What was sampled is judged when the
// step is done: the sequence may have paused or ended meanwhile.
//
// Owner: the executor. Thread: the engine's.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "batch/batch.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "model/device_sampler.h"
#include "model/model.h"

namespace infercept {

// What one step samples.
struct StepSamples {
  struct Row {
    TokenRequest request;
    // The sample of the step before that is the sequence's newest token, if that is awaited.
    uint32_t newest = 0;
    bool on_device = false;
  };
  std::vector<Row> rows;              // in the order of StepResult::sampled
  std::vector<SampleResult> results;  // [rows]
};

class StepSampler {
 public:
  // All outlive it. kOutOfMemory, kDevice.
  static Result<StepSampler> Create(Model& model, GenerationTable& generations, ThreadPool& pool);

  // Asks the sequences, and brings what they say to the device. kDevice.
  Status Ask(const StepPlan& plan, const Batch& batch, StepSamples& samples);
  // Where the step takes the tokens from that its plan awaits. Valid until the next Ask.
  TokenPicks awaited() const;
  // Enqueues all samples of the step that Model::Forward computed last. Waits for it if the host
  // has to sample. `step` is below kStepsUnderWayMax, and another one each time. kDevice.
  Status Sample(uint32_t step, StepSamples& samples);
  // REQUIRES: the host has waited for the step.
  void Judge(uint32_t step, StepSamples& samples, StepResult& result);

 private:
  StepSampler(Model& model, GenerationTable& generations, ThreadPool& pool,
              std::optional<DeviceSampler> device);
  Status SampleOnHost(uint32_t step, uint32_t first, uint32_t count, StepSamples& samples);
  void SampleRow(uint32_t step, std::span<const float> logits, const StepSamples::Row& row,
                 SamplerScratch& scratch, SampleResult& result) const;

  // Constant after construction.
  Model* model_;
  GenerationTable* generations_;
  ThreadPool* pool_;

  std::optional<DeviceSampler> device_;    // none: the model is on the host
  std::vector<SamplerScratch> scratch_;    // [pool threads]
  std::vector<Observation> observations_;  // of the step that is judged
};

}  // namespace infercept
