// Two runs of which one is like the other but for one thing, and what follows for their results:
// other ids, other units of time, more memory, a faster tool.
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "random_world.h"
#include "test.h"
#include "world_runner.h"

namespace infercept::test {
namespace {

constexpr uint64_t kWorlds = 600;
constexpr size_t kPolicies = 6;

size_t PolicyOf(const World& world) { return static_cast<size_t>(world.config.policy); }

// Ids decide between sequences that are equally old; here nobody is.
World WithDistinctTimes(World world) {
  Nanos distinct = 0;
  for (WorldLife& life : world.lives) {
    life.arrival += ++distinct;
    life.disturbed_after += 1000 + ++distinct;
    for (WorldSegment& segment : life.segments) segment.interception.duration += 1000 + ++distinct;
  }
  return world;
}

std::vector<uint32_t> ShuffledIds(Rng& random, size_t count) {
  std::vector<uint32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0u);
  for (uint32_t i = static_cast<uint32_t>(count); i > 1; --i) {
    std::swap(ids[i - 1], ids[random.Below(i)]);
  }
  return ids;
}

World Scaled(World world, Nanos factor) {
  WorldDevice& device = world.device;
  for (Nanos* cost : {&device.step, &device.query_token, &device.kv_token, &device.copy_start[0],
                      &device.copy_start[1], &device.copy_block[0], &device.copy_block[1]}) {
    *cost *= factor;
  }
  for (WorldLife& life : world.lives) {
    life.arrival *= factor;
    for (WorldSegment& segment : life.segments) segment.interception.duration *= factor;
  }
  return world;
}

double Seconds(Nanos duration) { return static_cast<double>(duration) * 1e-9; }

uint32_t Generated(const WorldOutcome& outcome) {
  return std::accumulate(outcome.generated.begin(), outcome.generated.end(), 0u);
}

// What is compared must have happened in a world where everything held.
WorldOutcome RunSoundly(const World& world, const RunOptions& options = {}) {
  WorldOutcome outcome = RunWorld(world, options);
  EXPECT_EQ(outcome.violation, "");
  return outcome;
}

}  // namespace

TEST(SchedulerMetamorphic, IdsAreOnlyNames) {
  for (uint64_t seed = 0; seed < kWorlds; ++seed) {
    const World world = WithDistinctTimes(RandomWorld(seed));
    Rng random(seed);
    RunOptions renamed;
    renamed.ids = ShuffledIds(random, world.lives.size());
    const WorldOutcome first = RunSoundly(world);
    const WorldOutcome second = RunSoundly(world, renamed);
    ASSERT_EQ(first.plans, second.plans) << "\n" << world.DebugString();
    ASSERT_TRUE(first.ended == second.ended) << "seed " << seed;
  }
}

// The estimator's bins begin at a fixed time, so a decision may fall otherwise now and then, and
// what follows with it.
TEST(SchedulerMetamorphic, TimesScaleWithAllTimes) {
  constexpr double kNoise = 0.01;
  constexpr double kAnomaly = 0.25;          // measured: 13 % in the worst world
  constexpr double kNoiseInTheMean = 0.002;  // measured: 0.04 %
  double off = 0;
  uint64_t anomalies = 0;
  for (uint64_t seed = 0; seed < kWorlds; ++seed) {
    const World world = CalmWorld(seed);
    const Nanos time = RunSoundly(world).time;
    for (const Nanos factor : {4, 1000}) {
      const double scaled = Seconds(RunSoundly(Scaled(world, factor)).time);
      const double expected = Seconds(time) * static_cast<double>(factor);
      ASSERT_TRUE(std::abs(scaled / expected - 1) < kAnomaly)
          << scaled << " and not " << expected << " s\n"
          << world.DebugString();
      anomalies += std::abs(scaled / expected - 1) > kNoise;
      off += std::abs(scaled / expected - 1) / (2 * kWorlds);
    }
  }
  EXPECT_LT(off, kNoiseInTheMean);
  EXPECT_LE(anomalies, 2 * kWorlds / 50);  // measured: 14 of 1,200
}

// Work: tokens sampled in half of the time that the world takes with less memory. A single world
// may lose by it, since another order is not always a better one (Graham's anomalies); measured:
// 3.5 % at most, under `swap`.
TEST(SchedulerMetamorphic, MoreMemoryNeverLowersCompletedWork) {
  constexpr double kNoise = 0.06;
  std::array<double, kPolicies> with_less{};
  std::array<double, kPolicies> with_more{};
  for (uint64_t seed = 0; seed < kWorlds; ++seed) {
    const World world = CalmWorld(seed);
    World larger = world;
    larger.config.kv.device_blocks += larger.config.kv.device_blocks / 4;
    RunOptions half;
    half.until = RunSoundly(world).time / 2;
    const uint32_t less = Generated(RunSoundly(world, half));
    const uint32_t more = Generated(RunSoundly(larger, half));
    ASSERT_TRUE(more >= less * (1 - kNoise)) << more << " tokens instead of " << less << "\n"
                                             << world.DebugString();
    with_less[PolicyOf(world)] += less;
    with_more[PolicyOf(world)] += more;
  }
  for (size_t policy = 0; policy < kPolicies; ++policy) {
    EXPECT_GT(with_more[policy], with_less[policy]) << PolicyName(static_cast<PolicyKind>(policy));
  }
}

// The session whose tools take half as long finishes earlier in the mean, and seldom later: its
// returns may come when memory is just copied or wanted by older ones (Graham's anomalies).
// Measured: later by more than 3 % in 4 of 600 worlds, by 10 % in the worst.
TEST(SchedulerMetamorphic, AFasterToolNeverDelaysItsOwnSession) {
  constexpr double kNoise = 0.03;
  constexpr double kAnomaly = 0.25;
  uint64_t anomalies = 0;
  std::array<double, kPolicies> with_slow{};
  std::array<double, kPolicies> with_fast{};
  for (uint64_t seed = 0; seed < kWorlds; ++seed) {
    const World world = CalmWorld(seed);
    const size_t chosen = seed % world.lives.size();
    World faster = world;
    for (WorldSegment& segment : faster.lives[chosen].segments) segment.interception.duration /= 2;
    const Nanos arrival = world.lives[chosen].arrival;
    const double slow = Seconds(RunSoundly(world).ended[chosen] - arrival);
    const double fast = Seconds(RunSoundly(faster).ended[chosen] - arrival);
    ASSERT_TRUE(fast <= slow * (1 + kAnomaly))
        << "life " << chosen << ": " << fast << " and not " << slow << " s\n"
        << world.DebugString();
    anomalies += fast > slow * (1 + kNoise);
    with_slow[PolicyOf(world)] += slow;
    with_fast[PolicyOf(world)] += fast;
  }
  EXPECT_LE(anomalies, kWorlds / 100);
  for (size_t policy = 0; policy < kPolicies; ++policy) {
    EXPECT_LT(with_fast[policy], with_slow[policy]) << PolicyName(static_cast<PolicyKind>(policy));
  }
}

}  // namespace infercept::test
