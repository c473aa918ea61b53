// What was chosen is taken or refused with the reason and what to do about it; and a model that the
// CUDA kernels cannot run is known before anything is loaded.
#include "engine/backend.h"

#include <functional>

#include "device/cuda_ops.h"
#include "engine/runtime.h"
#include "test.h"
#include "tiny_model.h"

namespace infercept {
namespace {

using test::TinyHyperparameters;

Hyperparameters RunnableHyperparameters() {
  Hyperparameters h = TinyHyperparameters();
  h.head_dim = 128;
  return h;
}

}  // namespace

TEST(Backend, IsTheCpuWhereThatIsChosen) {
  const Backend backend = OpenBackend(TinyHyperparameters(), {.device = "cpu"}).Take();
  EXPECT_TRUE(backend.device->properties().is_host);
  EXPECT_EQ(backend.ops, FindOps(""));
  EXPECT_EQ(backend.stream, &CpuStream());
}

TEST(Backend, SaysWhyADeviceCannotBeUsed) {
  const Status status = OpenBackend(TinyHyperparameters(), {.device = "cuda:4000000000"}).status();
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_NE(status.message().find("'cuda:4000000000' is not available: "), std::string::npos);
}

TEST(Backend, BoundsWhatTheCudaKernelsAreCalledWith) {
  const CudaOpsLimits limits =
      CudaLimits(RunnableHyperparameters(),
                 {.deterministic = true, .context_tokens = 32, .step_tokens = 4096});
  EXPECT_TRUE(limits.deterministic);
  EXPECT_FALSE(CudaLimits(RunnableHyperparameters(), {}).deterministic);
  EXPECT_EQ(limits.rows, 4096u);
  EXPECT_EQ(limits.slices, 1024u);
  EXPECT_EQ(limits.context_tokens, 32u);
}

TEST(Backend, KnowsWhatTheCudaKernelsLack) {
  EXPECT_EQ(CudaLacks(RunnableHyperparameters(), {}), "");
  EXPECT_EQ(CudaLacks(RunnableHyperparameters(), {.kv_dtype = "bf16", .block_tokens = 32}), "");
  const auto expect = [](const std::string& words, const RuntimeOptions& options,
                         const std::function<void(Hyperparameters&)>& change) {
    Hyperparameters h = RunnableHyperparameters();
    change(h);
    const std::string lack = CudaLacks(h, options);
    EXPECT_NE(lack.find(words), std::string::npos) << lack;
  };
  const auto nothing = [](Hyperparameters&) {};
  expect("heads of 48; use device: 'cpu'", {}, [](auto& h) { h.head_dim = 48; });
  expect("width of 16388", {}, [](auto& h) { h.width = 16388; });
  expect("width of 4098", {}, [](auto& h) { h.width = 4098; });
  expect("'f32'; set it to 'f16'", {.kv_dtype = "f32"}, nothing);
  expect("blockTokens of 8; set it", {.block_tokens = 8}, nothing);
}

}  // namespace infercept
