// Copies from global to shared memory that run beside the thread (cp.async, compute
// capability 8.0). They go in groups: after CommitCopies, WaitForCopies<n> waits until at most the
// n newest groups of this thread are in flight. Other threads see the bytes after a barrier.
#pragma once

#include "kernels/cuda/device/platform.cuh"

namespace infercept::cuda {

// 16 bytes, past the first-level cache: `bytes` of the source, then zeros. REQUIRES: both addresses
// are multiples of 16; bytes <= 16.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, uint32_t bytes = 16) {
#ifdef __CUDACC__
  const auto target = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(global),
               "r"(bytes)
               : "memory");
#else
  emulation::CheckAligned(shared, 16, emulation::Site::current());
  emulation::CheckAligned(global, 16, emulation::Site::current());
  emulation::CopyAsync(shared, global, bytes, 16 - bytes);
#endif
}

__device__ __forceinline__ void CommitCopies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::CommitCopies();
#endif
}

template <uint32_t groups_left>
__device__ __forceinline__ void WaitForCopies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#else
  emulation::WaitCopies(groups_left);
#endif
}

}  // namespace infercept::cuda
