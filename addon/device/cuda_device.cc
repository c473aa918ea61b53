// Device over the CUDA runtime, which is linked statically: it looks for the driver when it is
// first asked for something, so that an addon with CUDA in it loads where there is none.
#include "device/cuda_device.h"

#include <cuda_runtime_api.h>

#include <cmath>
#include <string>
#include <utility>

#include "kernels/cuda/cublaslt.h"

namespace infercept {
namespace {

// The least that kernels are built for: asynchronous copies to shared memory, BF16 matrix units.
constexpr int kComputeMajorMin = 8;

Status Failure(cudaError_t error, const std::string& what) {
  const StatusCode code =
      error == cudaErrorMemoryAllocation ? StatusCode::kOutOfMemory : StatusCode::kDevice;
  return Status(code, what + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
                          ", " + std::to_string(static_cast<int>(error)) + ")");
}

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// What users can do when the runtime finds no device.
std::string Remedy(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:
      return "install an NVIDIA driver for CUDA " + VersionText(CUDART_VERSION) +
             " or newer, or use device: 'cpu'";
    case cudaErrorNoDevice:
      return "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use device: 'cpu'";
    default:
      return "check nvidia-smi, or use device: 'cpu'";
  }
}

// Whatever thread calls, this is the device it works with from now on. Engines have threads of
// their own: nobody else's choice is lost.
cudaError_t Use(int index) { return cudaSetDevice(index); }

class CudaEvent final : public StreamEvent {
 public:
  explicit CudaEvent(cudaEvent_t event) : event_(event) {}
  ~CudaEvent() override { cudaEventDestroy(event_); }

  Status Synchronize() override {
    if (!failure_.ok()) return failure_;
    const cudaError_t error = cudaEventSynchronize(event_);
    return error == cudaSuccess ? Status() : Failure(error, "waiting for an event");
  }
  Result<Nanos> ElapsedSince(const StreamEvent& begin) const override {
    float milliseconds = 0;
    const cudaError_t error =
        cudaEventElapsedTime(&milliseconds, static_cast<const CudaEvent&>(begin).event_, event_);
    if (error != cudaSuccess) return Failure(error, "reading the time between two events");
    return static_cast<Nanos>(std::llround(double{milliseconds} * 1e6));
  }

  cudaEvent_t handle() const { return event_; }
  // The stream failed before it could record this.
  void Fail(const Status& failure) { failure_ = failure; }

 private:
  const cudaEvent_t event_;
  Status failure_;
};

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(cudaGraphExec_t graph) : graph_(graph) {}
  ~CudaGraph() override { cudaGraphExecDestroy(graph_); }
  cudaGraphExec_t handle() const { return graph_; }

 private:
  const cudaGraphExec_t graph_;
};

class CudaStream final : public Stream {
 public:
  CudaStream(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
  ~CudaStream() override {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }

  void Copy(void* target, const void* source, size_t bytes) override {
    if (bytes == 0 || !status_.ok()) return;
    Keep(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, stream_), "a copy");
  }

  void Fill(void* target, uint8_t value, size_t bytes) override {
    if (bytes == 0 || !status_.ok()) return;
    Keep(cudaMemsetAsync(target, value, bytes, stream_), "a fill");
  }

  void Record(StreamEvent& event) override {
    auto& mark = static_cast<CudaEvent&>(event);
    if (status_.ok()) Keep(cudaEventRecord(mark.handle(), stream_), "recording an event");
    if (!status_.ok()) mark.Fail(status_);
  }

  void Wait(const StreamEvent& event) override {
    if (!status_.ok()) return;
    Keep(cudaStreamWaitEvent(stream_, static_cast<const CudaEvent&>(event).handle(), 0),
         "waiting for an event");
  }

  void BeginCapture() override {
    if (!status_.ok()) return;
    Keep(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning a capture");
  }

  Result<std::unique_ptr<Graph>> EndCapture() override {
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
    if (!status_.ok()) return status_;
    if (ended != cudaSuccess) return Failure(ended, "ending a capture");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    if (made != cudaSuccess) return Failure(made, "making a graph");
    return std::unique_ptr<Graph>(new CudaGraph(executable));
  }

  void Launch(const Graph& graph) override {
    if (!status_.ok()) return;
    Keep(cudaGraphLaunch(static_cast<const CudaGraph&>(graph).handle(), stream_),
         "launching a graph");
  }

  Status Synchronize() override {
    if (!status_.ok()) return status_;
    Keep(cudaStreamSynchronize(stream_), "work on the device");
    return status_;
  }

 protected:
  void Enqueue(const KernelCall& call) override {
    if (!status_.ok()) return;
    Keep(Use(device_), call.name);
    if (!status_.ok()) return;
    call.run(call.arguments, stream_);
    Keep(cudaGetLastError(), call.name);
  }

 private:
  void Keep(cudaError_t error, const char* what) {
    if (error != cudaSuccess) status_ = Failure(error, what);
  }

  const int device_;
  const cudaStream_t stream_;
  Status status_;  // The first failure.
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, DeviceProperties properties)
      : index_(index), properties_(std::move(properties)) {}

  const DeviceProperties& properties() const override { return properties_; }

  Result<MemoryInfo> Memory() const override {
    MemoryInfo info;
    cudaError_t error = Use(index_);
    if (error == cudaSuccess) error = cudaMemGetInfo(&info.free, &info.total);
    if (error != cudaSuccess) return Failure(error, "asking " + properties_.id + " for its memory");
    return info;
  }

