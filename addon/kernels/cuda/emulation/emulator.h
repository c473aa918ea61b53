// CUDA's execution model on one thread of a CPU, for tests: every thread of a block is a fiber that
// runs until it must wait for others. Blocks run one after another.
//
// What the hardware leaves undefined is found out or made visible:
//  - A barrier or a warp exchange that not all of its threads reach, that threads reach at
//    different places, or that names lanes which have left, is a KernelError.
//  - Shared memory begins as bytes 0xFF (floats: NaN), and each object in it is an allocation of
//    its own, so that AddressSanitizer sees what runs over its end.
//  - Asynchronous copies are done as late as waiting for them allows; in Order::kDescending at
//  once,
//    so that memory which others still read is overwritten.
//  - The order of threads can be chosen (SetOrder): a missing barrier gives a wrong result in one
//    of the orders. Tests run every kernel in all of them.
// Not emulated: blocks of one grid that wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <type_traits>

namespace infercept::emulation {

using Site = std::source_location;

struct Extent {
  uint32_t x = 1;
  uint32_t y = 1;
  uint32_t z = 1;

  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct LaunchShape {
  Extent grid;
  Extent block;
  size_t shared_bytes = 0;  // dynamic
};

// A kernel, or its launch, did what the hardware does not define.
class KernelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Order { kAscending, kDescending, kShuffled };
inline constexpr Order kOrders[] = {Order::kAscending, Order::kDescending, Order::kShuffled};
// Of the kernels that this host thread launches from now on. At first kAscending.
void SetOrder(Order order);

// Runs `thread` once per thread of the grid. Throws KernelError.
void RunGrid(const LaunchShape& shape, const std::function<void()>& thread);

// --- For the running kernel ---

Extent ThreadIndex();
Extent BlockIndex();
Extent BlockExtent();
Extent GridExtent();

// Waits until `threads` threads of the block wait at barrier `id`; 0 threads: all of the block.
void Barrier(uint32_t id, uint32_t threads, const Site& site);

// What the lanes of a warp exchange: they meet, and the last one computes the outputs of all from
// the inputs of all. Both are indexed by lane; those outside the mask are null.
using Combine = void (*)(uint32_t mask, const void* const* inputs, void* const* outputs);
void Exchange(uint32_t mask, Combine combine, const void* input, void* output, const Site& site);

// The block's object of this type. `key` names it.
void* StaticShared(const void* key, size_t bytes);
void* DynamicShared();

// Copies that this thread began go in groups, oldest first, as cp.async does.
void CopyAsync(void* target, const void* source, size_t bytes, size_t zeros);
void CommitCopies();
void WaitCopies(uint32_t groups_left);

[[noreturn]] void Fail(const char* what, const Site& site);
void CheckAligned(const void* address, size_t alignment, const Site& site);

}  // namespace infercept::emulation
