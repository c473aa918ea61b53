#include "engine/backend.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "device/cpu_device.h"
#include "device/cuda_device.h"
#include "engine/runtime.h"
#include "kernels/cuda/kernels.h"
#include "model/model.h"

namespace infercept {
namespace {

// Each slice may have a block table for the longest context: with contexts of 131,072 tokens 32 KB,
// three times in pinned memory. More sequences than this in one step gain nothing: reading the
// weights has long ceased to matter.
constexpr uint32_t kCudaSlicesMax = 1024;

// "cuda" or "cuda:N"; the user's spelling has been checked before.
uint32_t CudaIndex(const std::string& device) {
  uint32_t index = 0;
  const size_t colon = device.find(':');
  if (colon == std::string::npos) return index;
  const char* end = device.data() + device.size();
  const auto [read, error] = std::from_chars(device.data() + colon + 1, end, index);
  return error == std::errc() && read == end ? index : UINT32_MAX;
}

// INFERCEPT_ISA names the ops; else the best that run here.
Result<Backend> OpenCpu(const RuntimeOptions& options) {
  Backend backend;
  backend.slices_max = options.step_tokens;
  backend.device = &CpuDevice();
  backend.stream = &CpuStream();
  backend.ops = FindOps("");
  if (backend.ops != nullptr) return backend;
  return Status(StatusCode::kDevice,
                "INFERCEPT_ISA names an instruction set that this machine or build does not have.");
}

Result<Backend> OpenCuda(std::unique_ptr<Device> device, const Hyperparameters& h,
                         const RuntimeOptions& options) {
  Result<std::unique_ptr<Stream>> stream = device->CreateStream(StreamUse::kCompute);
  if (!stream.ok()) return stream.status();
  const CudaOpsLimits limits = CudaLimits(h, options);
  Result<std::unique_ptr<Ops>> ops = CreateCudaOps(*device, *stream.value(), limits);
  if (!ops.ok()) return ops.status();
  Backend backend;
  backend.own_device = std::move(device);
  backend.own_stream = std::move(stream).Take();
  backend.own_ops = std::move(ops).Take();
  backend.device = backend.own_device.get();
  backend.stream = backend.own_stream.get();
  backend.ops = backend.own_ops.get();
  backend.slices_max = limits.slices;
  return backend;
}

Status NotAvailable(const std::string& device, const std::string& reason) {
  return Status(StatusCode::kDevice, "Device '" + device + "' is not available: " + reason + ".");
}

bool HasKernels(uint32_t head_dim) {
  return std::ranges::find(cuda::kAttentionHeadDims, head_dim) !=
         std::end(cuda::kAttentionHeadDims);
}

}  // namespace

Result<DType> KvType(const std::string& name) {
  if (name == "auto" || name == "f16") return DType::kF16;
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  if (name == "q8_0") return DType::kQ8_0;
  if (name == "f8_e4m3") return DType::kF8_E4M3;
  return Status(StatusCode::kInvalidArgument, "Unknown kvCache.dtype '" + name + "'.");
}

std::string CudaLacks(const Hyperparameters& h, const RuntimeOptions& options) {
  const std::string cpu = "; use device: 'cpu'";
  const auto lacks = [](const std::string& what) { return "there is no CUDA kernel for " + what; };
  if (!HasKernels(h.head_dim)) return lacks("heads of " + std::to_string(h.head_dim)) + cpu;
  const uint32_t width_max = h.width % 4 == 0 ? cuda::kNormWidthMax : cuda::kNormWidthMax / 4;
  if (h.width > width_max) return lacks("a width of " + std::to_string(h.width)) + cpu;
  const Result<DType> dtype = KvType(options.kv_dtype);
  if (dtype.ok() && !cuda::AttentionHas(dtype.value())) {
    return lacks("kvCache.dtype '" + options.kv_dtype + "'; set it to 'f16' or 'bf16'");
  }
  if (options.block_tokens % 16 != 0) {
    return lacks("kvCache.blockTokens of " + std::to_string(options.block_tokens) +
                 "; set it to a multiple of 16");
  }
  return "";
}

CudaOpsLimits CudaLimits(const Hyperparameters& h, const RuntimeOptions& options) {
  const uint32_t context_tokens = ContextTokens(h, options.context_tokens);
  return {.rows = options.step_tokens,
          .slices = std::min(options.step_tokens, kCudaSlicesMax),
          .context_tokens = context_tokens,
          .block_tokens = options.block_tokens,
          .heads = h.heads,
          .kv_heads = h.kv_heads,
          .head_dim = h.head_dim,
          .groups = GroupLayers(h.windows, context_tokens).count,
          .deterministic = options.deterministic};
}

Result<Backend> OpenBackend(const Hyperparameters& h, const RuntimeOptions& options) {
  if (options.device == "cpu") return OpenCpu(options);
  const bool chosen = options.device != "auto";
  Result<std::unique_ptr<Device>> device = OpenCudaDevice(CudaIndex(options.device));
  if (!device.ok()) {
    return chosen ? NotAvailable(options.device, device.status().message()) : OpenCpu(options);
  }
  const std::string lack = CudaLacks(h, options);
  if (!lack.empty()) return chosen ? NotAvailable(options.device, lack) : OpenCpu(options);
  return OpenCuda(std::move(device).Take(), h, options);
}

}  // namespace infercept
