// Status and Result: codes keep their public names, a Result holds exactly one of value and reason.
#include "base/status.h"

#include "test.h"

namespace infercept {

TEST(Status, NamesEveryCode) {
  EXPECT_EQ(CodeName(StatusCode::kOutOfMemory), "ERR_OUT_OF_MEMORY");
  EXPECT_EQ(Status(StatusCode::kDevice, "no driver").DebugString(), "ERR_DEVICE: no driver");
}

TEST(Result, HoldsValueOrStatus) {
  const Result<int> value(7);
  const Result<int> reason(Status(StatusCode::kBusy, "busy"));
  EXPECT_TRUE(value.ok());
  EXPECT_EQ(value.value(), 7);
  EXPECT_FALSE(reason.ok());
  EXPECT_EQ(reason.status().message(), "busy");
  EXPECT_THROW(static_cast<void>(reason.value()), InternalError);
}

}  // namespace infercept
