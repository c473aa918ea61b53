// DurationPredictor: elapsed time before there is data; then the mean residual of what has been
// seen, on each level as much as it has seen there. How good its estimates are is measured in
// residual_error_test.cc.
#include "sched/duration_predictor.h"

#include <cmath>

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

// Times of one tool differ a little, and so do its bin's mean and the time that has passed.
TEST(DurationPredictor, IsSmoothWithinABin) {
  DurationPredictor predictor;
  Rng random(2);
  for (int i = 0; i < 500; ++i) predictor.Observe(kTool, Seconds(10 + random.Uniform()));
  double last = predictor.Residual(kTool, Seconds(9));
  for (double elapsed = 9.1; elapsed < 10.9; elapsed += 0.1) {
    const double residual = predictor.Residual(kTool, Seconds(elapsed));
    EXPECT_LT(residual, last);
    EXPECT_GT(residual, last - 0.15);
    last = residual;
  }
}

TEST(DurationPredictor, ForgetsWhatWasLongAgo) {
  DurationPredictor predictor;
  for (int i = 0; i < 2000; ++i) predictor.Observe(kTool, Seconds(10));
  for (int i = 0; i < 700; ++i) predictor.Observe(kTool, Seconds(1));
  // As much of the old as of the new.
  EXPECT_NEAR(predictor.Residual(kTool, 0), 5.5, 0.4);
  for (int i = 0; i < 14000; ++i) predictor.Observe(kTool, Seconds(1));
  EXPECT_NEAR(predictor.Residual(kTool, 0), 1.0, 1e-3);
  EXPECT_NEAR(predictor.Residual(kTool, Seconds(5)), 5.0, 1e-3);
}

// Nothing is known of a shape but its kind, then of the kind but its family, then nothing.
TEST(DurationPredictor, EachLevelIsThePriorOfTheNext) {
  const KindId family{10}, search{11}, deep{12}, other{13}, human{14};
  DurationPredictor predictor;
  for (int i = 0; i < 200; ++i) predictor.Observe({human, {}, {}}, Seconds(30));
  for (int i = 0; i < 200; ++i) predictor.Observe({family, search, {}}, Seconds(2));
  EXPECT_NEAR(predictor.Residual({family, search, deep}, 0), 2.0, 0.1);
  EXPECT_NEAR(predictor.Residual({family, other, {}}, 0), 2.0, 0.4);
  EXPECT_NEAR(predictor.Residual(other, 0), 16.0, 3.0);
  double last = predictor.Residual({family, search, deep}, 0);
  for (int i = 0; i < 40; ++i) {
    predictor.Observe({family, search, deep}, Seconds(8));
    const double residual = predictor.Residual({family, search, deep}, 0);
    EXPECT_GT(residual, last) << i;
    last = residual;
  }
  EXPECT_NEAR(last, 8.0, 0.6);
  // The others of the tool have a wider experience now, too.
  EXPECT_LT(predictor.Residual({family, search, {}}, 0), 4.0);
}

// A level that has seen nothing beyond t has little to say there.
TEST(DurationPredictor, ALevelCountsByWhatItHasSeenBeyondNow) {
  const KindId fast{11}, slow{12};
  DurationPredictor predictor;
  for (int i = 0; i < 1000; ++i) predictor.Observe(fast, Seconds(0.1));
  for (int i = 0; i < 100; ++i) predictor.Observe(slow, Seconds(60));
  EXPECT_LT(predictor.Residual(fast, 0), 0.2);
  const double late = predictor.Residual(fast, Seconds(1));
  EXPECT_GT(late, 1.0);  // Between as long again and as long as others.
  EXPECT_LT(late, 10.0);
  for (int i = 0; i < 10; ++i) predictor.Observe(fast, Seconds(40));
  EXPECT_NEAR(predictor.Residual(fast, Seconds(1)), 40.0, 3.0);
}

TEST(DurationPredictor, AnOldIdOfAReusedSlotCountsForTheOtherLevelsOnly) {
  const KindId family{10}, old{11};
  const KindId reused{11 + DurationPredictor::kKindsMax};
  DurationPredictor predictor;
  for (int i = 0; i < 100; ++i) predictor.Observe({family, old, {}}, Seconds(20));
  for (int i = 0; i < 100; ++i) predictor.Observe({family, reused, {}}, Seconds(1));
  for (int i = 0; i < 100; ++i) predictor.Observe({family, old, {}}, Seconds(20));
  EXPECT_LT(predictor.Residual({family, reused, {}}, 0), 2.0);
  EXPECT_EQ(predictor.Residual({family, old, {}}, 0), predictor.Residual({family, {}, {}}, 0));
}

TEST(DurationPredictor, WhatItHasLearntCanBeKept) {
  const KindId family{10}, search{11}, deep{12};
  DurationPredictor predictor;
  Rng random(3);
  for (int i = 0; i < 3000; ++i) {
    predictor.Observe({family, search, i % 3 == 0 ? deep : kUnknownKind},
                      Seconds(random.Exponential(i % 3 == 0 ? 9 : 1)));
  }
  DurationPredictor next;
  next.Import(predictor.Export());
  for (const double elapsed : {0.0, 0.00005, 0.01, 0.5, 2.0, 8.0, 40.0, 1000.0}) {
    for (const KindPath& path :
         {KindPath{}, KindPath{family, search, {}}, {family, search, deep}}) {
      const double residual = predictor.Residual(path, Seconds(elapsed));
      EXPECT_NEAR(next.Residual(path, Seconds(elapsed)), residual, 1e-6 * residual) << elapsed;
    }
  }
  // It goes on from there: the same weights, so the same pace of forgetting.
  for (int i = 0; i < 500; ++i) predictor.Observe({family, search, deep}, Seconds(1));
  for (int i = 0; i < 500; ++i) next.Observe({family, search, deep}, Seconds(1));
  EXPECT_NEAR(next.Residual({family, search, deep}, 0),
              predictor.Residual({family, search, deep}, 0), 1e-9);
  EXPECT_TRUE(DurationPredictor().Export().empty());
}

TEST(DurationPredictor, TakesAnyDuration) {
  DurationPredictor predictor;
  for (const Nanos duration : {Nanos{-5}, Nanos{0}, Nanos{1}, Nanos{INT64_MAX}}) {
    predictor.Observe(kTool, duration);
    for (const Nanos elapsed : {Nanos{-5}, Nanos{0}, Nanos{1}, Seconds(1e5), Nanos{INT64_MAX}}) {
      const double residual = predictor.Residual(kTool, elapsed);
      EXPECT_TRUE(std::isfinite(residual) && residual >= 0) << duration << " " << elapsed;
    }
  }
}

}  // namespace infercept
