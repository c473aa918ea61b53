// Who lets others pass: contexts that are large by what was seen, by a bounded time, as far as the
// weights want it.
#include "sched/queue_order.h"

#include "test.h"

namespace infercept::test {
namespace {

constexpr Nanos kSecond = 1'000'000'000;
constexpr Nanos kArrival = 5 * kSecond;

// Turns that ended after 10 s with 100 tokens.
QueueOrder After(int turns, const SloWeights& slo = {}) {
  QueueOrder order(slo);
  for (int i = 0; i < turns; ++i) order.Observe(10 * kSecond, 100);
  return order;
}

}  // namespace

TEST(QueueOrder, OnlyLargeContextsStandBack) {
  EXPECT_EQ(After(50).PlaceOf(kArrival, 144), kArrival);
  EXPECT_EQ(After(50).PlaceOf(kArrival, 146), kArrival + 40 * kSecond);
}

TEST(QueueOrder, AFewTurnsSayNothing) {
  EXPECT_EQ(After(0).PlaceOf(kArrival, 1'000'000), kArrival);
  EXPECT_EQ(After(7).PlaceOf(kArrival, 1'000'000), kArrival);
  EXPECT_TRUE(After(8).PlaceOf(kArrival, 1'000'000) > kArrival);
}

TEST(QueueOrder, FollowsWhatTurnsBecome) {
  QueueOrder order = After(1000);
  for (int i = 0; i < 1000; ++i) order.Observe(kSecond, 10'000);
  EXPECT_EQ(order.PlaceOf(kArrival, 10'000), kArrival);
  const Nanos later = order.PlaceOf(kArrival, 16'000) - kArrival;
  EXPECT_TRUE(later > 4 * kSecond && later < 5 * kSecond);
}

TEST(QueueOrder, WeightsMoveWhatIsLarge) {
  EXPECT_TRUE(After(50, {2, 1}).PlaceOf(kArrival, 73) > kArrival);
  EXPECT_EQ(After(50, {2, 1}).PlaceOf(kArrival, 72), kArrival);
  EXPECT_EQ(After(50, {1, 2}).PlaceOf(kArrival, 289), kArrival);
  EXPECT_TRUE(After(50, {1, 2}).PlaceOf(kArrival, 291) > kArrival);
}

}  // namespace infercept::test
