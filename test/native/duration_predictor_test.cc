// DurationPredictor: elapsed time before there is data; then the mean residual of what has been
// seen.
#include "sched/duration_predictor.h"

#include "base/rng.h"
#include "test.h"

namespace infercept {
namespace {

constexpr KindId kTool{1};
constexpr KindId kHuman{2};

Nanos Seconds(double seconds) { return static_cast<Nanos>(seconds * 1e9); }

}  // namespace

TEST(DurationPredictor, KnowsNothingButTheElapsedTimeAtFirst) {
  const DurationPredictor predictor;
  EXPECT_EQ(predictor.Residual(kTool, Seconds(3)), 3.0);
}

TEST(DurationPredictor, SubtractsWhatHasPassed) {
  DurationPredictor predictor;
  for (int i = 0; i < 50; ++i) predictor.Observe(kTool, Seconds(10));
  EXPECT_NEAR(predictor.Residual(kTool, 0), 10.0, 0.01);
  EXPECT_NEAR(predictor.Residual(kTool, Seconds(4)), 6.0, 0.01);
}

// Most return at once, a few take a minute: who has waited two seconds will wait long.
TEST(DurationPredictor, LearnsThatALongWaitBecomesLonger) {
  DurationPredictor predictor;
  for (int i = 0; i < 90; ++i) predictor.Observe(kTool, Seconds(0.1));
  for (int i = 0; i < 10; ++i) predictor.Observe(kTool, Seconds(60));
  EXPECT_NEAR(predictor.Residual(kTool, 0), 6.1, 0.5);
  EXPECT_NEAR(predictor.Residual(kTool, Seconds(2)), 58.0, 1.0);
}

TEST(DurationPredictor, MemorylessTimesKeepTheirMean) {
  DurationPredictor predictor;
  Rng random(1);
  for (int i = 0; i < 3000; ++i) predictor.Observe(kTool, Seconds(random.Exponential(5)));
  EXPECT_NEAR(predictor.Residual(kTool, Seconds(3)), 5.0, 1.0);
}

TEST(DurationPredictor, ANewKindBorrowsFromAllOthers) {
  DurationPredictor predictor;
  for (int i = 0; i < 50; ++i) predictor.Observe(kHuman, Seconds(20));
  EXPECT_NEAR(predictor.Residual(kTool, 0), 20.0, 0.1);
  for (int i = 0; i < 50; ++i) predictor.Observe(kTool, Seconds(0.01));
  EXPECT_LT(predictor.Residual(kTool, 0), 2.0);
}

TEST(DurationPredictor, BeyondAllObservationsTheElapsedTimeCountsAgain) {
  DurationPredictor predictor;
  for (int i = 0; i < 50; ++i) predictor.Observe(kTool, Seconds(1));
  EXPECT_NEAR(predictor.Residual(kTool, Seconds(30)), 30.0, 1e-9);
}

}  // namespace infercept
