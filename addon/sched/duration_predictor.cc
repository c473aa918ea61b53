#include "sched/duration_predictor.h"

#include <algorithm>
#include <cmath>

namespace infercept {
namespace {

constexpr double kSecondsPerNano = 1e-9;
// An observation fades to a half after about 700 later ones of its kind, so that a tool that
// changed is learnt anew.
constexpr double kDecay = 0.999;
// The kind's own tail weighs as much as that of all kinds once it has seen this many longer
// interceptions.
constexpr double kPriorWeight = 4;

}  // namespace

int DurationPredictor::BinOf(double seconds) {
  const double octaves = std::log2(std::max(seconds, kFirstBinSeconds) / kFirstBinSeconds);
  return std::min(static_cast<int>(octaves * 2), kBins - 1);
}

void DurationPredictor::Add(Histogram& histogram, double seconds) {
  for (int i = 0; i < kBins; ++i) {
    histogram.count[i] *= kDecay;
    histogram.sum[i] *= kDecay;
  }
  const int bin = BinOf(seconds);
  histogram.count[bin] += 1;
  histogram.sum[bin] += seconds;
}

void DurationPredictor::Observe(KindId kind, Nanos duration) {
  const double seconds = static_cast<double>(duration) * kSecondsPerNano;
  if (Index(kind) >= kinds_.size()) kinds_.resize(Index(kind) + 1);
  Add(kinds_[Index(kind)], seconds);
  Add(all_, seconds);
}

// The bin that holds t itself counts as far as its mean lies beyond t.
DurationPredictor::Tail DurationPredictor::TailBeyond(const Histogram& histogram, double seconds) {
  Tail tail;
  for (int i = BinOf(seconds); i < kBins; ++i) {
    if (histogram.count[i] == 0) continue;
    const double mean = histogram.sum[i] / histogram.count[i];
    if (mean <= seconds) continue;
    tail.weight += histogram.count[i];
    tail.residual += histogram.count[i] * (mean - seconds);
  }
  return tail;
}

double DurationPredictor::Residual(KindId kind, Nanos elapsed) const {
  const double seconds = static_cast<double>(elapsed) * kSecondsPerNano;
  const Tail own = Index(kind) < kinds_.size() ? TailBeyond(kinds_[Index(kind)], seconds) : Tail{};
  const Tail all = TailBeyond(all_, seconds);
  if (own.weight + all.weight == 0) return seconds;
  const double prior = all.weight == 0 ? 0 : kPriorWeight / (kPriorWeight + own.weight);
  const double own_mean = own.weight == 0 ? 0 : own.residual / own.weight;
  const double all_mean = all.weight == 0 ? 0 : all.residual / all.weight;
  return own.weight == 0 ? all_mean : prior * all_mean + (1 - prior) * own_mean;
}

}  // namespace infercept
