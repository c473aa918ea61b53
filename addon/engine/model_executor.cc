#include "engine/model_executor.h"

#include <algorithm>
#include <utility>

namespace infercept {
namespace {

using SteadyClock = std::chrono::steady_clock;

uint32_t After(uint32_t step) { return (step + 1) % kStepsUnderWayMax; }
uint32_t Before(uint32_t step) { return (step + kStepsUnderWayMax - 1) % kStepsUnderWayMax; }

// No copy outlives a step that could not begin.
class CopiesOfBegin {
 public:
  CopiesOfBegin(CopyEngine& engine, uint32_t step) : engine_(&engine), step_(step) {}
  ~CopiesOfBegin() {
    if (engine_ != nullptr) static_cast<void>(engine_->Wait(step_));
  }
  CopiesOfBegin(const CopiesOfBegin&) = delete;
  CopiesOfBegin& operator=(const CopiesOfBegin&) = delete;
  void Keep() { engine_ = nullptr; }

 private:
  CopyEngine* engine_;
  uint32_t step_;
};

}  // namespace

Result<std::unique_ptr<ModelExecutor>> ModelExecutor::Create(Model& model, KvStorage& storage,
                                                             GenerationTable& generations,
                                                             ThreadPool& pool) {
  Result<CopyEngine> copies = CopyEngine::Create(storage, model.device());
  if (!copies.ok()) return copies.status();
  Result<StepSampler> sampler = StepSampler::Create(model, generations, pool);
  if (!sampler.ok()) return sampler.status();
  std::array<UnderWay, kStepsUnderWayMax> steps;
  for (UnderWay& step : steps) {
    for (std::unique_ptr<StreamEvent>* mark : {&step.start, &step.begin, &step.end}) {
      Result<std::unique_ptr<StreamEvent>> event = model.device().CreateEvent();
      if (!event.ok()) return event.status();
      *mark = std::move(event).Take();
    }
  }
  return std::unique_ptr<ModelExecutor>(
      new ModelExecutor(model, storage, generations, pool, std::move(copies).Take(),
                        std::move(sampler).Take(), std::move(steps)));
}

ModelExecutor::ModelExecutor(Model& model, KvStorage& storage, GenerationTable& generations,
                             ThreadPool& pool, CopyEngine copies, StepSampler sampler,
                             std::array<UnderWay, kStepsUnderWayMax> steps)
    : model_(model),
      storage_(storage),
      pool_(pool),
      copies_(std::move(copies)),
      sampler_(std::move(sampler)),
      steps_(std::move(steps)) {
  IC_CHECK(generations.vocabulary_size() == model.hyperparameters().vocabulary_size);
  IC_CHECK(generations.context_tokens_max() <= model.context_tokens_max());
}

ModelExecutor::~ModelExecutor() {
  for (uint32_t step = 0; step < kStepsUnderWayMax; ++step) static_cast<void>(copies_.Wait(step));
  static_cast<void>(model_.stream().Synchronize());
}

Status ModelExecutor::Execute(const StepPlan& plan, StepResult& result) {
  IC_CHECK(under_way_ == 0);
  Status status = Begin(plan);
  return status.ok() ? Finish(result) : status;
}

Status ModelExecutor::Begin(const StepPlan& plan) {
  IC_CHECK(under_way_ < kStepsUnderWayMax);
  UnderWay& step = steps_[next_];
  step.begun = SteadyClock::now();
  Stream& stream = model_.stream();
  CopiesOfBegin copies(copies_, next_);
  copies_.HoldBack(Before(next_), stream);
  stream.Record(*step.start);
  storage_.CopyWithin(plan.copies, stream);
  copies_.Start(next_, plan.swap_out, plan.swap_in, step.start.get());
  if (plan.swaps_block_compute) copies_.HoldBack(next_, stream);
  stream.Record(*step.begin);
  if (Status status = Compute(plan, next_); !status.ok()) return status;
  stream.Record(*step.end);
  copies.Keep();
  next_ = After(next_);
  ++under_way_;
  return Status();
}

Status ModelExecutor::Compute(const StepPlan& plan, uint32_t number) {
  StepSamples& samples = steps_[number].samples;
  const KvShape& shape = storage_.shape();
  batch_.Assign(plan, shape.block_tokens, shape.groups.count);
  if (Status status = sampler_.Ask(plan, batch_, samples); !status.ok()) return status;
  if (plan.slices.empty()) return Status();
  ForwardInput input = batch_.input();
  input.awaited = sampler_.awaited();
  model_.Forward(input, storage_, pool_);
  return sampler_.Sample(number, samples);
}

Status ModelExecutor::Finish(StepResult& result) {
  IC_CHECK(under_way_ > 0);
  const uint32_t number = under_way_-- == 1 ? Before(next_) : next_;  // of two, the older one
  UnderWay& step = steps_[number];
  result.Clear();
  if (Status status = step.end->Synchronize(); !status.ok()) return status;
  sampler_.Judge(number, step.samples, result);
  const Result<CopyTimes> times = copies_.Wait(number);
  if (!times.ok()) return times.status();
  result.swap_out = times.value().swap_out;
  result.swap_in = times.value().swap_in;
  const Result<Nanos> compute = step.end->ElapsedSince(*step.begin);
  if (!compute.ok()) return compute.status();
  result.compute = compute.value();
  const Time since = std::max(step.begun, std::exchange(finished_, SteadyClock::now()));
  result.total = std::chrono::duration_cast<std::chrono::nanoseconds>(finished_ - since).count();
  return Status();
}

}  // namespace infercept
