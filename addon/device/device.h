// The seam to one processor: its memory, streams of work on it, and events that order streams.
//
// Work is asynchronous. What is enqueued on a stream begins when everything that was enqueued there
// before is done, and runs beside everything else; only events and Synchronize say more.
//
// Rule 1. Whoever enqueues work that touches memory has ordered it after the work that wrote it
// and,
//         if it writes, after all work that read it: by the stream, by an event, or because the
//         host waited. test/native/fake_device.h proves it of everything that runs on it.
// Rule 2. Host memory that copies touch is pinned (AllocatePinned), and stays as it is until they
//         are done.
// Rule 3. The first failure of a stream is kept: later work on it does nothing, and Synchronize
// says
//         what went wrong. So there is nothing to check between two calls.
//
// Implementations: cpu_device.h; cuda_device.cc (no_cuda.cc where it is not built); for tests
// fake_device.h.
// Owner: the engine. Thread: all methods from one thread at a time. Streams, events, graphs and
// memory go before their device does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/status.h"
#include "base/types.h"
#include "device/arena.h"

struct CUstream_st;

namespace infercept {

struct DeviceProperties {
  std::string id = {};    // as users choose it: "cpu", "cuda:0"
  std::string name = {};  // of the product
  // CUDA's compute capability; 0.0 elsewhere.
  uint32_t compute_major = 0;
  uint32_t compute_minor = 0;
  uint32_t multiprocessors = 0;
  size_t l2_bytes = 0;
  size_t shared_bytes_max = 0;      // of shared memory that a block can ask for
  std::string driver_version = {};  // "13.0", as far as the driver goes
  std::string runtime_version = {};
  std::string matrix_library = {};  // "cuBLASLt 13.0.2"; empty: our own kernels alone
  bool is_host = false;             // Its memory is the host's own.
  bool graphs = false;              // Work can be captured, and is faster then.
};

struct MemoryInfo {
  size_t free = 0;
  size_t total = 0;
};

// What a kernel reads and writes, for whoever checks the order of work. Ranges may repeat.
class AccessList {
 public:
  virtual ~AccessList() = default;
  virtual void Read(const void* data, size_t bytes) = 0;
  virtual void Write(void* data, size_t bytes) = 0;
};

// What launchers take (kernels/cuda/stream.h): cudaStream_t, named without CUDA's headers.
using NativeStream = CUstream_st*;

// A kernel's launcher with its arguments, and who says what it touches; both are copied when it is
// enqueued.
struct KernelCall {
  const char* name = nullptr;  // lives as long as the program
  const void* arguments = nullptr;
  size_t argument_bytes = 0;
  void (*run)(const void* arguments, NativeStream stream) = nullptr;
  // Called, if at all, before the kernel is enqueued: for a graph, whenever that is launched.
  const void* describer = nullptr;
  size_t describer_bytes = 0;
  void (*describe)(const void* describer, AccessList& accesses) = nullptr;
};

// Of one call; what CUDA guarantees for the parameters of a kernel.
inline constexpr size_t kKernelArgumentBytesMax = 4096;

// A mark in a stream's work.
class StreamEvent {
 public:
  virtual ~StreamEvent() = default;
  // Returns when the work before the last Record is done, with the first failure of that stream.
  virtual Status Synchronize() = 0;
  // Time between two marks that are done.
  virtual Result<Nanos> ElapsedSince(const StreamEvent& begin) const = 0;
};

// Work that was captured once to be enqueued again and again.
class Graph {
 public:
  virtual ~Graph() = default;
};

class Stream {
 public:
  virtual ~Stream() = default;

  // Between memory of the device and pinned memory, in any direction. Ranges do not overlap.
  virtual void Copy(void* target, const void* source, size_t bytes) = 0;
  virtual void Fill(void* target, uint8_t value, size_t bytes) = 0;

  // Calls body(native stream), now or later, to enqueue a kernel. describe(accesses) says what the
  // kernel touches; it is called only by devices that check. Both are copied: they hold numbers and
  // pointers only.
  template <typename Body, typename Describe>
  void Launch(const char* name, const Body& body, const Describe& describe) {
    static_assert(std::is_trivially_copyable_v<Body> && std::is_trivially_copyable_v<Describe>);
    static_assert(sizeof(Body) <= kKernelArgumentBytesMax);
    Enqueue({.name = name,
             .arguments = &body,
             .argument_bytes = sizeof(Body),
             .run = [](const void* arguments,
                       NativeStream stream) { (*static_cast<const Body*>(arguments))(stream); },
             .describer = &describe,
             .describer_bytes = sizeof(Describe),
             .describe =
                 [](const void* describer, AccessList& accesses) {
                   (*static_cast<const Describe*>(describer))(accesses);
                 }});
  }

  // Marks the work enqueued so far. An event can be recorded again: who waits waits for the last
  // mark at that time.
  virtual void Record(StreamEvent& event) = 0;
  // Work enqueued here from now on waits for the event's last mark. REQUIRES: it was recorded.
  virtual void Wait(const StreamEvent& event) = 0;

  // Only where DeviceProperties::graphs. Between the first two calls work is recorded instead of
  // done. REQUIRES: no Record, Wait or Synchronize in between.
  virtual void BeginCapture() { IC_CHECK(false); }
  virtual Result<std::unique_ptr<Graph>> EndCapture() {
    return Status(StatusCode::kDevice, "this device has no graphs");
  }
  // The graph lives until the work is done.
  virtual void Launch(const Graph&) { IC_CHECK(false); }

  // Returns when everything enqueued is done, with the first failure (kDevice).
  virtual Status Synchronize() = 0;

 protected:
  virtual void Enqueue(const KernelCall& call) = 0;
};

enum class StreamUse : uint8_t {
  kCompute,  // takes everything
  kCopy,     // takes no kernels and no graphs
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceProperties& properties() const = 0;
  // What can be allocated now, and what there is. kDevice.
  virtual Result<MemoryInfo> Memory() const = 0;
  // At least 256-byte aligned. kOutOfMemory, naming `purpose`, the bytes and what is free.
  virtual Result<Arena> Allocate(size_t bytes, std::string_view purpose) = 0;
  // Memory of the host that copies can use. kOutOfMemory.
  virtual Result<Arena> AllocatePinned(size_t bytes, std::string_view purpose) = 0;
  virtual Result<std::unique_ptr<Stream>> CreateStream(StreamUse use) = 0;
  virtual Result<std::unique_ptr<StreamEvent>> CreateEvent() = 0;
};

}  // namespace infercept
