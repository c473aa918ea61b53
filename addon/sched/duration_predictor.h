// How much longer will this interception last? One empirical distribution per kind, none known in
// advance.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace infercept {

class DurationPredictor {
 public:
  // An interception of this kind took `duration`.
  void Observe(KindId kind, Nanos duration);

  // E[T - t | T > t] in seconds, t the time elapsed so far. The kind's own histogram and that of
  // all kinds are mixed by how much each has seen beyond t. Without any such observation: the
  // elapsed time itself, which wastes at most twice the optimum (ski rental; InferCept §4.4).
  double Residual(KindId kind, Nanos elapsed) const;

 private:
  // Log-spaced: bin i holds durations in [kFirstBin * 2^(i/2), kFirstBin * 2^((i+1)/2)); 0.1 ms to
  // about two days.
  static constexpr int kBins = 62;
  static constexpr double kFirstBinSeconds = 1e-4;
  struct Histogram {
    std::array<double, kBins> count{};
    std::array<double, kBins> sum{};  // seconds
  };
  struct Tail {
    double weight = 0;    // of observations longer than t
    double residual = 0;  // sum of (T - t) over them, seconds
  };

  static int BinOf(double seconds);
  static Tail TailBeyond(const Histogram& histogram, double seconds);
  static void Add(Histogram& histogram, double seconds);

  std::vector<Histogram> kinds_;  // by KindId
  Histogram all_;
};

}  // namespace infercept
