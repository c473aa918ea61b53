// How much longer will this interception last? Empirical distributions, none known in advance, on
// four levels: all interceptions -> family (human, tool, ...) -> kind (one tool) -> shape of the
// call's arguments.
//
// Bounded: one kilobyte per kind, at most kKindsMax of them (4 MiB). Observing and asking allocate
// nothing once every kind was seen; asking costs the same whatever was seen.
//
//   bin        0      1      2      3     ...    61
//   seconds  |0    |.14ms |.2ms  |.28ms |  ... |1.8 days ... infinity
//   weight   |<----------- weight_from[0] ----------------------->|
//                   |<------------- weight_from[1] -------------->|
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/types.h"

namespace infercept {

// What one level has learnt, to be kept and loaded again.
struct LearnedDurations {
  struct Bin {
    double seconds = 0;  // mean of the observations in it
    double weight = 0;   // how many, faded
  };
  KindId kind = kUnknownKind;  // kUnknownKind: all interceptions
  std::vector<Bin> bins;       // shortest first
};

class DurationPredictor {
 public:
  // A kind is kept in slot id % kKindsMax. Whoever numbers kinds gives a slot away again by adding
  // kKindsMax to the id it had: the greater id takes over, and what still comes for the smaller
  // one counts for the other levels only. Slot 0 is taken. A program has tens of tools and some
  // hundred shapes of their arguments.
  static constexpr uint32_t kKindsMax = 4096;
  // Half octaves, 0.1 ms to two days.
  static constexpr uint32_t kBins = 62;

  DurationPredictor();

  // An interception took `duration`.
  void Observe(const KindPath& path, Nanos duration);

  // E[T - t | T > t] in seconds, t the time elapsed so far. Each level's expectation is a prior
  // for the next finer one; both count by what they have seen last longer than t.
  // Beyond all that was seen: the elapsed time itself, which wastes at most twice the optimum (ski
  // rental; InferCept §4.4).
  double Residual(const KindPath& path, Nanos elapsed) const;

  // Nothing was observed or imported.
  bool empty() const { return histograms_[0].weight_from[0] == 0; }
  // All levels that have seen anything.
  std::vector<LearnedDurations> Export() const;
  // Adds to what is known. REQUIRES: seconds and weights are finite and not negative.
  void Import(std::span<const LearnedDurations> learned);

 private:
  // Fading is lazy: instead of all old observations losing weight, the newest weighs more.
  struct Histogram {
    KindId kind = kUnknownKind;
    double unit = 1;                               // the weight of the newest observation
    std::array<double, kBins + 1> weight_from{};   // [i]: of observations in bins i and up
    std::array<double, kBins + 1> seconds_from{};  // [i]: sum over them, each times its weight
  };
  struct Tail {
    double weight = 0;    // of observations longer than t
    double residual = 0;  // sum of (T - t) over them, seconds
  };
  // What the levels so far say.
  struct Estimate {
    double residual = 0;  // seconds
    double survival = 1;  // share of interceptions that last longer than t
    double weight = 0;    // as a prior, in interceptions; 0: nothing was seen
  };

  static void Add(Histogram& histogram, double seconds);
  static void Put(Histogram& histogram, double seconds, double weight);
  static Tail TailBeyond(const Histogram& histogram, double seconds, uint32_t bin);
  static Estimate Refine(const Estimate& prior, const Histogram& histogram, double seconds,
                         uint32_t bin);
  const Histogram* Find(KindId kind) const;
  Histogram* FindOrAdd(KindId kind);

  std::vector<Histogram> histograms_;  // by slot; [0] is of all interceptions
};

}  // namespace infercept
