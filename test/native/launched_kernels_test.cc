// The CUDA kernels (in emulation) as work of a device's streams: their launchers take what the seam
// gives them, they read what was bound for their step, and events carry their results on.
#include <cstring>

#include "device/arena_writer.h"
#include "device/step_arrays.h"
#include "fake_device.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weight_pack.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

constexpr uint32_t kRows = 19;
constexpr uint32_t kColumns = 64;
constexpr uint32_t kTokens = 3;
constexpr size_t kOutBytes = kTokens * kColumns * sizeof(float);

// Rows of a table that lies on a device, added up step by step.
struct Sums {
  Sums(uint64_t seed, const Matrix& matrix)
      : device({.seed = seed}),
        compute(device.CreateStream(StreamUse::kCompute).Take()),
        copies(device.CreateStream(StreamUse::kCopy).Take()),
        computed(device.CreateEvent().Take()),
        copied(device.CreateEvent().Take()),
        arrays(StepArrays::Create(device, *compute, {kTokens, 8, 4}).Take()),
        memory(device.Allocate(2 * kOutBytes, "rows and sums").Take()),
        pinned(device.AllocatePinned(kOutBytes, "sums").Take()) {
    std::vector<std::byte> packed(cuda::PackedBytes(matrix.dtype, kRows, kColumns));
    cuda::Pack(matrix.view(), packed);
    ArenaWriter writer =
        ArenaWriter::Create(device, *compute, packed.size(), 512, "a table").Take();
    EXPECT_TRUE(writer.Write(packed).ok());
    table = writer.Finish().Take();
    view = {matrix.dtype, table.data(), kRows, kColumns};
    compute->Fill(sums(), 0, kOutBytes);
    compute->Record(*computed);
    copies->Record(*copied);
  }

  float* rows() const { return reinterpret_cast<float*>(memory.data()); }
  float* sums() const { return reinterpret_cast<float*>(memory.data() + kOutBytes); }

  // sums += rows of the tokens; then the sums go to the host beside the next step's first kernel.
  void Step(const std::vector<TokenId>& tokens) {
    ASSERT_TRUE(arrays.Bind(tokens, {}, {}).ok());
    const TokenId* ids = arrays.OnDevice(std::span<const TokenId>(tokens)).data();
    compute->Launch(
        "Embed",
        [table = view, ids, out = rows()](NativeStream stream) {
          cuda::Embed(table, ids, kTokens, out, stream);
        },
        [table = view, bytes = table.size(), ids, out = rows()](AccessList& list) {
          list.Read(table.data, bytes);
          list.Read(ids, kTokens * sizeof(TokenId));
          list.Write(out, kOutBytes);
        });
    compute->Wait(*copied);
    compute->Launch(
        "AddTo",
        [sum = sums(), added = rows()](NativeStream stream) {
          cuda::AddTo(sum, added, kTokens * kColumns, stream);
        },
        [sum = sums(), added = rows()](AccessList& list) {
          list.Read(added, kOutBytes);
          list.Write(sum, kOutBytes);
        });
    compute->Record(*computed);
    copies->Wait(*computed);
    copies->Copy(pinned.data(), sums(), kOutBytes);
    copies->Record(*copied);
  }

  FakeDevice device;
  std::unique_ptr<Stream> compute;
  std::unique_ptr<Stream> copies;
  std::unique_ptr<StreamEvent> computed;
  std::unique_ptr<StreamEvent> copied;
  StepArrays arrays;
  Arena memory;
  Arena pinned;
  Arena table;
  PackedWeight view;
};

}  // namespace

TEST(LaunchedKernels, ComputeWhatWasBoundForTheirStep) {
  Random random(7);
  const Matrix matrix = MakeMatrix(random, DType::kF32, kRows, kColumns);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Sums device(seed, matrix);
    std::vector<float> expected(kTokens * kColumns, 0.0f);
    for (TokenId step = 0; step < 6; ++step) {
      const std::vector<TokenId> tokens = {step, 18 - step, 7};
      device.Step(tokens);
      for (size_t i = 0; i < kTokens; ++i) {
        const std::vector<float> row = matrix.Row(static_cast<uint32_t>(tokens[i]));
        for (size_t c = 0; c < kColumns; ++c) expected[i * kColumns + c] += row[c];
      }
    }
    ASSERT_TRUE(device.copies->Synchronize().ok());
    ASSERT_TRUE(device.device.violations().empty()) << device.device.violations()[0];
    EXPECT_EQ(std::memcmp(device.pinned.data(), expected.data(), kOutBytes), 0) << "seed " << seed;
  }
}

}  // namespace infercept::test
