// The real device behind the seam: copies arrive, events order streams, graphs run again, and what
// does not fit is a typed error. Needs a device.
#include <cstring>

#include "device/arena_writer.h"
#include "device/cuda_device.h"
#include "test.h"

namespace infercept {
namespace {

constexpr size_t kBytes = size_t{8} << 20;

struct Fixture {
  Fixture()
      : device(OpenCudaDevice(0).Take()),
        memory(device->Allocate(2 * kBytes, "a test").Take()),
        pinned(device->AllocatePinned(2 * kBytes, "a test").Take()),
        compute(device->CreateStream(StreamUse::kCompute).Take()),
        copies(device->CreateStream(StreamUse::kCopy).Take()),
        begin(device->CreateEvent().Take()),
        end(device->CreateEvent().Take()) {}

  bool HostHolds(int value) const {
    for (size_t i = 0; i < kBytes; ++i) {
      if (std::to_integer<int>(pinned.data()[i]) != value) return false;
    }
    return true;
  }

  std::unique_ptr<Device> device;
  Arena memory;
  Arena pinned;
  std::unique_ptr<Stream> compute;
  std::unique_ptr<Stream> copies;
  std::unique_ptr<StreamEvent> begin;
  std::unique_ptr<StreamEvent> end;
};

}  // namespace

TEST(CudaDevice, SaysWhatItIs) {
  const Fixture fixture;
  const DeviceProperties& found = fixture.device->properties();
  EXPECT_EQ(found.id, "cuda:0");
  EXPECT_FALSE(found.name.empty());
  EXPECT_TRUE(found.compute_major >= 8 && found.multiprocessors > 0 && found.graphs);
  EXPECT_FALSE(found.is_host);
  const MemoryInfo memory = fixture.device->Memory().value();
  EXPECT_TRUE(memory.free > 0 && memory.free <= memory.total);
  EXPECT_EQ(OpenCudaDevice(9999).status().code(), StatusCode::kDevice);
}

TEST(CudaDevice, OrdersStreamsByEvents) {
  Fixture f;
  for (int round = 1; round <= 20; ++round) {
    f.copies->Record(*f.begin);
    for (int i = 0; i < 8; ++i)  // long enough for an early copy to see something else
      f.compute->Fill(f.memory.data(), static_cast<uint8_t>(100 + i), kBytes);
    f.compute->Fill(f.memory.data(), static_cast<uint8_t>(round), kBytes);
    f.compute->Record(*f.end);
    f.copies->Wait(*f.end);
    f.copies->Copy(f.pinned.data(), f.memory.data(), kBytes);
    f.copies->Record(*f.end);
    ASSERT_TRUE(f.copies->Synchronize().ok());
    ASSERT_TRUE(f.HostHolds(round)) << "round " << round;
    EXPECT_GT(f.end->ElapsedSince(*f.begin).value(), 0);
    ASSERT_TRUE(f.compute->Synchronize().ok());
  }
}

TEST(CudaDevice, RunsAGraphAgainWithWhatMemoryHoldsThen) {
  Fixture f;
  f.compute->BeginCapture();
  f.compute->Copy(f.memory.data(), f.pinned.data() + kBytes, kBytes);
  f.compute->Copy(f.pinned.data(), f.memory.data(), kBytes);
  const std::unique_ptr<Graph> graph = f.compute->EndCapture().Take();
  for (const int value : {3, 4}) {
    std::memset(f.pinned.data() + kBytes, value, kBytes);
    f.compute->Launch(*graph);
    ASSERT_TRUE(f.compute->Synchronize().ok());
    ASSERT_TRUE(f.HostHolds(value));
  }
}

TEST(CudaDevice, WritesArenasInPieces) {
  Fixture f;
  constexpr size_t kPiece = 100'000;  // the last piece is shorter
  ArenaWriter writer = ArenaWriter::Create(*f.device, *f.compute, kBytes, kPiece, "a test").Take();
  std::vector<std::byte> source(kBytes);
  for (size_t i = 0; i < kBytes; ++i) source[i] = static_cast<std::byte>(i * 7 / 3);
  ASSERT_TRUE(writer.Write(source).ok());
  const Arena written = writer.Finish().Take();
  f.compute->Copy(f.pinned.data(), written.data(), kBytes);
  ASSERT_TRUE(f.compute->Synchronize().ok());
  EXPECT_EQ(std::memcmp(f.pinned.data(), source.data(), kBytes), 0);
}

TEST(CudaDevice, RefusesWhatDoesNotFitAndGoesOn) {
  Fixture f;
  const size_t total = f.device->Memory().value().total;
  const Status status = f.device->Allocate(2 * total, "too much").status();
  EXPECT_EQ(status.code(), StatusCode::kOutOfMemory);
  EXPECT_NE(status.message().find("too much"), std::string::npos);
  f.compute->Fill(f.memory.data(), 1, kBytes);
  EXPECT_TRUE(f.compute->Synchronize().ok());
}

}  // namespace infercept
