// Copies beside the computation: both directions move the right bytes, and what is no block is
// refused.
#include "engine/copy_engine.h"

#include "test.h"
#include "tiny_storage.h"

namespace infercept {

using namespace test;  // NOLINT: the helpers are the vocabulary of this file

TEST(CopyEngine, MovesBothDirectionsAndReportsTheirTimes) {
  const auto storage = MakeStorage();
  CopyEngine engine = CopyEngine::Create(*storage, CpuDevice()).Take();
  for (int round = 0; round < 50; ++round) {
    Fill(*storage, 0, round);
    storage->CopyOut(std::vector{Copy(0, 1)}, CpuStream());
    Fill(*storage, 2, round + 100);
    const std::vector out = {Copy(2, 3)};
    const std::vector in = {Copy(1, 3)};
    engine.Start(0, out, in);
    const CopyTimes times = engine.Wait(0).value();
    ASSERT_TRUE(Holds(*storage, 3, round));
    storage->CopyIn(std::vector{Copy(3, 1)}, CpuStream());
    ASSERT_TRUE(Holds(*storage, 1, round + 100));
    EXPECT_GT(times.swap_out, 0);
    EXPECT_GT(times.swap_in, 0);
  }
  engine.Start(0, {}, {});
  EXPECT_EQ(engine.Wait(0).value().swap_out, 0);
}

TEST(CopyEngine, RefusesWhatIsNoBlockAndGoesOn) {
  const auto storage = MakeStorage();
  CopyEngine engine = CopyEngine::Create(*storage, CpuDevice()).Take();
  const std::vector right = {Copy(0, 0)};
  const std::vector wrong = {Copy(9, 9)};
  EXPECT_THROW(engine.Start(0, right, wrong), InternalError);
  EXPECT_GT(engine.Wait(0).value().swap_out, 0);
  engine.Start(0, {}, right);
  EXPECT_GT(engine.Wait(0).value().swap_in, 0);
}

TEST(CopyEngine, HoldsAStreamBackUntilTheCopiesAreComplete) {
  const auto storage = MakeStorage(4, 4);
  CopyEngine engine = CopyEngine::Create(*storage, CpuDevice()).Take();
  for (int round = 0; round < 50; ++round) {
    Fill(*storage, 0, round);
    engine.Start(0, std::vector{Copy(0, 0)}, {});
    engine.HoldBack(0, CpuStream());
    Fill(*storage, 0, round + 100);
    storage->CopyIn(std::vector{Copy(0, 1)}, CpuStream());
    ASSERT_TRUE(Holds(*storage, 1, round));
    ASSERT_TRUE(engine.Wait(0).ok());
  }
}

}  // namespace infercept
