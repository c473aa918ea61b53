// A very small model whose mathematics are the CUDA kernels: in emulation on the fake device, or on
// a device.
#pragma once

#include <memory>

#include "cuda_support.h"
#include "device/cuda_ops.h"
#include "tiny_model.h"

namespace infercept::test {

// With heads of a width that the attention kernels have.
inline Hyperparameters TinyCudaHyperparameters() {
  Hyperparameters h = TinyHyperparameters();
  h.head_dim = h.rope.dimension = 32;
  return h;
}

struct CudaModelOptions {
  uint64_t seed = 0;
  DType weights = DType::kF32;
  Hyperparameters hyperparameters = TinyCudaHyperparameters();
  uint32_t rows = 64;  // of a step
  std::optional<cuda::CublasLtFunctions> library = {};
  bool deterministic = false;
  RandomPlace random_place = RandomPlace::kHost;
};

struct CudaModel {
  static constexpr uint32_t kBlockTokens = 16;

  explicit CudaModel(const CudaModelOptions& options)
      : device(OpenTestDevice(options.seed)),
        stream(device->CreateStream(StreamUse::kCompute).Take()),
        ops(CudaOps::Create(*device, *stream,
                            {.rows = options.rows,
                             .slices = options.rows,
                             .context_tokens = options.hyperparameters.context_tokens,
                             .block_tokens = kBlockTokens,
                             .heads = options.hyperparameters.heads,
                             .kv_heads = options.hyperparameters.kv_heads,
                             .head_dim = options.hyperparameters.head_dim,
                             .deterministic = options.deterministic},
                            options.library)
                .Take()),
        model(Model::CreateRandom(options.hyperparameters, options.weights, 1,
                                  {.ops = ops.get(),
                                   .device = device.get(),
                                   .stream = stream.get(),
                                   .step_tokens_max = options.rows,
                                   .random_place = options.random_place,
                                   .progress = {}},
                                  pool)
                  .Take()) {}

  std::unique_ptr<KvStorage> MakeStorage(uint32_t blocks, DType dtype = DType::kF16) {
    return KvStorage::Create(model->kv_shape(kBlockTokens, dtype), blocks, 0, *device).Take();
  }

  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<CudaOps> ops;
  ThreadPool pool{2};
  std::unique_ptr<Model> model;
};

}  // namespace infercept::test
