// The queue's order: by the arrival of the turn, but what comes back with a large context lets
// smaller ones pass.
//
// A large context takes the memory of several small ones, and they are done sooner. When memory is
// short, one that steps back as a whole wastes less than many that come and go. "Large" is by what
// was seen: contexts of turns that have ended. Where all are of a size nobody is.
//
// Bound: a turn lets pass only those that arrived less than kLifetimes mean lifetimes after it;
// then it is as old as anybody. By Little's law, that many times as many as are in the system.
#pragma once

#include "base/types.h"

namespace infercept {

// What matters how much: the time until new requests get their first token, or that running ones
// are completed. Their ratio decides.
struct SloWeights {
  double ttft = 1;
  double throughput = 1;
};

class QueueOrder {
 public:
  // Agents sustain the same load with 4 to 6 and less with 3; with more, fewer are completed.
  static constexpr double kLifetimes = 4;

  explicit QueueOrder(const SloWeights& slo);

  // A turn has ended by itself: how long it was there, interceptions included, and how many tokens
  // its context had then.
  void Observe(Nanos lived, size_t tokens);
  // Where a turn stands that comes back from an interception.
  Nanos PlaceOf(Nanos arrival, size_t tokens) const;

 private:
  const double large_;  // Constant after construction: times the mean context.
  double turns_ = 0;    // observed
  double lived_ = 0;    // mean, nanoseconds
  double tokens_ = 0;   // mean
};

}  // namespace infercept
