// What the tests of CUDA kernels share: arrays in the memory that kernels see, and every order of
// threads. The same tests run in emulation, where that memory is the heap and AddressSanitizer
// watches its ends, and on a device.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "device/device.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/stream.h"
#include "ops_support.h"

namespace infercept::test {

// Two implementations: cuda_support_emulated.cc, and cuda_support_device.cu.
std::byte* AllocateOnDevice(size_t bytes);
void FreeOnDevice(std::byte* bytes);
// After everything in the null stream is done. Rethrows what went wrong in it.
void CopyToDevice(std::byte* target, std::span<const std::byte> source);
void CopyFromDevice(std::span<std::byte> target, const std::byte* source);
// Runs the body once per order of threads that can be told apart: once on a device. `order` names
// it in messages.
void ForEachOrder(const std::function<void(const std::string& order)>& body);

// A device whose work may be kernels: in emulation the fake one (fake_device.h), which delays and
// reorders as the seed says.
std::unique_ptr<Device> OpenTestDevice(uint64_t seed);
// What went wrong with the order of its work, in words; empty where nobody looks.
std::string FirstViolation(const Device& device);
// cuBLASLt, if it is there; in emulation one that is (fake_cublaslt.h).
std::optional<cuda::CublasLtFunctions> TestMatrixLibrary();
// How many graphs were launched, where somebody counts.
std::optional<uint64_t> LaunchedGraphs(const Device& device);

// An array in device memory. Exactly as long as it says, aligned as arenas are.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::span<const T> values)
      : bytes_(AllocateOnDevice(values.size_bytes())), count_(values.size()) {
    CopyToDevice(bytes_.get(), std::as_bytes(values));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  DeviceArray(size_t count, T value) : DeviceArray(std::vector<T>(count, value)) {}

  T* data() { return reinterpret_cast<T*>(bytes_.get()); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.get()); }
  size_t size() const { return count_; }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    CopyFromDevice(std::as_writable_bytes(std::span(values)), bytes_.get());
    return values;
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { FreeOnDevice(bytes); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t count_ = 0;
};

inline constexpr cuda::Stream kNullStream = nullptr;

}  // namespace infercept::test
