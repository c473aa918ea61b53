// Copies beside the computation: both directions move the right bytes, and a failed copy reaches
// the thread that waits.
#include "engine/copy_engine.h"

#include "test.h"
#include "tiny_storage.h"

namespace infercept {

using namespace test;  // NOLINT: the helpers are the vocabulary of this file

TEST(CopyEngine, MovesBothDirectionsAndReportsTheirTimes) {
  const auto storage = MakeStorage();
  CopyEngine engine(*storage);
  for (int round = 0; round < 50; ++round) {
    Fill(*storage, 0, round);
    storage->CopyOut(std::vector{Copy(0, 1)});
    Fill(*storage, 2, round + 100);
    const std::vector out = {Copy(2, 3)};
    const std::vector in = {Copy(1, 3)};
    engine.Start(out, in);
    const CopyTimes times = engine.Wait();
    ASSERT_TRUE(Holds(*storage, 3, round));
    storage->CopyIn(std::vector{Copy(3, 1)});
    ASSERT_TRUE(Holds(*storage, 1, round + 100));
    EXPECT_GT(times.swap_out, 0);
    EXPECT_GT(times.swap_in, 0);
  }
  engine.Start({}, {});
  EXPECT_EQ(engine.Wait().swap_out, 0);
}

TEST(CopyEngine, HandsAFailedCopyToTheWaitingThread) {
  const auto storage = MakeStorage();
  CopyEngine engine(*storage);
  const std::vector wrong = {Copy(9, 9)};
  engine.Start({}, wrong);
  EXPECT_THROW(engine.Wait(), InternalError);
  engine.Start({}, {});
  engine.Wait();
}

}  // namespace infercept
