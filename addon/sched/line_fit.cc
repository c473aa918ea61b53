#include "sched/line_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace infercept {
namespace {

using Matrix = std::array<LineVector, kLineFeatures>;

// A machine that was descheduled shows steps twenty times too long; one that really slowed down
// shows them all the time. What a sample is off beyond this share counts no more.
constexpr double kOutlier = 0.3;
// Enough for weights that depend on the fit to settle: they changed by less than a thousandth after
// five.
constexpr int kPasses = 8;
// Of a feature's sum of squares: when the others explain all but this, it cannot be told from them.
constexpr double kSingular = 1e-9;
// Of what alone would explain the samples: a coefficient that they leave open.
constexpr double kShareMin = 0.01;

// Variances, in units of a sample's own. All coefficients together drift by so much per sample: in
// the long run the newest sample counts a seventh, and a machine that becomes half as fast is
// followed to within a tenth in 40 samples.
constexpr double kSpeedDrift = 0.02;
// Each by itself: what a thousand samples do not show has become as uncertain as one sample is.
constexpr double kShapeDrift = 0.001;
// At the beginning: other programs may be busy during a calibration, which changes everything in
// proportion; and it takes few samples, none of what the engine does besides the model.
constexpr double kSpeedUncertainty = 1;
constexpr double kShapeUncertainty = 0.3;
// Coefficients that no sample shows for long become no less certain than one sample would make
// them: the first that shows them again counts for half. With much more, noise in what is shown
// would move them: a million decodes by a fifth with 1, threefold with 4.
constexpr double kUncertaintyMax = 1;

double Dot(const LineVector& a, const LineVector& b) {
  double sum = 0;
  for (int i = 0; i < kLineFeatures; ++i) sum += a[i] * b[i];
  return sum;
}

// The largest coefficients that explain no sample as longer than it was; 0 without the feature.
LineVector Scales(std::span<const LineSample> samples) {
  LineVector scales;
  scales.fill(std::numeric_limits<double>::infinity());
  for (const LineSample& sample : samples) {
    IC_CHECK(sample.value > 0);
    for (int i = 0; i < kLineFeatures; ++i) {
      if (sample.features[i] > 0)
        scales[i] = std::min(scales[i], sample.value / sample.features[i]);
    }
  }
  for (double& scale : scales) scale = std::isinf(scale) ? 0 : scale;
  return scales;
}

// The normal equations of weighted relative errors.
struct Equations {
  Matrix left{};
  LineVector right{};
};

// Errors are relative to what `fit` predicts, or to the value itself where it predicts nothing yet.
Equations Collect(std::span<const LineSample> samples, const LineVector& scales,
                  const LineVector& fit) {
  Equations equations;
  for (const LineSample& sample : samples) {
    LineVector x;
    for (int i = 0; i < kLineFeatures; ++i) x[i] = sample.features[i] * scales[i];
    const double predicted = Dot(x, fit);
    const double unit = predicted > 0 ? predicted : sample.value;
    const double error = std::abs(sample.value / unit - 1);
    const double weight = std::min(1.0, kOutlier / std::max(error, kOutlier));
    for (int i = 0; i < kLineFeatures; ++i) {
      equations.right[i] += weight * x[i] / unit * (sample.value / unit);
      for (int j = 0; j < kLineFeatures; ++j)
        equations.left[i][j] += weight * (x[i] / unit) * (x[j] / unit);
    }
  }
  return equations;
}

// With the features in `used` alone; false: they cannot be told apart.
bool Solve(Equations equations, unsigned used, LineVector& solution) {
  auto& [left, right] = equations;
  const Matrix whole = left;
  const auto is_used = [used](int i) { return (used >> i & 1u) != 0; };
  for (int pivot = 0; pivot < kLineFeatures; ++pivot) {
    if (!is_used(pivot)) continue;
    if (left[pivot][pivot] <= kSingular * whole[pivot][pivot]) return false;
    for (int row = 0; row < kLineFeatures; ++row) {
      if (row == pivot || !is_used(row)) continue;
      const double factor = left[row][pivot] / left[pivot][pivot];
      for (int j = 0; j < kLineFeatures; ++j) left[row][j] -= factor * left[pivot][j];
      right[row] -= factor * right[pivot];
    }
  }
  for (int i = 0; i < kLineFeatures; ++i) solution[i] = is_used(i) ? right[i] / left[i][i] : 0;
  return true;
}

// Least squares without negative coefficients: the best of all choices of features that comes out
// so. With three features there are seven.
LineVector SolveNonNegative(const Equations& equations) {
  LineVector best{};
  double best_error = 0;  // beyond that of no features at all
  for (unsigned used = 1; used < 1u << kLineFeatures; ++used) {
    LineVector solution;
    if (!Solve(equations, used, solution) || std::ranges::min(solution) < 0) continue;
    double error = -2 * Dot(solution, equations.right);
    for (int i = 0; i < kLineFeatures; ++i) error += solution[i] * Dot(equations.left[i], solution);
    if (error >= best_error) continue;
    best_error = error;
    best = solution;
  }
  return best;
}

}  // namespace

LineVector FitLine(std::span<const LineSample> samples) {
  IC_CHECK(!samples.empty());
  const LineVector scales = Scales(samples);
  LineVector fit{};
  for (int pass = 0; pass < kPasses; ++pass) fit = SolveNonNegative(Collect(samples, scales, fit));
  for (int i = 0; i < kLineFeatures; ++i) fit[i] = std::max(fit[i], kShareMin) * scales[i];
  return fit;
}

LineFollower::LineFollower(const LineVector& coefficients) : coefficients_(coefficients) {
  for (int i = 0; i < kLineFeatures; ++i) {
    covariance_[i].fill(kSpeedUncertainty);
    covariance_[i][i] += kShapeUncertainty;
  }
}

double LineFollower::Predict(const LineVector& features) const {
  return Dot(coefficients_, features);
}

// d log(c f) / d log c[i] is the share c[i] f[i] / (c f) of what is predicted.
void LineFollower::Observe(const LineVector& features, double value) {
  const double predicted = Predict(features);
  if (predicted <= 0) return;
  Drift();
  LineVector share;
  for (int i = 0; i < kLineFeatures; ++i) share[i] = coefficients_[i] * features[i] / predicted;
  LineVector with_sample;
  for (int i = 0; i < kLineFeatures; ++i) with_sample[i] = Dot(covariance_[i], share);
  const double variance = Dot(share, with_sample) + 1;
  const double error = std::clamp(std::log(value / predicted), -kOutlier, kOutlier);
  for (int i = 0; i < kLineFeatures; ++i) {
    coefficients_[i] *= std::exp(with_sample[i] / variance * error);
    for (int j = 0; j < kLineFeatures; ++j)
      covariance_[i][j] -= with_sample[i] * with_sample[j] / variance;
  }
}

void LineFollower::Drift() {
  LineVector shrink;
  for (int i = 0; i < kLineFeatures; ++i) {
    for (double& covariance : covariance_[i]) covariance += kSpeedDrift;
    covariance_[i][i] += kShapeDrift;
    shrink[i] = std::sqrt(std::min(1.0, kUncertaintyMax / covariance_[i][i]));
  }
  for (int i = 0; i < kLineFeatures; ++i) {
    for (int j = 0; j < kLineFeatures; ++j) covariance_[i][j] *= shrink[i] * shrink[j];
  }
}

}  // namespace infercept
