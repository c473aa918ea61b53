#include "engine/calibration.h"

#include <algorithm>
#include <chrono>

namespace infercept {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Longer contexts tell the line of the cost model nothing new.
constexpr uint32_t kContextTokensMax = 4096;
// Each point takes a quarter of the time of the next.
constexpr uint32_t kGrowth = 4;
// Of the budget, for copies of both directions.
constexpr Nanos kCopyShare = 8;
constexpr uint32_t kCopyBlocks[] = {1, 8, 64};

Nanos Since(SteadyClock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - begin).count();
}

template <typename Body>
Nanos Time(const Body& body) {
  const SteadyClock::time_point begin = SteadyClock::now();
  body();
  return Since(begin);
}

// Of `count` queries, the last of which stands at the end of `context` tokens: query i sees all up to itself.
uint64_t AttendedPositions(uint64_t count, uint64_t context) {
  return count * (context - count) + count * (count + 1) / 2;
}

// Steps of equal slices that all stand on the same blocks: what lies in them does not matter for the time.
class ForwardProbe {
 public:
  ForwardProbe(Model& model, const KvStorage& storage, ThreadPool& pool)
      : model_(model), storage_(storage), pool_(pool) {
    const uint64_t capacity = uint64_t{storage.device_blocks()} * storage.shape().block_tokens;
    context_tokens_max_ = static_cast<uint32_t>(std::min<uint64_t>(
        {capacity, uint64_t{model.context_tokens_max()}, uint64_t{kContextTokensMax}}));
    blocks_.resize(DivCeil(context_tokens_max_, storage.shape().block_tokens));
    for (uint32_t i = 0; i < blocks_.size(); ++i) blocks_[i] = BlockId{i};
  }

  uint32_t context_tokens_max() const { return context_tokens_max_; }

  // `slices` slices of `count` tokens each, the last of which has position `context` - 1.
  ForwardSample Measure(uint32_t slices, uint32_t count, uint32_t context) {
    Prepare(slices, count, context);
    const ForwardInput input = {tokens_, positions_, slices_, logit_rows_};
    const Nanos duration = Time([&] {
      model_.Forward(input, storage_, pool_);
      model_.Logits(0, std::min(slices, model_.logit_rows_max()), pool_);
    });
    return {slices * count, slices * AttendedPositions(count, context), duration};
  }

 private:
  void Prepare(uint32_t slices, uint32_t count, uint32_t context) {
    tokens_.assign(slices * count, 0);
    positions_.clear();
    slices_.clear();
    logit_rows_.clear();
    for (uint32_t slice = 0; slice < slices; ++slice) {
      slices_.push_back({slice * count, count, context - count, blocks_.data()});
      for (uint32_t i = 0; i < count; ++i) positions_.push_back(context - count + i);
      logit_rows_.push_back(slice * count + count - 1);
    }
  }

  Model& model_;
  const KvStorage& storage_;
  ThreadPool& pool_;
  uint32_t context_tokens_max_ = 0;
  std::vector<BlockId> blocks_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> positions_;
  std::vector<AttentionSlice> slices_;
  std::vector<uint32_t> logit_rows_;
};

// Decodes with a short and a long context, then ever larger steps while they fit into the budget. The whole round is
// repeated while there is time, so that every point has several samples.
std::vector<ForwardSample> MeasureForward(ForwardProbe& probe, uint32_t step_tokens_max,
                                          Nanos budget) {
  const SteadyClock::time_point begin = SteadyClock::now();
  const uint32_t context_max = probe.context_tokens_max();
  std::vector<ForwardSample> samples;
  if (context_max == 0) return samples;
  const ForwardSample first = probe.Measure(1, 1, 1);  // faults pages in
  Nanos round = 0;
  do {
    const SteadyClock::time_point round_begin = SteadyClock::now();
    samples.push_back(probe.Measure(1, 1, 1));
    samples.push_back(probe.Measure(1, 1, context_max));
    Nanos last = std::min(first.duration, samples.back().duration);
    for (uint32_t tokens = kGrowth; tokens <= step_tokens_max; tokens *= kGrowth) {
      if (Since(begin) + 2 * last * kGrowth > budget) break;
      samples.push_back(probe.Measure(tokens, 1, DivCeil(context_max, kGrowth)));
      if (tokens <= context_max) samples.push_back(probe.Measure(1, tokens, tokens));
      last = samples.back().duration;
    }
    round = Since(round_begin);
  } while (Since(begin) + round < budget && samples.size() < 64);
  return samples;
}

template <typename Copy>
std::vector<CopySample> MeasureCopies(uint32_t blocks_max, Nanos budget, const Copy& copy) {
  const SteadyClock::time_point begin = SteadyClock::now();
  std::vector<CopySample> samples;
  for (const uint32_t blocks : kCopyBlocks) {
    if (blocks > blocks_max) break;
    std::vector<BlockCopy> copies;
    for (uint32_t i = 0; i < blocks; ++i) copies.push_back({BlockId{i}, BlockId{i}});
    const Nanos cold = Time([&] { copy(copies); });  // faults pages in
    const Nanos warm = Time([&] { copy(copies); });
    samples.push_back({blocks, warm});
    if (Since(begin) + kCopyBlocks[1] * (cold + warm) > budget) break;
  }
  return samples;
}

}  // namespace

Calibration Calibrate(Model& model, const KvStorage& storage, ThreadPool& pool, Nanos budget) {
  const Nanos copy_budget = budget / kCopyShare;
  ForwardProbe probe(model, storage, pool);
  Calibration calibration;
  calibration.forward = MeasureForward(probe, model.step_tokens_max(), budget - copy_budget);
  const uint32_t blocks_max = std::min(storage.device_blocks(), storage.host_blocks());
  calibration.swap_out =
      MeasureCopies(blocks_max, copy_budget / 2,
                    [&](const std::vector<BlockCopy>& copies) { storage.CopyOut(copies); });
  calibration.swap_in =
      MeasureCopies(blocks_max, copy_budget / 2,
                    [&](const std::vector<BlockCopy>& copies) { storage.CopyIn(copies); });
  return calibration;
}

}  // namespace infercept
