#include "sched/duration_predictor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "base/check.h"

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;
// An observation fades to a half after about 700 later ones of its level, so that a tool that
// changed is learnt anew.
constexpr double kDecay = 0.999;
// Weights are scaled back when the newest one has doubled: often enough that sums and their
// differences stay exact to a dozen digits, seldom enough (every 700 observations) to cost nothing.
constexpr double kUnitMax = 2;
// A level's prior is worth this many interceptions. Over the paper's mix 1 errs least on short
// tools; more draws them to the length of others.
constexpr double kPriorWeight = 1;
// Observations that faded to less than this count as forgotten.
constexpr double kForgotten = 1e-6;

// Bin 0 holds everything below sqrt(2) of this, which is less than a step takes.
constexpr double kFirstBinSeconds = 1e-4;

using Bounds = std::array<double, DurationPredictor::kBins + 1>;

constexpr Bounds MakeBounds() {
  Bounds bounds{};
  double octave = kFirstBinSeconds;
  for (uint32_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = i % 2 == 0 ? octave : octave * std::numbers::sqrt2;
    if (i % 2 == 1) octave *= 2;
  }
  bounds.front() = 0;
  bounds.back() = std::numeric_limits<double>::infinity();
  return bounds;
}

// [i]: the shortest duration of bin i.
constexpr Bounds kBounds = MakeBounds();

uint32_t BinOf(double seconds) {
  int octave = 0;
  // In [0.5, 1) times two to the octave.
  const double mantissa = std::frexp(seconds / kFirstBinSeconds, &octave);
  if (octave < 1) return 0;
  const int bin = 2 * (octave - 1) + (mantissa >= std::numbers::sqrt2 / 2 ? 1 : 0);
  return std::min(static_cast<uint32_t>(bin), DurationPredictor::kBins - 1);
}

double ToSeconds(Nanos duration) {
  return static_cast<double>(std::max<Nanos>(duration, 0)) * kSecondsPerNano;
}

}  // namespace

DurationPredictor::DurationPredictor() : histograms_(1) {}

void DurationPredictor::Put(Histogram& histogram, double seconds, double weight) {
  const uint32_t bin = BinOf(seconds);
  for (uint32_t i = 0; i <= bin; ++i) {
    histogram.weight_from[i] += weight;
    histogram.seconds_from[i] += weight * seconds;
  }
}

void DurationPredictor::Add(Histogram& histogram, double seconds) {
  histogram.unit /= kDecay;
  if (histogram.unit > kUnitMax) {
    for (double& weight : histogram.weight_from) weight /= histogram.unit;
    for (double& sum : histogram.seconds_from) sum /= histogram.unit;
    histogram.unit = 1;
  }
  Put(histogram, seconds, histogram.unit);
}

const DurationPredictor::Histogram* DurationPredictor::Find(KindId kind) const {
  const uint32_t slot = Index(kind) % kKindsMax;
  if (slot == 0 || slot >= histograms_.size()) return nullptr;
  return histograms_[slot].kind == kind ? &histograms_[slot] : nullptr;
}

DurationPredictor::Histogram* DurationPredictor::FindOrAdd(KindId kind) {
  const uint32_t slot = Index(kind) % kKindsMax;
  if (slot == 0) return nullptr;
  if (slot >= histograms_.size()) histograms_.resize(slot + 1);
  Histogram& histogram = histograms_[slot];
  if (Index(histogram.kind) < Index(kind)) {
    histogram = {};
    histogram.kind = kind;
  }
  return histogram.kind == kind ? &histogram : nullptr;
}

void DurationPredictor::Observe(const KindPath& path, Nanos duration) {
  const double seconds = ToSeconds(duration);
  Add(histograms_[0], seconds);
  for (const KindId level : {path.family, path.kind, path.shape}) {
    if (Histogram* histogram = FindOrAdd(level)) Add(*histogram, seconds);
  }
}

