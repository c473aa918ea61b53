#include "engine/step_sampler.h"

#include <algorithm>
#include <utility>

namespace infercept {

Result<StepSampler> StepSampler::Create(Model& model, GenerationTable& generations,
                                        ThreadPool& pool) {
  if (model.device().properties().is_host) {
    return StepSampler(model, generations, pool, std::nullopt);
  }
  Result<DeviceSampler> device = DeviceSampler::Create(model.ops(), model.device(), model.stream(),
                                                       model.step_tokens_max(), kStepsUnderWayMax);
  if (!device.ok()) return device.status();
  return StepSampler(model, generations, pool, std::move(device).Take());
}

StepSampler::StepSampler(Model& model, GenerationTable& generations, ThreadPool& pool,
                         std::optional<DeviceSampler> device)
    : model_(&model),
      generations_(&generations),
      pool_(&pool),
      device_(std::move(device)),
      scratch_(pool.threads()) {
  for (SamplerScratch& scratch : scratch_) scratch.Reserve(generations.vocabulary_size());
  observations_.resize(model.logit_rows_max());
}

Status StepSampler::Ask(const StepPlan& plan, const Batch& batch, StepSamples& samples) {
  samples.rows.clear();
  auto awaited = plan.awaited.begin();
  for (size_t i = 0; i < batch.sampled_slices().size(); ++i) {
    const SeqId seq = plan.slices[batch.sampled_slices()[i]].seq;
    const uint32_t row = batch.input().logit_rows[i];
    awaited = std::find_if(awaited, plan.awaited.end(),
                           [row](const AwaitedToken& token) { return token.row >= row; });
    const bool ahead = awaited != plan.awaited.end() && awaited->row == row;
    const TokenRequest request =
        ahead ? generations_->RequestAhead(seq) : generations_->Request(seq);
    const bool on_device = device_ && DeviceSampler::Takes(*request.sample.params);
    samples.rows.push_back({request, ahead ? awaited->sample : 0, on_device});
  }
  if (samples.results.size() < samples.rows.size()) samples.results.resize(samples.rows.size());
  if (!device_) return Status();
  device_->Clear();
  for (const StepSamples::Row& row : samples.rows) {
    row.on_device ? device_->Add(row.request.sample, row.newest) : device_->AddOther();
  }
  for (const AwaitedToken& token : plan.awaited) device_->Await({token.row, token.sample});
  return device_->Send();
}

TokenPicks StepSampler::awaited() const { return device_ ? device_->awaited() : TokenPicks(); }

Status StepSampler::Sample(uint32_t step, StepSamples& samples) {
  const auto rows = static_cast<uint32_t>(samples.rows.size());
  for (uint32_t first = 0; first < rows; first += model_->logit_rows_max()) {
    const uint32_t count = std::min(rows - first, model_->logit_rows_max());
    model_->ComputeLogits(first, count, *pool_);
    if (device_) model_->Sample(device_->rows(first, count));
    if (Status status = SampleOnHost(step, first, count, samples); !status.ok()) return status;
  }
  if (device_) device_->Fetch(step);
  return Status();
}

// The rest of the rows, if there are any.
Status StepSampler::SampleOnHost(uint32_t step, uint32_t first, uint32_t count,
                                 StepSamples& samples) {
  const auto rows = std::span(samples.rows).subspan(first, count);
  if (std::ranges::all_of(rows, &StepSamples::Row::on_device)) return Status();
  const Result<std::span<const float>> logits = model_->ReadLogits();
  if (!logits.ok()) return logits.status();
  const size_t vocabulary = generations_->vocabulary_size();
  pool_->ParallelFor(count, 1, [&](uint32_t begin, uint32_t end, uint32_t thread) {
    for (uint32_t i = begin; i < end; ++i) {
      if (rows[i].on_device) continue;
      SampleRow(step, logits.value().subspan(i * vocabulary, vocabulary), rows[i], scratch_[thread],
                samples.results[first + i]);
    }
  });
  for (uint32_t i = 0; device_ && i < count; ++i) {
    if (!rows[i].on_device) device_->Put(first + i, samples.results[first + i].token);
  }
  return Status();
}

void StepSampler::SampleRow(uint32_t step, std::span<const float> logits,
                            const StepSamples::Row& row, SamplerScratch& scratch,
                            SampleResult& result) const {
  SampleRequest request = row.request.sample;
  std::vector<TokenId> recent;
  if (std::exchange(request.lacks_newest, false)) {
    recent.assign(request.recent.begin(), request.recent.end());
    // Of the step before, which is done: logits of this one were read.
    const uint32_t before = (step + kStepsUnderWayMax - 1) % kStepsUnderWayMax;
    recent.push_back(device_->Token(before, row.newest));
    request.recent = recent;
  }
  infercept::Sample(logits, request, scratch, result);
}

void StepSampler::Judge(uint32_t step, StepSamples& samples, StepResult& result) {
  const auto rows = static_cast<uint32_t>(samples.rows.size());
  if (observations_.size() < rows) observations_.resize(rows);
  pool_->ParallelFor(rows, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
    for (uint32_t i = begin; i < end; ++i) {
      const StepSamples::Row& row = samples.rows[i];
      if (row.on_device) device_->Read(step, i, samples.results[i]);
      generations_->Observe(row.request.seq, row.request.revision, samples.results[i],
                            observations_[i]);
    }
  });
  for (uint32_t i = 0; i < rows; ++i) {
    result.sampled.push_back(observations_[i].sampled);
    generations_->Publish(observations_[i]);
  }
}

}  // namespace infercept
