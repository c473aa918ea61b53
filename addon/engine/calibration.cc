#include "engine/calibration.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <span>

namespace infercept {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Longer contexts tell the line of the cost model nothing new.
constexpr uint32_t kContextTokensMax = 4096;
// Tokens of the prefills that are measured: enough for their time to differ from a decode's where
// reading the weights dominates, and enough for it to grow in proportion. Larger ones only take
// longer to say the same.
constexpr uint32_t kFewTokens = 16;
constexpr uint32_t kManyTokens = 64;
// Sizes of copies grow by this factor.
constexpr uint32_t kGrowth = 4;
// More samples do not change the fit of three coefficients.
constexpr size_t kSamplesMax = 64;
// Blocks of the longest copy: megabytes, so that caches do not flatter it, and few enough for
// milliseconds.
constexpr uint32_t kCopyBlocksMax = 16;
constexpr int kCopyRepetitions = 3;

Nanos Since(SteadyClock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - begin).count();
}

template <typename Body>
Nanos Time(const Body& body) {
  const SteadyClock::time_point begin = SteadyClock::now();
  body();
  return Since(begin);
}

// Of `count` queries, the last of which stands at the end of `context` tokens: query i sees all up
// to itself.
uint64_t AttendedPositions(uint64_t count, uint64_t context) {
  return count * (context - count) + count * (count + 1) / 2;
}

// Steps of equal slices that all stand on the same blocks: what lies in them does not matter for
// the time.
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

// One round: a decode, a prefill, decodes with long contexts, a larger prefill. The first two are
// always made, because one without the other gives no slope; the rest while it is expected to end
// within `left`.
void MeasureRound(ForwardProbe& probe, uint32_t step_tokens_max, Nanos left,
                  std::vector<ForwardSample>& samples) {
  const SteadyClock::time_point begin = SteadyClock::now();
  const uint32_t context_max = probe.context_tokens_max();
  const uint32_t tokens_max = std::min(step_tokens_max, context_max);
  const uint32_t few = std::min(kFewTokens, tokens_max);
  const uint32_t many = std::min(kManyTokens, tokens_max);
  samples.push_back(probe.Measure(1, 1, 1));
  samples.push_back(probe.Measure(1, few, few));
  const Nanos few_duration = samples.back().duration;
  if (Since(begin) + 2 * few_duration > left) return;
  samples.push_back(probe.Measure(few, 1, context_max));
  if (Since(begin) + kManyTokens / kFewTokens * few_duration > left) return;
  samples.push_back(probe.Measure(1, many, many));
  samples.push_back(probe.Measure(1, 1, context_max));
}

// Whole rounds while there is time, so that every point has several samples.
std::vector<ForwardSample> MeasureForward(ForwardProbe& probe, uint32_t step_tokens_max,
                                          Nanos budget) {
  const SteadyClock::time_point begin = SteadyClock::now();
  std::vector<ForwardSample> samples;
  if (probe.context_tokens_max() == 0) return samples;
  probe.Measure(1, 1, 1);  // faults pages in
  Nanos round = 0;
  do {
    const SteadyClock::time_point round_begin = SteadyClock::now();
    MeasureRound(probe, step_tokens_max, budget - Since(begin), samples);
    round = Since(round_begin);
  } while (Since(begin) + round < budget && samples.size() < kSamplesMax);
  return samples;
}

// The best of a few times: a copy is short enough for one interruption to double it.
template <typename Copy>
std::vector<CopySample> MeasureCopies(uint32_t blocks_max, const Copy& copy) {
  std::vector<BlockCopy> copies;
  for (uint32_t i = 0; i < std::min(blocks_max, kCopyBlocksMax); ++i) {
    copies.push_back({BlockId{i}, BlockId{i}});
  }
  copy(std::span<const BlockCopy>(copies));  // faults pages in
  std::vector<CopySample> samples;
  for (uint32_t blocks = 1; blocks <= copies.size(); blocks *= kGrowth) {
    CopySample& sample =
        samples.emplace_back(CopySample{blocks, std::numeric_limits<Nanos>::max()});
    for (int i = 0; i < kCopyRepetitions; ++i) {
      const std::span<const BlockCopy> list = std::span(copies).last(blocks);
      sample.duration = std::min(sample.duration, Time([&] { copy(list); }));
    }
  }
  return samples;
}

}  // namespace

Calibration Calibrate(Model& model, const KvStorage& storage, ThreadPool& pool, Nanos budget) {
  using Copies = std::span<const BlockCopy>;
  const SteadyClock::time_point begin = SteadyClock::now();
  const uint32_t blocks_max = std::min(storage.device_blocks(), storage.host_blocks());
  Calibration calibration;
  calibration.swap_out = MeasureCopies(blocks_max, [&](Copies copies) { storage.CopyOut(copies); });
  calibration.swap_in = MeasureCopies(blocks_max, [&](Copies copies) { storage.CopyIn(copies); });
  ForwardProbe probe(model, storage, pool);
  calibration.forward = MeasureForward(probe, model.step_tokens_max(), budget - Since(begin));
  return calibration;
}

}  // namespace infercept