// Inside the bin that holds t, observations are taken to lie evenly around their mean, as far as
// the bin reaches on its narrower side.
DurationPredictor::Tail DurationPredictor::TailBeyond(const Histogram& histogram, double seconds,
                                                      uint32_t bin) {
  Tail tail;
  tail.weight = histogram.weight_from[bin + 1];
  tail.residual = histogram.seconds_from[bin + 1] - tail.weight * seconds;
  const double weight = histogram.weight_from[bin] - tail.weight;
  if (weight > 0) {
    const double low = kBounds[bin];
    const double high = kBounds[bin + 1];
    const double mean = std::clamp(
        (histogram.seconds_from[bin] - histogram.seconds_from[bin + 1]) / weight, low, high);
    const double reach = std::min(mean - low, high - mean);
    if (seconds <= mean - reach) {
      tail.weight += weight;
      tail.residual += weight * (mean - seconds);
    } else if (seconds < mean + reach) {
      const double longer = mean + reach - seconds;
      const double share = weight * longer / (2 * reach);
      tail.weight += share;
      tail.residual += share * longer / 2;
    }
  }
  return {tail.weight / histogram.unit, std::max(0.0, tail.residual / histogram.unit)};
}

// Tools differ by decades, calls of one tool seldom by one: the prior is about the magnitude, so
// the two are mixed as magnitudes. What is short of one longer interception of the level's own is
// taken to last as long again as it has lasted (ski rental; InferCept §4.4).
DurationPredictor::Estimate DurationPredictor::Refine(const Estimate& prior,
                                                      const Histogram& histogram, double seconds,
                                                      uint32_t bin) {
  constexpr double kLeast = kSecondsPerNano;  // has a logarithm
  const Tail tail = TailBeyond(histogram, seconds, bin);
  const double seen = histogram.weight_from[0] / histogram.unit;
  const double missing = std::max(0.0, std::min(1.0, seen) - tail.weight);
  const double weight = tail.weight + missing;
  if (weight < kForgotten) return prior;
  const double own = std::max((tail.residual + missing * seconds) / weight, kLeast);
  const double mean = std::max(prior.residual, kLeast);
  const double prior_weight = prior.weight * prior.survival;
  return {mean * std::pow(own / mean, weight / (weight + prior_weight)),
          (tail.weight + prior_weight) / (seen + prior.weight), kPriorWeight};
}

double DurationPredictor::Residual(const KindPath& path, Nanos elapsed) const {
  const double seconds = ToSeconds(elapsed);
  const uint32_t bin = BinOf(seconds);
  Estimate estimate{seconds, 1, 0};
  for (const Histogram* level :
       {histograms_.data(), Find(path.family), Find(path.kind), Find(path.shape)}) {
    if (level) estimate = Refine(estimate, *level, seconds, bin);
  }
  return estimate.residual;
}

std::vector<LearnedDurations> DurationPredictor::Export() const {
  std::vector<LearnedDurations> learned;
  for (const Histogram& histogram : histograms_) {
    LearnedDurations durations{histogram.kind, {}};
    for (uint32_t i = 0; i < kBins; ++i) {
      const double weight = histogram.weight_from[i] - histogram.weight_from[i + 1];
      if (weight < kForgotten) continue;
      const double mean = (histogram.seconds_from[i] - histogram.seconds_from[i + 1]) / weight;
      durations.bins.push_back(
          {std::clamp(mean, kBounds[i], kBounds[i + 1]), weight / histogram.unit});
    }
    if (!durations.bins.empty()) learned.push_back(std::move(durations));
  }
  return learned;
}

void DurationPredictor::Import(std::span<const LearnedDurations> learned) {
  for (const LearnedDurations& durations : learned) {
    Histogram* histogram =
        durations.kind == kUnknownKind ? histograms_.data() : FindOrAdd(durations.kind);
    if (!histogram) continue;
    for (const LearnedDurations::Bin& bin : durations.bins) {
      IC_CHECK(std::isfinite(bin.seconds) && bin.seconds >= 0);
      IC_CHECK(std::isfinite(bin.weight) && bin.weight >= 0);
      Put(*histogram, bin.seconds, bin.weight * histogram->unit);
    }
  }
}

}  // namespace infercept
