// What a model computes with: a device, the stream of its computation, and the ops that enqueue
// there. Owner: the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "device/device.h"
#include "kernels/ops.h"
#include "model/model_spec.h"

namespace infercept {

struct CudaOpsLimits;
struct RuntimeOptions;

struct Backend {
  // Empty on the CPU, which everybody shares. Members are destroyed bottom up.
  std::unique_ptr<Device> own_device;
  std::unique_ptr<Stream> own_stream;
  std::unique_ptr<const Ops> own_ops;

  Device* device = nullptr;
  Stream* stream = nullptr;
  const Ops* ops = nullptr;
  uint32_t slices_max = 0;  // sequences that one step may have
};

// The device that the user chose. "auto" is the first CUDA device, if there is one that can run the
// model with these options, else the CPU. kDevice: what was named cannot be used, and why;
// kOutOfMemory.
Result<Backend> OpenBackend(const Hyperparameters& hyperparameters, const RuntimeOptions& options);

// What the CUDA kernels lack for this model and these options, with what to do about it; empty:
// nothing.
std::string CudaLacks(const Hyperparameters& hyperparameters, const RuntimeOptions& options);

// What calls to the CUDA kernels are bounded by for this model and these options.
CudaOpsLimits CudaLimits(const Hyperparameters& hyperparameters, const RuntimeOptions& options);

// The type of keys and values that an option names ("auto": F16). kInvalidArgument.
Result<DType> KvType(const std::string& name);

}  // namespace infercept
