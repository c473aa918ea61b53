// On a device: arrays are cudaMalloc's, in allocations of their own, so that compute-sanitizer sees
// what runs over their ends. There is one order of threads: the hardware's.
#include <cuda_runtime_api.h>

#include <stdexcept>

#include "cuda_support.h"
#include "device/cuda_device.h"

namespace infercept::test {
namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

}  // namespace

std::byte* AllocateOnDevice(size_t bytes) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, bytes == 0 ? 1 : bytes));
  return static_cast<std::byte*>(memory);
}

void FreeOnDevice(std::byte* bytes) { cudaFree(bytes); }

void CopyToDevice(std::byte* target, std::span<const std::byte> source) {
  Check(cudaDeviceSynchronize());
  if (!source.empty())
    Check(cudaMemcpy(target, source.data(), source.size(), cudaMemcpyHostToDevice));
}

void CopyFromDevice(std::span<std::byte> target, const std::byte* source) {
  Check(cudaDeviceSynchronize());
  if (!target.empty())
    Check(cudaMemcpy(target.data(), source, target.size(), cudaMemcpyDeviceToHost));
}

void ForEachOrder(const std::function<void(const std::string& order)>& body) { body("device"); }

std::unique_ptr<Device> OpenTestDevice(uint64_t) { return OpenCudaDevice(0).Take(); }

std::string FirstViolation(const Device&) { return ""; }

std::optional<cuda::CublasLtFunctions> TestMatrixLibrary() { return cuda::FindCublasLt(); }

std::optional<uint64_t> LaunchedGraphs(const Device&) { return std::nullopt; }

}  // namespace infercept::test
