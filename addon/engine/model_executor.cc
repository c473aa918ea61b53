#include "engine/model_executor.h"

#include <algorithm>
#include <chrono>

namespace infercept {
namespace {

using SteadyClock = std::chrono::steady_clock;

Nanos Since(SteadyClock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - begin).count();
}

// Whatever happens, no copy outlives the step.
class CopiesUnderWay {
 public:
  CopiesUnderWay(CopyEngine& engine, const StepPlan& plan) : engine_(engine) {
    engine_.Start(plan.swap_out, plan.swap_in);
  }
  ~CopiesUnderWay() { engine_.Join(); }
  CopiesUnderWay(const CopiesUnderWay&) = delete;
  CopiesUnderWay& operator=(const CopiesUnderWay&) = delete;

 private:
  CopyEngine& engine_;
};

}  // namespace

ModelExecutor::ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations,
                             ThreadPool& pool)
    : model_(model), storage_(storage), generations_(generations), pool_(pool), copies_(storage) {
  IC_CHECK(generations.vocabulary_size() == model.hyperparameters().vocabulary_size);
  IC_CHECK(generations.context_tokens_max() <= model.context_tokens_max());
  scratch_.resize(pool.threads());
  for (SamplerScratch& scratch : scratch_) scratch.Reserve(generations.vocabulary_size());
  observations_.resize(model.logit_rows_max());
}

Status ModelExecutor::Execute(const StepPlan& plan, StepResult& result) {
  const SteadyClock::time_point begin = SteadyClock::now();
  result.Clear();
  storage_.CopyWithin(plan.copies);
  {
    const CopiesUnderWay copies(copies_, plan);
    if (plan.swaps_block_compute) copies_.Join();
    if (!plan.slices.empty()) Compute(plan, result);
  }
  const CopyTimes times = copies_.Wait();
  result.swap_out = times.swap_out;
  result.swap_in = times.swap_in;
  result.total = Since(begin);
  return Status();
}

void ModelExecutor::Compute(const StepPlan& plan, StepResult& result) {
  const SteadyClock::time_point begin = SteadyClock::now();
  batch_.Assign(plan, storage_.shape().block_tokens);
  model_.Forward(batch_.input(), storage_, pool_);
  const auto rows = static_cast<uint32_t>(batch_.sampled_slices().size());
  for (uint32_t first = 0; first < rows; first += model_.logit_rows_max()) {
    SampleRows(plan, first, std::min(rows - first, model_.logit_rows_max()), result);
  }
  result.compute = Since(begin);
}

void ModelExecutor::SampleRows(const StepPlan& plan, uint32_t first, uint32_t count,
                               StepResult& result) {
  const std::span<const float> logits = model_.Logits(first, count, pool_);
  const size_t vocabulary = generations_.vocabulary_size();
  pool_.ParallelFor(count, 1, [&](uint32_t begin, uint32_t end, uint32_t thread) {
    for (uint32_t row = begin; row < end; ++row) {
      const SeqId seq = plan.slices[batch_.sampled_slices()[first + row]].seq;
      generations_.Observe(seq, logits.subspan(row * vocabulary, vocabulary), scratch_[thread],
                           observations_[row]);
    }
  });
  for (uint32_t row = 0; row < count; ++row) {
    result.sampled.push_back(observations_[row].sampled);
    generations_.Publish(observations_[row]);
  }
}

}  // namespace infercept
