#include "device/cuda_device.h"

namespace infercept {
namespace {

Status NotBuilt() {
  return Status(StatusCode::kDevice,
                "this build of the addon has the CPU backend only. Use device: 'auto' or 'cpu', or "
                "an addon built with -DINFERCEPT_CUDA=ON");
}

}  // namespace

Result<uint32_t> CountCudaDevices() { return NotBuilt(); }

Result<std::unique_ptr<Device>> OpenCudaDevice(uint32_t) { return NotBuilt(); }

Result<std::unique_ptr<Ops>> CreateCudaOps(Device&, Stream&, const CudaOpsLimits&) {
  return NotBuilt();
}

}  // namespace infercept
