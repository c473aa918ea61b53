// Straight lines through up to three features: fitted to samples at once, and followed sample by
// sample. Both are free of units: multiply all values by k, and all coefficients are k times what
// they were.
#pragma once

#include <array>
#include <span>

namespace infercept {

inline constexpr int kLineFeatures = 3;
using LineVector = std::array<double, kLineFeatures>;  // one number per feature

struct LineSample {
  LineVector features;  // at least 0; a feature that is 0 everywhere does not exist
  double value = 0;     // greater than 0
};

// The coefficients, none negative, with the least squares of relative errors; a sample that is far
// off counts little. A coefficient that the samples leave open is small but not zero, so that it
// can be followed later. REQUIRES: at least one sample.
LineVector FitLine(std::span<const LineSample> samples);

// Follows a line whose coefficients drift, all in proportion or each by itself: an extended Kalman
// filter over their logarithms. A coefficient of 0 stays 0, none becomes negative, and where the
// line began is forgotten. Allocates nothing.
class LineFollower {
 public:
  explicit LineFollower(const LineVector& coefficients);

  double Predict(const LineVector& features) const;
  // REQUIRES: value > 0.
  void Observe(const LineVector& features, double value);
  const LineVector& coefficients() const { return coefficients_; }

 private:
  void Drift();

  LineVector coefficients_;
  // Covariance of the logarithms of coefficients; 1 is the variance of a sample's relative error.
  std::array<LineVector, kLineFeatures> covariance_{};
};

}  // namespace infercept