  Result<Arena> Allocate(size_t bytes, std::string_view purpose) override {
    if (bytes == 0) return Arena();
    void* data = nullptr;
    cudaError_t error = Use(index_);
    if (error == cudaSuccess) error = cudaMalloc(&data, bytes);
    if (error != cudaSuccess) return Refusal(error, bytes, purpose);
    return Arena(static_cast<std::byte*>(data), bytes, FreeDevice, nullptr);
  }

  Result<Arena> AllocatePinned(size_t bytes, std::string_view purpose) override {
    if (bytes == 0) return Arena();
    void* data = nullptr;
    cudaError_t error = Use(index_);
    if (error == cudaSuccess) error = cudaHostAlloc(&data, bytes, cudaHostAllocDefault);
    if (error != cudaSuccess) {
      cudaGetLastError();  // Or the next launch would be blamed.
      return Failure(error, "cannot pin " + std::to_string(bytes) + " bytes of host memory for " +
                                std::string(purpose));
    }
    return Arena(static_cast<std::byte*>(data), bytes, FreePinned, nullptr);
  }

  Result<std::unique_ptr<Stream>> CreateStream(StreamUse) override {
    cudaStream_t stream = nullptr;
    cudaError_t error = Use(index_);
    // Non-blocking: the default stream, which other libraries use, orders nothing here.
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (error != cudaSuccess) return Failure(error, "making a stream on " + properties_.id);
    return std::unique_ptr<Stream>(new CudaStream(index_, stream));
  }

  Result<std::unique_ptr<StreamEvent>> CreateEvent() override {
    cudaEvent_t event = nullptr;
    cudaError_t error = Use(index_);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&event, cudaEventDefault);
    if (error != cudaSuccess) return Failure(error, "making an event on " + properties_.id);
    return std::unique_ptr<StreamEvent>(new CudaEvent(event));
  }

 private:
  static void FreeDevice(void*, std::byte* data, size_t) { cudaFree(data); }
  static void FreePinned(void*, std::byte* data, size_t) { cudaFreeHost(data); }

  Status Refusal(cudaError_t error, size_t bytes, std::string_view purpose) const {
    cudaGetLastError();  // Or the next launch would be blamed.
    const Result<MemoryInfo> memory = Memory();
    const std::string free = memory.ok()
                                 ? ", of whose " + std::to_string(memory.value().total) +
                                       " bytes " + std::to_string(memory.value().free) + " are free"
                                 : "";
    return Failure(error, "cannot allocate " + std::to_string(bytes) + " bytes for " +
                              std::string(purpose) + " on " + properties_.id + free);
  }

  const int index_;
  const DeviceProperties properties_;
};

Result<DeviceProperties> ReadProperties(int index) {
  cudaDeviceProp found{};
  const cudaError_t error = cudaGetDeviceProperties(&found, index);
  if (error != cudaSuccess) return Failure(error, "asking for the properties of a device");
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::optional<cuda::CublasLtFunctions> library = cuda::FindCublasLt();
  return DeviceProperties{
      .id = "cuda:" + std::to_string(index),
      .name = found.name,
      .compute_major = static_cast<uint32_t>(found.major),
      .compute_minor = static_cast<uint32_t>(found.minor),
      .multiprocessors = static_cast<uint32_t>(found.multiProcessorCount),
      .l2_bytes = static_cast<size_t>(found.l2CacheSize),
      .shared_bytes_max = found.sharedMemPerBlockOptin,
      .driver_version = VersionText(driver),
      .runtime_version = VersionText(runtime),
      .matrix_library = library ? cuda::DescribeCublasLt(*library) : "",
      .graphs = true,
  };
}

}  // namespace

Result<uint32_t> CountCudaDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    return Status(StatusCode::kDevice,
                  Failure(error, "no CUDA device was found").message() + "; " + Remedy(error));
  }
  return static_cast<uint32_t>(count);
}

Result<std::unique_ptr<Device>> OpenCudaDevice(uint32_t index) {
  const Result<uint32_t> count = CountCudaDevices();
  if (!count.ok()) return count.status();
  if (index >= count.value()) {
    return Status(StatusCode::kDevice, "there is no cuda:" + std::to_string(index) + ": " +
                                           std::to_string(count.value()) +
                                           " CUDA devices are visible, counted from 0");
  }
  Result<DeviceProperties> properties = ReadProperties(static_cast<int>(index));
  if (!properties.ok()) return properties.status();
  if (properties.value().compute_major < kComputeMajorMin) {
    return Status(StatusCode::kDevice, properties.value().id + " (" + properties.value().name +
                                           ") has compute capability " +
                                           std::to_string(properties.value().compute_major) + "." +
                                           std::to_string(properties.value().compute_minor) +
                                           ", kernels need " + std::to_string(kComputeMajorMin) +
                                           ".0; use device: 'cpu'");
  }
  return std::unique_ptr<Device>(
      new CudaDevice(static_cast<int>(index), std::move(properties).Take()));
}

Result<std::unique_ptr<Ops>> CreateCudaOps(Device& device, Stream& stream,
                                           const CudaOpsLimits& limits) {
  Result<std::unique_ptr<CudaOps>> ops =
      CudaOps::Create(device, stream, limits, cuda::FindCublasLt());
  if (!ops.ok()) return ops.status();
  return std::unique_ptr<Ops>(std::move(ops).Take());
}

}  // namespace infercept
