// What must hold in every world: 10^5 random lives under all six policies, on small and large
// pools, with forks, suspends, rewinds, aborts, marks and priorities. world_runner.h lists the
// properties. A failing world is made as small as it can be and printed with its seed;
//
//   INFERCEPT_SEED=n infercept_test --filter SchedulerProperties
//
// lives it alone.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "random_world.h"
#include "test.h"
#include "world_runner.h"

namespace infercept::test {
namespace {

// Sanitizers make everything ten times slower; a tenth of the lives finds what they look for.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kLivesMin = 10'000;
#else
constexpr uint32_t kLivesMin = 100'000;
#endif
// Worlds that are lived twice.
constexpr uint64_t kPairs = 1200;

std::string Check(const World& world) { return RunWorld(world).violation; }

std::string Report(const World& world) {
  const World small = Minimize(world, Check);
  return Check(small) + "\n" + small.DebugString() +
         "  again: INFERCEPT_SEED=" + std::to_string(world.seed) +
         " infercept_test --filter SchedulerProperties\n";
}

}  // namespace

TEST(SchedulerProperties, HoldInRandomWorlds) {
  const char* only = std::getenv("INFERCEPT_SEED");
  uint64_t lives = 0;
  uint64_t steps = 0;
  for (uint64_t seed = only ? std::strtoull(only, nullptr, 10) : 0;; ++seed) {
    const World world = RandomWorld(seed);
    const WorldOutcome outcome = RunWorld(world);
    ASSERT_TRUE(outcome.violation.empty()) << Report(world);
    lives += outcome.lives;
    steps += outcome.steps;
    if (only || lives >= kLivesMin) break;
  }
  std::printf("  %llu lives in %llu steps\n", static_cast<unsigned long long>(lives),
              static_cast<unsigned long long>(steps));
}

// The same while the step before is under way: a sequence may pause or end where a plan expects it
// to go on.
TEST(SchedulerProperties, HoldWhenStepsArePlannedAhead) {
  const char* only = std::getenv("INFERCEPT_SEED");
  RunOptions ahead;
  ahead.ahead = true;
  uint64_t lives = 0;
  for (uint64_t seed = only ? std::strtoull(only, nullptr, 10) : 0;; ++seed) {
    const World world = RandomWorld(seed);
    const WorldOutcome outcome = RunWorld(world, ahead);
    ASSERT_TRUE(outcome.violation.empty()) << "seed " << seed << ": " << outcome.violation << "\n"
                                           << world.DebugString();
    lives += outcome.lives;
    if (only || lives >= kLivesMin / 4) break;
  }
}

// Decisions are functions of recorded state and time: neither of where objects lie nor of what ran
// before.
TEST(SchedulerProperties, EqualWorldsHaveEqualPlans) {
  for (uint64_t seed = 0; seed < kPairs; ++seed) {
    const World world = RandomWorld(seed);
    RunOptions elsewhere;
    elsewhere.scatter_seed = seed + 1;
    const WorldOutcome first = RunWorld(world);
    const WorldOutcome second = RunWorld(world, elsewhere);
    ASSERT_EQ(first.plans, second.plans) << "\n" << world.DebugString();
    ASSERT_EQ(first.steps, second.steps) << "seed " << seed;
  }
}

}  // namespace infercept::test
