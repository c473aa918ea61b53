// Calibration: samples of several sizes of both sorts, in bounded time.
#include "engine/calibration.h"

#include <chrono>

#include "test.h"
#include "tiny_model.h"

namespace infercept {

using test::TinyModel;

TEST(Calibration, MeasuresStepsAndCopiesWithinItsBudget) {
  TinyModel tiny(*FindOps(""));
  const auto begin = std::chrono::steady_clock::now();
  const Calibration calibration = Calibrate(*tiny.model, *tiny.storage, tiny.pool, 50'000'000);
  const auto duration = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(duration, std::chrono::milliseconds(400));  // generous: the machine may be busy
  ASSERT_TRUE(calibration.forward.size() >= 4);
  uint32_t most = 0;
  for (const ForwardSample& sample : calibration.forward) {
    EXPECT_GT(sample.duration, 0);
    EXPECT_GE(sample.kv_tokens, sample.query_tokens);
    most = std::max(most, sample.query_tokens);
  }
  EXPECT_EQ(most, 64u);
  EXPECT_EQ(calibration.swap_out.size(), 3u);  // of 1, 4 and 16 blocks
  EXPECT_EQ(calibration.swap_in.size(), 3u);
}

}  // namespace infercept
