#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "cuda_support.h"

namespace infercept::test {
namespace {

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

}  // namespace

// One allocation per array: compute-sanitizer then knows where each ends.
std::byte* AllocateOnDevice(size_t bytes) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, bytes == 0 ? 1 : bytes), "allocating device memory");
  return static_cast<std::byte*>(memory);
}

void FreeOnDevice(std::byte* bytes) { cudaFree(bytes); }

void CopyToDevice(std::byte* target, std::span<const std::byte> source) {
  Check(cudaMemcpy(target, source.data(), source.size(), cudaMemcpyHostToDevice),
        "copying to the device");
}

void CopyFromDevice(std::span<std::byte> target, const std::byte* source) {
  Check(cudaDeviceSynchronize(), "a kernel");
  Check(cudaMemcpy(target.data(), source, target.size(), cudaMemcpyDeviceToHost),
        "copying from the device");
}

void ForEachOrder(const std::function<void(const std::string& order)>& body) { body("device"); }

}  // namespace infercept::test
