// Lines: found from samples and followed while they change, whatever the unit of values; samples
// that are far off move them little.
#include "sched/line_fit.h"

#include <vector>

#include "base/rng.h"
#include "test.h"

namespace infercept {
namespace {

constexpr LineVector kTruth = {0.010, 46e-6, 0.24e-6};
// From nanoseconds to years.
constexpr double kUnits[] = {1e-9, 1e-3, 1, 1e3, 1e9};

double ValueOf(const LineVector& line, const LineVector& features) {
  double value = 0;
  for (int i = 0; i < kLineFeatures; ++i) value += line[i] * features[i];
  return value;
}

LineVector Scaled(LineVector line, double factor) {
  for (double& coefficient : line) coefficient *= factor;
  return line;
}

LineVector RandomFeatures(Rng& random) {
  return {1, 1.0 + random.Below(200), 1.0 * random.Below(60'000)};
}

// What an engine sees: mostly decodes, sometimes a prefill; a tenth of noise.
LineSample RandomSample(Rng& random, const LineVector& line) {
  LineVector features = RandomFeatures(random);
  if (random.Below(4) > 0) features[1] = 1 + random.Below(8);
  return {features, ValueOf(line, features) * (0.9 + 0.2 * random.Uniform())};
}

// The worst relative error of predictions, over sizes of steps.
double WorstError(const LineVector& line, const LineVector& truth) {
  double worst = 0;
  for (double query : {1.0, 8.0, 64.0, 200.0}) {
    for (double kv : {100.0, 5'000.0, 60'000.0}) {
      const LineVector features = {1, query, kv};
      worst = std::max(worst, std::abs(ValueOf(line, features) / ValueOf(truth, features) - 1));
    }
  }
  return worst;
}

}  // namespace

TEST(LineFit, FindsTheLineInAnyUnit) {
  for (double unit : kUnits) {
    Rng random(1);
    std::vector<LineSample> samples;
    for (int i = 0; i < 60; ++i) samples.push_back(RandomSample(random, Scaled(kTruth, unit)));
    EXPECT_LT(WorstError(FitLine(samples), Scaled(kTruth, unit)), 0.06) << "unit " << unit;
  }
}

TEST(LineFit, GivesTheSameLineInAnyUnit) {
  const auto fit = [](double unit) {
    Rng random(5);
    std::vector<LineSample> samples;
    for (int i = 0; i < 20; ++i) samples.push_back(RandomSample(random, kTruth));
    for (LineSample& sample : samples) sample.value *= unit;
    return FitLine(samples);
  };
  const LineVector seconds = fit(1);
  for (double unit : kUnits) {
    const LineVector line = fit(unit);
    for (int i = 0; i < kLineFeatures; ++i)
      EXPECT_NEAR(line[i] / (seconds[i] * unit), 1, 1e-9) << "unit " << unit << " feature " << i;
  }
}

TEST(LineFit, SamplesThatAreFarOffMoveItLittle) {
  Rng random(2);
  std::vector<LineSample> samples;
  for (int i = 0; i < 60; ++i) {
    samples.push_back(RandomSample(random, kTruth));
    if (i % 15 == 0) samples.back().value *= 20;
  }
  EXPECT_LT(WorstError(FitLine(samples), kTruth), 0.1);
}

TEST(LineFit, LeavesASmallRestOfWhatSamplesDoNotShow) {
  // Features in proportion to each other: nobody can tell them apart, and what they explain
  // together is explained.
  std::vector<LineSample> samples;
  for (double count : {1.0, 2.0, 8.0}) samples.push_back({{1, count, 10 * count}, 3 + 2 * count});
  const LineVector line = FitLine(samples);
  for (const LineSample& sample : samples)
    EXPECT_NEAR(ValueOf(line, sample.features) / sample.value, 1, 0.02);
  EXPECT_GT(std::min(line[1], line[2]), 0.0);
  // A feature that does not exist has no coefficient.
  samples = {{{1, 4, 0}, 5}, {{1, 8, 0}, 9}};
  EXPECT_NEAR(FitLine(samples)[1], 1.0, 1e-9);
  EXPECT_EQ(FitLine(samples)[2], 0.0);
}

TEST(LineFit, HasNoNegativeCoefficients) {
  // Longer the fewer there are: the best line without a negative slope is a constant.
  const std::vector<LineSample> samples = {{{1, 1, 0}, 9}, {{1, 4, 0}, 8}, {{1, 9, 0}, 7}};
  const LineVector line = FitLine(samples);
  EXPECT_GT(line[1], 0.0);
  EXPECT_NEAR(ValueOf(line, {1, 4, 0}), 8.0, 0.5);
}

TEST(LineFollower, FollowsHalfAndTwiceTheSpeedInFortySamplesInAnyUnit) {
  for (double unit : kUnits) {
    for (double factor : {0.5, 2.0}) {
      for (uint64_t seed = 1; seed <= 20; ++seed) {
        Rng random(seed);
        const LineVector before = Scaled(kTruth, unit);
        const LineVector now = Scaled(before, factor);
        LineFollower line(before);
        for (int i = 0; i < 340; ++i) {
          const auto [features, value] = RandomSample(random, i < 300 ? before : now);
          line.Observe(features, value);
        }
        EXPECT_LT(WorstError(line.coefficients(), now), 0.1)
            << "unit " << unit << " factor " << factor << " seed " << seed;
      }
    }
  }
}

TEST(LineFollower, ForgetsHowFarOffItBegan) {
  for (double wrong : {1e-4, 1e-2, 1.0, 1e2, 1e4}) {
    Rng random(3);
    LineFollower line(Scaled(kTruth, wrong));
    for (int i = 0; i < 600; ++i) {
      const auto [features, value] = RandomSample(random, kTruth);
      line.Observe(features, value);
    }
    EXPECT_LT(WorstError(line.coefficients(), kTruth), 0.12) << "began " << wrong << " times off";
  }
}

TEST(LineFollower, FollowsOneCoefficientThatChangesAlone) {
  Rng random(4);
  LineFollower line(kTruth);
  const LineVector now = {kTruth[0], 3 * kTruth[1], kTruth[2]};
  for (int i = 0; i < 300; ++i) {
    const auto [features, value] = RandomSample(random, now);
    line.Observe(features, value);
  }
  EXPECT_LT(WorstError(line.coefficients(), now), 0.15);
}

TEST(LineFollower, AFewSamplesTwentyTimesOffMoveItLittle) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rng random(seed);
    LineFollower line(kTruth);
    for (int i = 0; i < 100; ++i) {
      auto [features, value] = RandomSample(random, kTruth);
      if (i % 20 == 10) value *= 20;
      line.Observe(features, value);
      EXPECT_LT(WorstError(line.coefficients(), kTruth), 0.2) << "seed " << seed << " sample " << i;
    }
    EXPECT_LT(WorstError(line.coefficients(), kTruth), 0.1) << "seed " << seed;
  }
}

TEST(LineFollower, KeepsWhatIsNotShownUntilItIsShownAgain) {
  Rng random(6);
  LineFollower line(kTruth);
  // Decodes alone, for long: what a prefill takes is not shown.
  for (int i = 0; i < 1'000'000; ++i) {
    const LineVector features = {1, 1, 2'000};
    line.Observe(features, ValueOf(kTruth, features) * (0.9 + 0.2 * random.Uniform()));
  }
  const LineVector prefill = {1, 64, 2'000};
  line.Observe(prefill, 20 * ValueOf(kTruth, prefill));  // an interruption, not the price of tokens
  EXPECT_LT(WorstError(line.coefficients(), kTruth), 0.5);
}

}  // namespace infercept
