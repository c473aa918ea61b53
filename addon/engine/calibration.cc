#include "engine/calibration.h"

#include <algorithm>
#include <limits>

namespace infercept {
namespace {

// Tokens of the prefills that are measured: enough for their time to differ from a decode's where
// reading the weights dominates, and enough for it to grow in proportion. Larger ones only take
// longer to say the same.
constexpr uint32_t kFewTokens = 16;
constexpr uint32_t kManyTokens = 64;
// A decode with the longest context is expected to take up to so many times one without.
constexpr Nanos kFarSlowness = 4;
// Sizes of copies grow by this factor.
constexpr uint32_t kGrowth = 4;
// More samples do not change the fit of three coefficients.
constexpr size_t kSamplesMax = 64;
constexpr int kCopyRepetitions = 3;
// Of the budget, for each direction: copies say more in less time than steps do.
constexpr Nanos kCopyShare = 8;

// Asks for steps while the budget lasts.
class StepSampler {
 public:
  StepSampler(const CostProbe& probe, Nanos budget)
      : probe_(probe),
        reads_(CostProfile{.window_tokens = probe.window_tokens}),
        left_(budget),
        few_(std::min({kFewTokens, probe.step_tokens_max, probe.context_tokens_max})),
        many_(std::min({kManyTokens, probe.step_tokens_max, probe.context_tokens_max})) {}

  std::vector<ForwardSample> Sample() {
    const Nanos first = Ask({});  // faults the pages of weights in
    // A machine so slow is not asked twice for the same.
    if (left_ < 0) {
      Ask({1, few_, few_});
      return std::move(samples_);
    }
    if (kFarSlowness * first < left_) Ask({1, 1, probe_.context_tokens_max});  // of contexts
    samples_.clear();
    Nanos round = 0;
    do {
      const Nanos before = left_;
      Round();
      round = before - left_;
    } while (round < left_ && samples_.size() < kSamplesMax);
    return std::move(samples_);
  }

 private:
  // A decode, a prefill, and as far as they are expected to end in time: a larger prefill (while
  // reading the weights takes longer than computing, the small one says little), and decodes with a
  // long context.
  void Round() {
    const Nanos decode = Ask({});
    const Nanos few = Ask({1, few_, few_});
    if (kManyTokens / kFewTokens * few > left_) return;
    Ask({1, many_, many_});
    if (kFarSlowness * decode > left_) return;
    const Nanos far = Ask({1, 1, probe_.context_tokens_max});
    if (few_ * far > left_) return;
    Ask({few_, 1, probe_.context_tokens_max});
  }

  Nanos Ask(const ProbedStep& step) {
    const Nanos duration = probe_.step(step);
    left_ -= duration;
    const uint64_t reads = reads_.KvReads(step.context - step.count, step.count);
    samples_.push_back({step.slices * step.count, step.slices * reads, duration});
    return duration;
  }

  const CostProbe& probe_;
  const CostModel reads_;  // Asked only what attention reads.
  Nanos left_;
  uint32_t few_;
  uint32_t many_;
  std::vector<ForwardSample> samples_;
};

// The best of a few times: a copy is short enough for one interruption to double it.
CopySample MeasureCopy(const CostProbe& probe, CopyDirection direction, uint32_t blocks,
                       Nanos& left) {
  CopySample sample{blocks, std::numeric_limits<Nanos>::max()};
  left -= probe.copy(direction, blocks);  // faults pages in
  for (int i = 0; i < kCopyRepetitions; ++i) {
    const Nanos duration = probe.copy(direction, blocks);
    left -= duration;
    sample.duration = std::min(sample.duration, duration);
  }
  return sample;
}

// Larger and larger copies while they are expected to end in time.
std::vector<CopySample> MeasureCopies(const CostProbe& probe, CopyDirection direction,
                                      Nanos budget) {
  std::vector<CopySample> samples;
  Nanos left = budget;
  Nanos expected = 0;
  for (uint32_t blocks = 1; blocks <= probe.copy_blocks_max && expected <= left;
       blocks *= kGrowth) {
    samples.push_back(MeasureCopy(probe, direction, blocks, left));
    expected = kGrowth * (kCopyRepetitions + 1) * samples.back().duration;
  }
  return samples;
}

}  // namespace

Calibration Calibrate(const CostProbe& probe, Nanos budget) {
  const Nanos copies = budget / kCopyShare;
  Calibration calibration;
  calibration.swap_out = MeasureCopies(probe, CopyDirection::kOut, copies);
  calibration.swap_in = MeasureCopies(probe, CopyDirection::kIn, copies);
  if (probe.context_tokens_max > 0)
    calibration.forward = StepSampler(probe, budget - 2 * copies).Sample();
  return calibration;
}

}  // namespace infercept
