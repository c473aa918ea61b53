// The paper's mix of augmentations against its Table 1: drawn often enough, means and deviations
// agree.
#include "sim/workload.h"

#include <array>
#include <cmath>

#include "test.h"

namespace infercept {
namespace {

class Moments {
 public:
  void Add(double value) {
    ++count_;
    sum_ += value;
    squares_ += value * value;
  }
  double mean() const { return sum_ / count_; }
  double deviation() const { return std::sqrt(squares_ / count_ - mean() * mean()); }

 private:
  double count_ = 0;
  double sum_ = 0;
  double squares_ = 0;
};

// Table 1 of InferCept (ICML 2024).
struct Row {
  double seconds, seconds_deviation;
  double interceptions, interceptions_deviation;
  double context;  // at an interception
};
constexpr Row kTable[kAugmentations] = {
    {9e-5, 6e-5, 3.75, 1.3, 1422}, {0.69, 0.17, 2.52, 1.73, 1846}, {0.09, 0.014, 28.18, 15.2, 2185},
    {28.6, 15.6, 4.45, 1.96, 753}, {20.03, 7.8, 6.91, 3.93, 1247}, {17.24, 7.6, 6.91, 3.93, 1251},
};

// Normal distributions are cut at nothing (durations) and at one (counts), which moves their
// moments by a few per cent.
constexpr double kMeanTolerance = 0.04;
constexpr double kDeviationTolerance = 0.1;
// The data set is not public: sizes are chosen for these means, and no better than this.
constexpr double kContextTolerance = 0.12;

void ExpectNear(double value, double wanted, double tolerance, std::string_view what,
                uint32_t kind) {
  EXPECT_NEAR(value / wanted, 1.0, tolerance)
      << " " << what << " of " << AugmentationName(static_cast<Augmentation>(kind)) << ": " << value
      << " instead of " << wanted;
}

uint64_t ContextTokens(const SimSession& session) {
  uint64_t tokens = session.prompt_tokens;
  for (const SimSegment& segment : session.segments)
    tokens += segment.decode_tokens + segment.returned_tokens;
  return tokens;
}

}  // namespace

TEST(Workload, DrawsTheTableOfThePaper) {
  for (uint32_t kind = 0; kind < kAugmentations; ++kind) {
    MixOptions options;
    options.rate = 200;
    options.seconds = 100;
    options.only = static_cast<int32_t>(kind);
    options.context_tokens_max = 1u << 20;  // Nothing is cut off.
    Moments seconds, interceptions, context;
    for (const SimSession& session : MakeMix(options)) {
      interceptions.Add(static_cast<double>(session.segments.size() - 1));
      uint64_t tokens = session.prompt_tokens;
      for (size_t i = 0; i + 1 < session.segments.size(); ++i) {
        const SimSegment& segment = session.segments[i];
        EXPECT_EQ(Index(segment.kind), kind + 1);
        seconds.Add(static_cast<double>(segment.duration) * 1e-9);
        tokens += segment.decode_tokens;
        context.Add(static_cast<double>(tokens));
        tokens += segment.returned_tokens;
      }
    }
    const Row& row = kTable[kind];
    ExpectNear(seconds.mean(), row.seconds, kMeanTolerance, "duration", kind);
    ExpectNear(seconds.deviation(), row.seconds_deviation, kDeviationTolerance,
               "deviation of durations", kind);
    ExpectNear(interceptions.mean(), row.interceptions, kMeanTolerance, "interceptions", kind);
    ExpectNear(interceptions.deviation(), row.interceptions_deviation, kDeviationTolerance,
               "deviation of interceptions", kind);
    ExpectNear(context.mean(), row.context, kContextTolerance, "context", kind);
  }
}

TEST(Workload, MixesAllAugmentationsAlikeAtItsRate) {
  MixOptions options;
  options.rate = 50;
  options.seconds = 200;
  Moments gaps;
  std::array<uint32_t, kAugmentations> counts{};
  Nanos last = 0;
  for (const SimSession& session : MakeMix(options)) {
    gaps.Add(static_cast<double>(session.arrival - last) * 1e-9);
    last = session.arrival;
    ++counts[Index(session.segments.front().kind) - 1];
    EXPECT_TRUE(ContextTokens(session) < options.context_tokens_max);
  }
  // Poisson: the deviation of gaps is their mean.
  EXPECT_NEAR(gaps.mean(), 0.02, 0.001);
  EXPECT_NEAR(gaps.deviation(), 0.02, 0.001);
  // 10,000 in six: a deviation of 2 % each.
  for (uint32_t count : counts) EXPECT_NEAR(count, 10000.0 / 6, 10000.0 / 6 * 0.08);
}

}  // namespace infercept
