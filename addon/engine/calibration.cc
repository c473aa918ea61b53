#include "engine/calibration.h"

#include <algorithm>
#include <limits>

namespace infercept {
namespace {

// Tokens of the smallest prefill that is measured: enough for its time to differ from a decode's
// wherever computing counts at all.
constexpr uint32_t kFewTokens = 16;
// A token's time has ceased to fall when a prefill of kGrowth times the tokens does not save so
// much of it: on the line c + a q that is from a q = 1.5 c on, beyond what saturates.
constexpr double kStillFalls = 0.7;
// A decode with the longest context is expected to take up to so many times one without.
constexpr Nanos kFarSlowness = 4;
// Sizes of copies and of prefills grow by this factor.
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
        reads_(CostProfile{.query_tile = probe.query_tile,
                           .window_tokens = probe.window_tokens,
                           .full_share = probe.full_share}),
        left_(budget),
        prefill_max_(
            std::min({probe.prefill_tokens_max, probe.step_tokens_max, probe.context_tokens_max})),
        few_(std::min(kFewTokens, prefill_max_)),
        many_(std::min(kGrowth * few_, prefill_max_)),
        far_slices_(std::min({kFewTokens, probe.step_tokens_max, probe.far_slices_max})) {}

  std::vector<ForwardSample> Sample() {
    const Nanos first = Ask({});  // faults the pages of weights in
    // A machine so slow is not asked twice for the same.
    if (left_ < 0) {
      Ask({1, few_, few_});
      return std::move(samples_);
    }
    if (kFarSlowness * first < left_) Ask({1, 1, probe_.context_tokens_max});  // of contexts
    if (many_ < prefill_max_) FindSaturation();
    // What lies between is on no line where computing begins to outlast reading the weights.
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
  // The smallest prefill beyond which a token's time does not fall any more.
  void FindSaturation() {
    const auto ask_twice = [this](uint32_t tokens) {
      Ask({1, tokens, tokens});  // loads its kernels
      return Ask({1, tokens, tokens});
    };
    Nanos last = ask_twice(few_);
    many_ = few_;
    while (many_ < prefill_max_ && 2 * kGrowth * last < left_) {
      const uint32_t more = std::min(kGrowth * many_, prefill_max_);
      const Nanos duration = ask_twice(more);
      const double fall = static_cast<double>(duration) / more * many_ / static_cast<double>(last);
      many_ = more;
      last = duration;
      if (fall > kStillFalls) break;
    }
    many_duration_ = last;
  }

  // A decode, a prefill, and as far as they are expected to end in time: a larger prefill (while
  // reading the weights takes longer than computing, the small one says little), and decodes with a
  // long context.
  void Round() {
    const Nanos decode = Ask({});
    const Nanos few = Ask({1, few_, few_});
    if ((many_duration_ > 0 ? many_duration_ : kGrowth * few) > left_) return;
    Ask({1, many_, many_});
    if (kFarSlowness * decode > left_) return;
    const Nanos far = Ask({1, 1, probe_.context_tokens_max});
    if (far_slices_ * far > left_) return;
    Ask({far_slices_, 1, probe_.context_tokens_max});
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
  uint32_t prefill_max_;
  uint32_t few_;  // tokens of the two prefills that a round asks for
  uint32_t many_;
  Nanos many_duration_ = 0;  // 0: not known yet
  uint32_t far_slices_;
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
