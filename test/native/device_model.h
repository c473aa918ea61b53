// A very small model on the fake device.
#pragma once

#include <memory>

#include "enqueued_ops.h"
#include "fake_device.h"
#include "tiny_model.h"

namespace infercept::test {

struct DeviceModelOptions {
  uint64_t seed = 0;
  DType weights = DType::kF32;
  uint32_t block_tokens = 4;
  Hyperparameters hyperparameters = TinyHyperparameters();
  size_t memory_bytes = size_t{64} << 20;
  LoadProgress progress = {};
};

struct DeviceModel {
  static constexpr uint32_t kRowsMax = 64;

  explicit DeviceModel(const DeviceModelOptions& options)
      : device({.seed = options.seed, .memory_bytes = options.memory_bytes}),
        stream(device.CreateStream(StreamUse::kCompute).Take()),
        arrays(StepArrays::Create(
                   device, *stream,
                   {.rows = kRowsMax,
                    .block_ids = size_t{kRowsMax} * options.hyperparameters.context_tokens,
                    .block_tokens = options.block_tokens})
                   .Take()),
        ops(*FindOps(""), *stream, arrays),
        loaded(Model::CreateRandom(options.hyperparameters, options.weights, 1,
                                   {.ops = &ops,
                                    .device = &device,
                                    .stream = stream.get(),
                                    .step_tokens_max = kRowsMax,
                                    .progress = options.progress},
                                   pool)) {}

  Model& model() { return *loaded.value(); }

  FakeDevice device;
  std::unique_ptr<Stream> stream;
  StepArrays arrays;
  EnqueuedOps ops;
  ThreadPool pool{2};
  Result<std::unique_ptr<Model>> loaded;
};

}  // namespace infercept::test
