// The one way to start a kernel. Included by .cu files only.
#pragma once

#include <string>
#include <type_traits>

#include "base/check.h"
#include "kernels/cuda/device/platform.cuh"
#include "kernels/cuda/stream.h"

namespace infercept::cuda {

// Dynamic shared memory that a kernel gets without asking.
inline constexpr size_t kSharedBytesUnasked = 48 * 1024;

#ifdef __CUDACC__

inline void CheckRuntime(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw InternalError(std::string(what) + ": " + cudaGetErrorString(error));
}

// REQUIRES: grid and block are not empty. Throws InternalError if the launch is refused; what goes
// wrong while the kernel runs is found by whoever waits for the stream.
template <typename... Parameters>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Stream stream, std::type_identity_t<Parameters>... arguments) {
  if (shared_bytes > kSharedBytesUnasked) {
    CheckRuntime(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes)),
                 "shared memory of a kernel");
  }
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  CheckRuntime(cudaGetLastError(), "launch of a kernel");
}

#else

// At once, whatever the stream.
template <typename... Parameters>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream,
            std::type_identity_t<Parameters>... arguments) {
  emulation::RunGrid({grid, block, shared_bytes}, [&] { kernel(arguments...); });
}

#endif

}  // namespace infercept::cuda
