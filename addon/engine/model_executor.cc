#include "engine/model_executor.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace infercept {
namespace {

using SteadyClock = std::chrono::steady_clock;

Nanos Since(SteadyClock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - begin).count();
}

// Whatever happens, no copy outlives the step.
class CopiesUnderWay {
 public:
  explicit CopiesUnderWay(CopyEngine& engine) : engine_(engine) {}
  ~CopiesUnderWay() { static_cast<void>(engine_.Wait()); }
  CopiesUnderWay(const CopiesUnderWay&) = delete;
  CopiesUnderWay& operator=(const CopiesUnderWay&) = delete;

 private:
  CopyEngine& engine_;
};

}  // namespace

Result<std::unique_ptr<ModelExecutor>> ModelExecutor::Create(Model& model, KvStorage& storage,
                                                             GenerationTable& generations,
                                                             ThreadPool& pool) {
  Result<CopyEngine> copies = CopyEngine::Create(storage, model.device());
  if (!copies.ok()) return copies.status();
  Result<std::unique_ptr<StreamEvent>> begin = model.device().CreateEvent();
  if (!begin.ok()) return begin.status();
  Result<std::unique_ptr<StreamEvent>> end = model.device().CreateEvent();
  if (!end.ok()) return end.status();
  return std::unique_ptr<ModelExecutor>(
      new ModelExecutor(model, storage, generations, pool, std::move(copies).Take(),
                        std::move(begin).Take(), std::move(end).Take()));
}

ModelExecutor::ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations,
                             ThreadPool& pool, CopyEngine copies,
                             std::unique_ptr<StreamEvent> begin, std::unique_ptr<StreamEvent> end)
    : model_(model),
      storage_(storage),
      generations_(generations),
      pool_(pool),
      copies_(std::move(copies)),
      begin_(std::move(begin)),
      end_(std::move(end)) {
  IC_CHECK(generations.vocabulary_size() == model.hyperparameters().vocabulary_size);
  IC_CHECK(generations.context_tokens_max() <= model.context_tokens_max());
  scratch_.resize(pool.threads());
  for (SamplerScratch& scratch : scratch_) scratch.Reserve(generations.vocabulary_size());
  observations_.resize(model.logit_rows_max());
}

Status ModelExecutor::Execute(const StepPlan& plan, StepResult& result) {
  const SteadyClock::time_point begin = SteadyClock::now();
  result.Clear();
  Stream& stream = model_.stream();
  const CopiesUnderWay copies_end_with_the_step(copies_);
  storage_.CopyWithin(plan.copies, stream);
  copies_.Start(plan.swap_out, plan.swap_in);
  if (plan.swaps_block_compute) copies_.HoldBack(stream);
  if (!plan.slices.empty()) {
    if (Status status = Compute(plan, result); !status.ok()) return status;
  }
  const Result<CopyTimes> times = copies_.Wait();
  if (!times.ok()) return times.status();
  result.swap_out = times.value().swap_out;
  result.swap_in = times.value().swap_in;
  if (Status status = stream.Synchronize(); !status.ok()) return status;
  result.total = Since(begin);
  return Status();
}

Status ModelExecutor::Compute(const StepPlan& plan, StepResult& result) {
  Stream& stream = model_.stream();
  stream.Record(*begin_);
  batch_.Assign(plan, storage_.shape().block_tokens);
  model_.Forward(batch_.input(), storage_, pool_);
  const auto rows = static_cast<uint32_t>(batch_.sampled_slices().size());
  for (uint32_t first = 0; first < rows; first += model_.logit_rows_max()) {
    const uint32_t count = std::min(rows - first, model_.logit_rows_max());
    if (Status status = SampleRows(plan, first, count, result); !status.ok()) return status;
  }
  stream.Record(*end_);
  if (Status status = stream.Synchronize(); !status.ok()) return status;
  const Result<Nanos> compute = end_->ElapsedSince(*begin_);
  if (!compute.ok()) return compute.status();
  result.compute = compute.value();
  return Status();
}

Status ModelExecutor::SampleRows(const StepPlan& plan, uint32_t first, uint32_t count,
                                 StepResult& result) {
  const Result<std::span<const float>> rows = model_.Logits(first, count, pool_);
  if (!rows.ok()) return rows.status();
  const std::span<const float> logits = rows.value();
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
  return Status();
}

}  // namespace infercept
