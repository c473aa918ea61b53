// What a device's memory and link can do, and what it takes to enqueue work: the figures that copy
// budgets and the roofline of kernels are shares of. Everything goes through the seam
// (device/device.h), so that the CPU can be asked as well.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "device/cpu_device.h"
#include "device/cuda_device.h"
#include "harness.h"

namespace infercept::bench {
namespace {

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().DebugString());
  return std::move(result).Take();
}

void Check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.DebugString());
}

// Sizes of a copy: KV blocks of a small and of a large model, and what saturates any link.
constexpr size_t kCopyBytes[] = {size_t{128} << 10, size_t{2} << 20, size_t{64} << 20};
// Copies enqueued before anybody waits: a swap moves many blocks.
constexpr size_t kBatchBytes = size_t{256} << 20;
constexpr uint32_t kLaunches = 1000;

// Two regions on the device and two of pinned memory; streams for both directions.
struct Bench {
  explicit Bench(Device& on)
      : device(on),
        memory(Take(on.Allocate(2 * kBatchBytes, "a benchmark"))),
        pinned(Take(on.AllocatePinned(2 * kBatchBytes, "a benchmark"))),
        compute(Take(on.CreateStream(StreamUse::kCompute))),
        out(Take(on.CreateStream(StreamUse::kCopy))),
        in(Take(on.CreateStream(StreamUse::kCopy))) {
    compute->Fill(memory.data(), 1, memory.size());
    for (size_t i = 0; i < pinned.size(); i += 4096) pinned.data()[i] = std::byte{1};
    Check(compute->Synchronize());
  }

  void CopyOut(size_t bytes) const {
    for (size_t at = 0; at + bytes <= kBatchBytes; at += bytes)
      out->Copy(pinned.data() + at, memory.data() + at, bytes);
  }
  void CopyIn(size_t bytes) const {
    for (size_t at = kBatchBytes; at + bytes <= 2 * kBatchBytes; at += bytes)
      in->Copy(memory.data() + at, pinned.data() + at, bytes);
  }

  Device& device;
  Arena memory;
  Arena pinned;
  std::unique_ptr<Stream> compute;
  std::unique_ptr<Stream> out;
  std::unique_ptr<Stream> in;
};

double GigabytesPerSecond(size_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds / 1e9;
}

std::string Number(const char* name, double value) {
  char text[96];
  std::snprintf(text, sizeof(text), "\"%s\":%.3f", name, value);
  return text;
}

// Both directions alone and together, in GB/s of each.
std::string Links(const Bench& bench, uint32_t samples) {
  std::string json;
  for (const size_t bytes : kCopyBytes) {
    const auto rate = [&](const auto& copy) {
      return GigabytesPerSecond(kBatchBytes, MedianSeconds(samples, [&] {
                                  copy();
                                  Check(bench.out->Synchronize());
                                  Check(bench.in->Synchronize());
                                }));
    };
    const double out = rate([&] { bench.CopyOut(bytes); });
    const double in = rate([&] { bench.CopyIn(bytes); });
    const double both = rate([&] {
      bench.CopyOut(bytes);
      bench.CopyIn(bytes);
    });
    std::printf("copies of %6zu KiB: out %6.1f GB/s, in %6.1f GB/s, both at once %6.1f GB/s each\n",
                bytes >> 10, out, in, both);
    if (!json.empty()) json += ",";
    json += "{" + Number("kilobytes", static_cast<double>(bytes >> 10)) + "," +
            Number("outGigabytesPerSecond", out) + "," + Number("inGigabytesPerSecond", in) + "," +
            Number("bothGigabytesPerSecondEach", both) + "}";
  }
  return "[" + json + "]";
}

// Of the device's own memory: bytes read and written.
std::string Memory(const Bench& bench, uint32_t samples) {
  const auto seconds = [&](const auto& work) {
    return MedianSeconds(samples, [&] {
      work();
      Check(bench.compute->Synchronize());
    });
  };
  const double copy = seconds([&] {
    bench.compute->Copy(bench.memory.data(), bench.memory.data() + kBatchBytes, kBatchBytes);
  });
  const double fill = seconds([&] { bench.compute->Fill(bench.memory.data(), 3, kBatchBytes); });
  const double copy_rate = GigabytesPerSecond(2 * kBatchBytes, copy);
  const double fill_rate = GigabytesPerSecond(kBatchBytes, fill);
  std::printf("memory: copies %.0f GB/s (read and written), fills %.0f GB/s\n", copy_rate,
              fill_rate);
  return "{" + Number("copyGigabytesPerSecond", copy_rate) + "," +
         Number("fillGigabytesPerSecond", fill_rate) + "}";
}

// What the host takes to enqueue a small piece of work, alone and in a graph, per piece.
std::string Launches(const Bench& bench, uint32_t samples) {
  const auto fills = [&] {
    for (uint32_t i = 0; i < kLaunches; ++i) bench.compute->Fill(bench.memory.data(), 5, 256);
  };
  const double enqueued = MedianSeconds(samples, [&] {
    fills();
    Check(bench.compute->Synchronize());
  });
  std::string json = "{" + Number("microsecondsEach", enqueued / kLaunches * 1e6);
  std::printf("%u fills of 256 bytes: %.2f us each", kLaunches, enqueued / kLaunches * 1e6);
  if (bench.device.properties().graphs) {
    bench.compute->BeginCapture();
    fills();
    const std::unique_ptr<Graph> graph = Take(bench.compute->EndCapture());
    const double graphed = MedianSeconds(samples, [&] {
      bench.compute->Launch(*graph);
      Check(bench.compute->Synchronize());
    });
    std::printf(", %.2f us in a graph", graphed / kLaunches * 1e6);
    json += "," + Number("microsecondsEachInGraph", graphed / kLaunches * 1e6);
  }
  std::printf("\n");
  return json + "}";
}

}  // namespace

std::string RunDevice(const Options& options) {
  std::unique_ptr<Device> cuda;
  if (options.device != "cpu") cuda = Take(OpenCudaDevice(0));
  Device& device = cuda ? *cuda : CpuDevice();
  const DeviceProperties& found = device.properties();
  const std::string name = found.name.empty() ? MachineHeader(1) : found.name;
  const MemoryInfo memory = Take(device.Memory());
  std::printf("%s: %s, compute capability %u.%u, %u multiprocessors, %zu of %zu MiB free\n",
              found.id.c_str(), name.c_str(), found.compute_major, found.compute_minor,
              found.multiprocessors, memory.free >> 20, memory.total >> 20);
  const Bench bench(device);
  const uint32_t samples = options.quick ? 3 : 20;
  const std::string links = Links(bench, samples);
  const std::string own = Memory(bench, samples);
  const std::string launches = Launches(bench, samples);
  return "{\"device\":\"" + found.id + "\",\"name\":\"" + name + "\",\"driver\":\"" +
         found.driver_version + "\",\"matrixLibrary\":\"" + found.matrix_library +
         "\",\"links\":" + links + ",\"memory\":" + own + ",\"launches\":" + launches + "}";
}

}  // namespace infercept::bench
