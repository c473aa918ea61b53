#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda_support.h"
#include "fake_cublaslt.h"
#include "fake_device.h"
#include "kernels/cuda/emulation/emulator.h"

namespace infercept::test {

std::byte* AllocateOnDevice(size_t bytes) {
  void* memory = nullptr;
  // Device arenas align to 256 bytes.
  if (posix_memalign(&memory, 256, bytes == 0 ? 1 : bytes) != 0) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

void FreeOnDevice(std::byte* bytes) { std::free(bytes); }

void CopyToDevice(std::byte* target, std::span<const std::byte> source) {
  if (!source.empty()) std::memcpy(target, source.data(), source.size());
}

void CopyFromDevice(std::span<std::byte> target, const std::byte* source) {
  if (!target.empty()) std::memcpy(target.data(), source, target.size());
}

void ForEachOrder(const std::function<void(const std::string& order)>& body) {
  constexpr const char* kNames[] = {"ascending", "descending", "shuffled"};
  for (const emulation::Order order : emulation::kOrders) {
    emulation::SetOrder(order);
    body(kNames[static_cast<size_t>(order)]);
  }
  emulation::SetOrder(emulation::Order::kAscending);
}

std::unique_ptr<Device> OpenTestDevice(uint64_t seed) {
  return std::make_unique<FakeDevice>(FakeDeviceOptions{.seed = seed});
}

std::string FirstViolation(const Device& device) {
  const auto& violations = static_cast<const FakeDevice&>(device).violations();
  return violations.empty() ? "" : violations.front();
}

std::optional<cuda::CublasLtFunctions> TestMatrixLibrary() { return FakeCublasLtFunctions(); }

std::optional<uint64_t> LaunchedGraphs(const Device& device) {
  return static_cast<const FakeDevice&>(device).launched_graphs();
}

}  // namespace infercept::test
