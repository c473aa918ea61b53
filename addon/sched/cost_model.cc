#include "sched/cost_model.h"

#include <algorithm>
#include <cmath>

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;
// Old samples weigh half after about 23 new ones: a machine that becomes half as fast is followed
// within some 200 steps.
constexpr double kForgetting = 0.97;
// A machine that was descheduled shows steps ten times too long; one that really slowed down shows
// them all the time.
constexpr double kOutlier = 0.3;
constexpr double kUnlimited = 1e9;
constexpr double kInitialVariance = 10;
// The straight line has no knee. S is where the part that does not depend on tokens has fallen to a
// third of the step: GPT-J-6B on an A100 (c = 10 ms, a = 0.0463 ms) gives 432, where InferCept's
// authors chose 384.
constexpr double kSaturationRatio = 2;
// On a CPU a step's fixed part is reading the weights once, a few tokens' worth of computing: S
// would be so small that prefill took one and a half times its time. From 64 tokens on the fixed
// part is a tenth at most.
constexpr uint32_t kSaturationMin = 64;

OnlineFit::Vector ForwardFeatures(double query_tokens, double kv_tokens) {
  return {1, query_tokens, kv_tokens};
}

OnlineFit MakeCopyFit(const CostProfile& profile, size_t direction) {
  return {{profile.copy_start[direction], profile.copy_block[direction], 0}, {1, 1.0 / 16, 0}};
}

}  // namespace

OnlineFit::OnlineFit(const Vector& coefficients, const Vector& scale) : scale_(scale), weights_{} {
  for (int i = 0; i < kFeatures; ++i) {
    if (scale_[i] == 0) continue;
    weights_[i] = coefficients[i] / scale_[i];
    covariance_[i][i] = kInitialVariance;
  }
}

double OnlineFit::Predict(const Vector& features) const {
  double value = 0;
  for (int i = 0; i < kFeatures; ++i) value += weights_[i] * scale_[i] * features[i];
  return value;
}

// Recursive least squares on features and value divided by the value: a relative error of e counts
// the same everywhere.
void OnlineFit::Observe(const Vector& features, double value, double error_max) {
  if (value <= 0) return;
  Vector x;
  for (int i = 0; i < kFeatures; ++i) x[i] = features[i] * scale_[i] / value;
  Vector px{};
  double denominator = kForgetting;
  for (int i = 0; i < kFeatures; ++i) {
    for (int j = 0; j < kFeatures; ++j) px[i] += covariance_[i][j] * x[j];
    denominator += x[i] * px[i];
  }
  const double error = std::clamp(1 - Predict(features) / value, -error_max, error_max);
  for (int i = 0; i < kFeatures; ++i) {
    weights_[i] = std::max(0.0, weights_[i] + px[i] / denominator * error);
    for (int j = 0; j < kFeatures; ++j) {
      // The bound keeps directions that no sample shows for long from winding up.
      const double updated = (covariance_[i][j] - px[i] * px[j] / denominator) / kForgetting;
      covariance_[i][j] = std::clamp(updated, -kInitialVariance, kInitialVariance);
    }
  }
}

OnlineFit::Vector OnlineFit::coefficients() const {
  Vector coefficients;
  for (int i = 0; i < kFeatures; ++i) coefficients[i] = weights_[i] * scale_[i];
  return coefficients;
}

CostModel::CostModel(const CostProfile& profile)
    : forward_({profile.step, profile.per_query_token, profile.per_kv_token},
               {1, 1.0 / 64, 1.0 / 16384}),
      query_tile_(profile.query_tile),
      copy_{MakeCopyFit(profile, 0), MakeCopyFit(profile, 1)} {}

void CostModel::Calibrate(std::span<const ForwardSample> forward, std::span<const CopySample> out,
                          std::span<const CopySample> in) {
  *this = CostModel(profile());
  // Several passes: recursive least squares with forgetting weighs the last sample most.
  for (int pass = 0; pass < 20; ++pass) {
    for (const ForwardSample& sample : forward) {
      const auto features =
          ForwardFeatures(sample.query_tokens, static_cast<double>(sample.kv_tokens));
      forward_.Observe(features, static_cast<double>(sample.duration) * kSecondsPerNano,
                       kUnlimited);
    }
    for (const CopySample& sample : out) {
      copy_[0].Observe({1, static_cast<double>(sample.blocks), 0},
                       static_cast<double>(sample.duration) * kSecondsPerNano, kUnlimited);
    }
    for (const CopySample& sample : in) {
      copy_[1].Observe({1, static_cast<double>(sample.blocks), 0},
                       static_cast<double>(sample.duration) * kSecondsPerNano, kUnlimited);
    }
  }
}

void CostModel::Observe(const ForwardSample& sample) {
  if (sample.query_tokens == 0 || sample.duration <= 0) return;
  const double seconds = static_cast<double>(sample.duration) * kSecondsPerNano;
  const auto features = ForwardFeatures(sample.query_tokens, static_cast<double>(sample.kv_tokens));
  const double error = std::abs(forward_.Predict(features) - seconds) / seconds;
  relative_error_ += (error - relative_error_) * (1 - kForgetting);
  forward_.Observe(features, seconds, kOutlier);
}

void CostModel::Observe(CopyDirection direction, const CopySample& sample) {
  if (sample.blocks == 0 || sample.duration <= 0) return;
  copy_[static_cast<size_t>(direction)].Observe(
      {1, static_cast<double>(sample.blocks), 0},
      static_cast<double>(sample.duration) * kSecondsPerNano, kOutlier);
}

uint64_t CostModel::KvReads(uint64_t first, uint64_t count) const {
  const uint64_t tiles = count / query_tile_;
  const uint64_t rest = count % query_tile_ > 0 ? first + count : 0;
  return tiles * first + query_tile_ * tiles * (tiles + 1) / 2 + rest;
}

double CostModel::Forward(double query_tokens, double kv_tokens) const {
  return forward_.Predict(ForwardFeatures(query_tokens, kv_tokens));
}

double CostModel::ForwardMarginal(double query_tokens, double kv_tokens) const {
  return forward_.Predict({0, query_tokens, kv_tokens});
}

double CostModel::Copy(CopyDirection direction, double blocks) const {
  return blocks == 0 ? 0 : copy_[static_cast<size_t>(direction)].Predict({1, blocks, 0});
}

uint32_t CostModel::CopyBlocksWithin(CopyDirection direction, double seconds) const {
  const OnlineFit::Vector copy = copy_[static_cast<size_t>(direction)].coefficients();
  const double blocks = copy[1] > 0 ? (seconds - copy[0]) / copy[1] : kUnlimited;
  return static_cast<uint32_t>(std::clamp(blocks, 1.0, kUnlimited));
}

uint32_t CostModel::SaturationTokens() const {
  const OnlineFit::Vector forward = forward_.coefficients();
  const double tokens = forward[1] > 0 ? kSaturationRatio * forward[0] / forward[1] : kUnlimited;
  return static_cast<uint32_t>(std::clamp(tokens, double{kSaturationMin}, kUnlimited));
}

CostProfile CostModel::profile() const {
  const OnlineFit::Vector forward = forward_.coefficients();
  CostProfile profile{forward[0], forward[1], forward[2], {}, {}, query_tile_};
  for (size_t direction = 0; direction < 2; ++direction) {
    const OnlineFit::Vector copy = copy_[direction].coefficients();
    profile.copy_start[direction] = copy[0];
    profile.copy_block[direction] = copy[1];
  }
  return profile;
}

}  // namespace infercept
