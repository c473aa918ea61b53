// The processor as a device: copies of copy streams run beside the caller and end when events and
// Synchronize say so.
#include "device/cpu_device.h"

#include <cstring>
#include <vector>

#include "test.h"

namespace infercept {

TEST(CpuDevice, OrdersCopiesByStreamsAndEvents) {
  Device& device = CpuDevice();
  const auto out = device.CreateStream(StreamUse::kCopy).Take();
  const auto in = device.CreateStream(StreamUse::kCopy).Take();
  const auto compute = device.CreateStream(StreamUse::kCompute).Take();
  const auto begin = device.CreateEvent().Take();
  const auto end = device.CreateEvent().Take();
  constexpr size_t kBytes = 1 << 16;
  std::vector<std::byte> a(kBytes);
  std::vector<std::byte> b(kBytes);
  std::vector<std::byte> c(kBytes);
  for (int round = 0; round < 200; ++round) {
    out->Record(*begin);
    out->Fill(a.data(), static_cast<uint8_t>(round), kBytes);
    out->Record(*end);
    in->Wait(*end);
    in->Copy(b.data(), a.data(), kBytes);
    in->Record(*end);  // again, on another stream
    compute->Wait(*end);
    compute->Copy(c.data(), b.data(), kBytes);
    ASSERT_EQ(std::to_integer<int>(c.back()), round);
    ASSERT_TRUE(out->Synchronize().ok() && in->Synchronize().ok());
    EXPECT_GT(end->ElapsedSince(*begin).value(), 0);
  }
}

TEST(CpuDevice, FinishesItsWorkBeforeAStreamGoes) {
  std::vector<std::byte> target(1 << 20);
  const auto stream = CpuDevice().CreateStream(StreamUse::kCopy).Take();
  {
    const auto copies = CpuDevice().CreateStream(StreamUse::kCopy).Take();
    for (int value = 0; value < 50; ++value) {
      copies->Fill(target.data(), static_cast<uint8_t>(value), target.size());
    }
  }
  EXPECT_EQ(std::to_integer<int>(target.back()), 49);
}

TEST(CpuDevice, RunsKernelsOnTheCallersThread) {
  const auto stream = CpuDevice().CreateStream(StreamUse::kCompute).Take();
  int sum = 0;
  int* total = &sum;
  for (int i = 1; i <= 3; ++i) {
    stream->Launch(
        "add", [=](NativeStream) { *total += i; }, [](AccessList&) {});
  }
  EXPECT_EQ(sum, 6);
  EXPECT_EQ(CpuDevice().properties().id, "cpu");
  EXPECT_GT(CpuDevice().Memory().value().total, 0u);
}

}  // namespace infercept
