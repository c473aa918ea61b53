#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda_support.h"
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

}  // namespace infercept::test
