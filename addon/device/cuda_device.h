// Devices of CUDA. Where CUDA is not built in, there are none (no_cuda.cc): nothing else has to
// know.
#pragma once

#include <cstdint>
#include <memory>

#include "device/cuda_ops.h"
#include "device/device.h"

namespace infercept {

// How many there are. kDevice, saying why there is none and what to do about it: the addon is built
// without CUDA, there is no driver, the driver is too old, or no device is visible.
Result<uint32_t> CountCudaDevices();

// kDevice: there is no such device, or its compute capability is below what kernels are built for.
Result<std::unique_ptr<Device>> OpenCudaDevice(uint32_t index);

// CudaOps::Create, where kernels for devices are built in.
Result<std::unique_ptr<Ops>> CreateCudaOps(Device& device, Stream& stream,
                                           const CudaOpsLimits& limits);

}  // namespace infercept
