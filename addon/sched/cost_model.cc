#include "sched/cost_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;
// The newest step's share in the mean error: about the last 30 steps count.
constexpr double kErrorShare = 0.03;
constexpr double kUnlimited = 1e9;
// A context that no window hides anything of; sums of two still fit.
constexpr uint64_t kAllTokens = UINT64_MAX / 2;
// The straight line has no knee. S is where the part that does not depend on tokens has fallen to a
// third of the step: GPT-J-6B on an A100 (c = 10 ms, a = 0.0463 ms) gives 432, where InferCept's
// authors chose 384.
constexpr double kSaturationRatio = 2;
// On a CPU a step's fixed part is reading the weights once, a few tokens' worth of computing: S
// would be so small that prefill took one and a half times its time. From 64 tokens on the fixed
// part is a tenth at most.
constexpr uint32_t kSaturationMin = 64;

double Seconds(Nanos duration) { return static_cast<double>(duration) * kSecondsPerNano; }

LineVector ForwardFeatures(double query_tokens, double kv_tokens) {
  return {1, query_tokens, kv_tokens};
}

LineVector CopyFeatures(double blocks) { return {1, blocks, 0}; }

LineSample ToLineSample(const ForwardSample& sample) {
  return {ForwardFeatures(sample.query_tokens, static_cast<double>(sample.kv_tokens)),
          Seconds(sample.duration)};
}

LineSample ToLineSample(const CopySample& sample) {
  return {CopyFeatures(sample.blocks), Seconds(sample.duration)};
}

// A clock may say that something took no time at all; that is no sample.
template <typename Sample>
void Calibrate(std::span<const Sample> samples, LineFollower& line) {
  std::vector<LineSample> measured;
  for (const Sample& sample : samples) {
    if (sample.duration > 0) measured.push_back(ToLineSample(sample));
  }
  if (!measured.empty()) line = LineFollower(FitLine(measured));
}

LineFollower MakeCopyLine(const CostProfile& profile, size_t direction) {
  return LineFollower({profile.copy_start[direction], profile.copy_block[direction], 0});
}

}  // namespace

CostModel::CostModel(const CostProfile& profile)
    : forward_({profile.step, profile.per_query_token, profile.per_kv_token}),
      query_tile_(profile.query_tile),
      reach_tokens_(profile.window_tokens == 0 ? kAllTokens : profile.window_tokens),
      full_share_(profile.full_share),
      copy_{MakeCopyLine(profile, 0), MakeCopyLine(profile, 1)} {}

void CostModel::Calibrate(std::span<const ForwardSample> forward, std::span<const CopySample> out,
                          std::span<const CopySample> in) {
  infercept::Calibrate(forward, forward_);
  infercept::Calibrate(out, copy_[0]);
  infercept::Calibrate(in, copy_[1]);
}

void CostModel::Observe(const ForwardSample& sample) {
  if (sample.query_tokens == 0 || sample.duration <= 0) return;
  const auto [features, seconds] = ToLineSample(sample);
  const double error = std::abs(forward_.Predict(features) - seconds) / seconds;
  relative_error_ += (error - relative_error_) * kErrorShare;
  forward_.Observe(features, seconds);
}

void CostModel::Observe(CopyDirection direction, const CopySample& sample) {
  if (sample.blocks == 0 || sample.duration <= 0) return;
  const auto [features, seconds] = ToLineSample(sample);
  copy_[static_cast<size_t>(direction)].Observe(features, seconds);
}

uint64_t CostModel::MeanReads(uint64_t first, uint64_t count) const {
  const auto full = static_cast<double>(ReadsWithin(kAllTokens, first, count));
  const auto slides = static_cast<double>(ReadsWithin(reach_tokens_, first, count));
  return static_cast<uint64_t>(full_share_ * full + (1 - full_share_) * slides);
}

uint64_t CostModel::ReadsOfMany(uint64_t reach, uint64_t first, uint64_t count) const {
  const uint64_t tiles = count / query_tile_;
  const uint64_t rest = count % query_tile_;
  // The first tiles see everything, the others as much as each other.
  const uint64_t most = reach + query_tile_ - 1;
  const uint64_t growing = std::min(tiles, (most - std::min(most, first)) / query_tile_);
  const uint64_t whole = growing * first + query_tile_ * growing * (growing + 1) / 2;
  const uint64_t last = rest > 0 ? std::min(first + count, reach + rest - 1) : 0;
  return whole + (growing < tiles ? (tiles - growing) * most : 0) + last;
}

double CostModel::Forward(double query_tokens, double kv_tokens) const {
  return forward_.Predict(ForwardFeatures(query_tokens, kv_tokens));
}

double CostModel::ForwardMarginal(double query_tokens, double kv_tokens) const {
  return forward_.Predict({0, query_tokens, kv_tokens});
}

double CostModel::Copy(CopyDirection direction, double blocks) const {
  return blocks == 0 ? 0 : copy_[static_cast<size_t>(direction)].Predict(CopyFeatures(blocks));
}

uint32_t CostModel::CopyBlocksWithin(CopyDirection direction, double seconds) const {
  const LineVector& copy = copy_[static_cast<size_t>(direction)].coefficients();
  const double blocks = copy[1] > 0 ? (seconds - copy[0]) / copy[1] : kUnlimited;
  return static_cast<uint32_t>(std::clamp(blocks, 1.0, kUnlimited));
}

uint32_t CostModel::SaturationTokens() const {
  const LineVector& forward = forward_.coefficients();
  const double tokens = forward[1] > 0 ? kSaturationRatio * forward[0] / forward[1] : kUnlimited;
  return static_cast<uint32_t>(std::clamp(tokens, double{kSaturationMin}, kUnlimited));
}

CostProfile CostModel::profile() const {
  const LineVector& forward = forward_.coefficients();
  const uint64_t window = reach_tokens_ == kAllTokens ? 0 : reach_tokens_;
  CostProfile profile{
      forward[0], forward[1], forward[2], {}, {}, query_tile_, static_cast<uint32_t>(window),
      full_share_};
  for (size_t direction = 0; direction < 2; ++direction) {
    const LineVector& copy = copy_[direction].coefficients();
    profile.copy_start[direction] = copy[0];
    profile.copy_block[direction] = copy[1];
  }
  return profile;
}

}  // namespace infercept
