#include "engine/runtime.h"

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "device/cuda_device.h"
#include "engine/calibration.h"
#include "engine/machine_probe.h"
#include "engine/model_executor.h"
#include "kernels/ops.h"

namespace infercept {
namespace {

Result<DType> KvType(const std::string& name) {
  if (name == "auto" || name == "f16") return DType::kF16;
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  if (name == "q8_0") return DType::kQ8_0;
  return Status(StatusCode::kInvalidArgument, "Unknown kvCache.dtype '" + name + "'.");
}

// "cuda" or "cuda:N"; the user's spelling has been checked before.
uint32_t CudaIndex(const std::string& device) {
  uint32_t index = 0;
  const size_t colon = device.find(':');
  if (colon == std::string::npos) return index;
  const char* end = device.data() + device.size();
  const auto [read, error] = std::from_chars(device.data() + colon + 1, end, index);
  return error == std::errc() && read == end ? index : UINT32_MAX;
}

// "auto" is the CPU: there are kernels of single ops for CUDA, and not yet of a whole model.
Status CheckDevice(const std::string& device) {
  if (device == "auto" || device == "cpu") return Status();
  const Result<std::unique_ptr<Device>> found = OpenCudaDevice(CudaIndex(device));
  const std::string reason =
      found.ok() ? found.value()->properties().id + " (" + found.value()->properties().name +
                       ") is there, but this version cannot run whole models on it; use device: "
                       "'auto' or 'cpu'"
                 : found.status().message();
  return Status(StatusCode::kDevice, "Device '" + device + "' is not available: " + reason + ".");
}

// INFERCEPT_ISA names one; else the best that runs here.
Result<const Ops*> SelectOps() {
  const Ops* ops = FindOps("");
  if (ops != nullptr) return ops;
  return Status(StatusCode::kDevice,
                "INFERCEPT_ISA names an instruction set that this machine or build does not have.");
}

uint32_t ThreadCount(uint32_t wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

Result<std::unique_ptr<Model>> LoadModel(ModelSpec spec, const RuntimeOptions& options,
                                         ThreadPool& pool, const ReportProgress& report) {
  Result<const Ops*> ops = SelectOps();
  if (!ops.ok()) return ops.status();
  ModelOptions model_options;
  model_options.ops = ops.value();
  model_options.step_tokens_max = options.step_tokens;
  model_options.context_tokens_max = options.context_tokens;
  model_options.quantize = options.quantize;
  model_options.progress = [&report](uint64_t loaded, uint64_t total) {
    return report({LoadPhase::kWeights, static_cast<size_t>(loaded), static_cast<size_t>(total)});
  };
  return Model::Load(std::move(spec), model_options, pool);
}

uint32_t BlocksIn(size_t bytes, size_t block_bytes) {
  return static_cast<uint32_t>(std::min<size_t>(bytes / block_bytes, UINT32_MAX - 1));
}

Result<std::unique_ptr<KvStorage>> CreateStorage(const Model& model,
                                                 const RuntimeOptions& options) {
  Result<DType> dtype = KvType(options.kv_dtype);
  if (!dtype.ok()) return dtype.status();
  const KvShape shape = model.kv_shape(options.block_tokens, dtype.value());
  if (shape.head_dim % BlockValues(shape.dtype) != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "kvCache.dtype '" + options.kv_dtype + "' needs heads of a multiple of " +
                      std::to_string(BlockValues(shape.dtype)) + " values; this model's have " +
                      std::to_string(shape.head_dim) + ". Use 'f16'.");
  }
  const uint32_t device_blocks = BlocksIn(options.kv_bytes, shape.block_bytes());
  if (device_blocks == 0) {
    return Status(StatusCode::kInvalidArgument,
                  "kvCache.bytes is " + std::to_string(options.kv_bytes) +
                      ", less than one block of " + std::to_string(shape.block_bytes()) +
                      " bytes. Raise it or lower kvCache.blockTokens.");
  }
  return KvStorage::Create(shape, device_blocks, BlocksIn(options.host_bytes, shape.block_bytes()));
}

Result<CostModel> MeasureCost(Runtime& runtime) {
  Result<CopyEngine> copies = CopyEngine::Create(*runtime.storage, runtime.model->device());
  if (!copies.ok()) return copies.status();
  const Calibration calibration =
      Calibrate(MakeMachineProbe(*runtime.model, *runtime.storage, copies.value(), *runtime.pool));
  CostModel cost;
  cost.Calibrate(calibration.forward, calibration.swap_out, calibration.swap_in);
  return cost;
}

SchedulerConfig MakeSchedulerConfig(const Runtime& runtime, const RuntimeOptions& options) {
  SchedulerConfig config;
  config.kv.device_blocks = runtime.storage->device_blocks();
  config.kv.host_blocks = runtime.storage->host_blocks();
  config.kv.block_tokens = options.block_tokens;
  config.kv.block_bytes = runtime.storage->shape().block_bytes();
  config.kv.prefix_cache = options.prefix_cache;
  config.policy = options.policy;
  config.slo = options.slo;
  config.context_tokens_max = runtime.model->context_tokens_max();
  config.step_tokens_max = runtime.model->step_tokens_max();
  config.saturation_tokens = options.saturation_tokens;
  config.slices_max = config.step_tokens_max;
  return config;
}

size_t WeightBytes(const ModelSpec& spec) {
  size_t bytes = 0;
  for (const TensorSpec& tensor : spec.tensors) bytes += tensor.byte_length;
  return bytes;
}

EngineInfo MakeInfo(const Runtime& runtime, const CostModel& cost, const RuntimeOptions& options) {
  EngineInfo info;
  info.device = runtime.model->device().properties().id;
  info.isa = std::string(runtime.model->ops().isa());
  info.threads = runtime.pool->threads();
  info.context_tokens = runtime.scheduler->context_tokens_max();
  info.block_tokens = options.block_tokens;
  info.device_blocks = runtime.storage->device_blocks();
  info.host_blocks = runtime.storage->host_blocks();
  info.bytes_per_token = runtime.storage->shape().block_bytes() / options.block_tokens;
  info.weight_bytes = WeightBytes(runtime.model->spec());
  info.saturation_tokens =
      options.saturation_tokens != 0 ? options.saturation_tokens : cost.SaturationTokens();
  return info;
}

}  // namespace

Result<Runtime> LoadRuntime(ModelSpec spec, const RuntimeOptions& options, TokenTable table,
                            const ReportProgress& report) {
  if (Status status = CheckDevice(options.device); !status.ok()) return status;
  Runtime runtime;
  runtime.sequences_max = options.sequences_max;
  runtime.pool = std::make_unique<ThreadPool>(
      ThreadCount(options.threads),
      options.pin_threads ? ThreadPlacement::kPinned : ThreadPlacement::kFree);

  Result<std::unique_ptr<Model>> model = LoadModel(std::move(spec), options, *runtime.pool, report);
  if (!model.ok()) return model.status();
  runtime.model = std::move(model).Take();

  Result<std::unique_ptr<KvStorage>> storage = CreateStorage(*runtime.model, options);
  if (!storage.ok()) return storage.status();
  runtime.storage = std::move(storage).Take();

  const size_t bytes = WeightBytes(runtime.model->spec());
  if (!report({LoadPhase::kCalibrate, bytes, bytes})) {
    return Status(StatusCode::kAborted, "The load was cancelled.");
  }
  const Result<CostModel> measured = MeasureCost(runtime);
  if (!measured.ok()) return measured.status();
  const CostModel& cost = measured.value();
  runtime.scheduler = std::make_unique<Scheduler>(MakeSchedulerConfig(runtime, options), cost);
  runtime.scheduler->ImportDurations(options.durations);
  runtime.generations = std::make_unique<GenerationTable>(
      std::move(table), runtime.model->hyperparameters().vocabulary_size,
      runtime.scheduler->context_tokens_max());
  Result<std::unique_ptr<ModelExecutor>> executor =
      ModelExecutor::Create(*runtime.model, *runtime.storage, *runtime.generations, *runtime.pool);
  if (!executor.ok()) return executor.status();
  runtime.executor = std::move(executor).Take();
  runtime.info = MakeInfo(runtime, cost, options);
  return runtime;
}

}  // namespace infercept
