#include "engine/runtime.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "engine/calibration.h"
#include "engine/machine_probe.h"
#include "engine/model_executor.h"

namespace infercept {
namespace {

uint32_t ThreadCount(uint32_t wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

constexpr uint64_t kRandomSeed = 1;  // any

Result<std::unique_ptr<Model>> LoadModel(ModelSpec spec, const RuntimeOptions& options,
                                         const Backend& backend, ThreadPool& pool,
                                         const ReportProgress& report) {
  ModelOptions model_options;
  model_options.ops = backend.ops;
  model_options.device = backend.device;
  model_options.stream = backend.stream;
  model_options.step_tokens_max = options.step_tokens;
  model_options.context_tokens_max = options.context_tokens;
  model_options.quantize = options.quantize;
  model_options.progress = [&report](uint64_t loaded, uint64_t total) {
    return report({LoadPhase::kWeights, static_cast<size_t>(loaded), static_cast<size_t>(total)});
  };
  if (!options.random_weights) return Model::Load(std::move(spec), model_options, pool);
  model_options.random_place = RandomPlace::kDevice;
  return Model::CreateRandom(spec.hyperparameters, *options.random_weights, kRandomSeed,
                             model_options, pool);
}

uint32_t BlocksIn(size_t bytes, size_t block_bytes) {
  return static_cast<uint32_t>(std::min<size_t>(bytes / block_bytes, UINT32_MAX - 1));
}

// Nine tenths of what is left: graphs and kernels are loaded when they are first used.
Result<size_t> KvBytesThatFit(const Device& device) {
  const Result<MemoryInfo> memory = device.Memory();
  if (!memory.ok()) return memory.status();
  return memory.value().free / 10 * 9;
}

Result<size_t> KvBytes(const Device& device, const RuntimeOptions& options) {
  if (options.kv_fills_device && !device.properties().is_host) return KvBytesThatFit(device);
  return options.kv_bytes;
}

Result<std::unique_ptr<KvStorage>> CreateStorage(const Model& model,
                                                 const RuntimeOptions& options) {
  Result<DType> dtype = KvType(options.kv_dtype);
  if (!dtype.ok()) return dtype.status();
  KvShape shape = model.kv_shape(options.block_tokens, dtype.value());
  shape.groups = model.layer_groups();
  if (shape.head_dim % BlockValues(shape.dtype) != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "kvCache.dtype '" + options.kv_dtype + "' needs heads of a multiple of " +
                      std::to_string(BlockValues(shape.dtype)) + " values; this model's have " +
                      std::to_string(shape.head_dim) + ". Use 'f16'.");
  }
  const Result<size_t> bytes = KvBytes(model.device(), options);
  if (!bytes.ok()) return bytes.status();
  const uint32_t device_blocks = BlocksIn(bytes.value(), shape.block_bytes());
  if (device_blocks < shape.groups.count) {
    return Status(StatusCode::kInvalidArgument,
                  "kvCache.bytes is " + std::to_string(bytes.value()) + ", less than " +
                      std::to_string(shape.groups.count * shape.block_bytes()) +
                      " for one block. Raise it or lower kvCache.blockTokens.");
  }
  return KvStorage::Create(shape, device_blocks, BlocksIn(options.host_bytes, shape.block_bytes()),
                           model.device());
}

// Steps on a device take milliseconds, but prefills that saturate it take many tokens, and kernels
// and graphs are loaded when they are first used.
constexpr Nanos kHostCalibration = kNanosPerSecond / 4;
constexpr Nanos kDeviceCalibration = kNanosPerSecond;

Result<CostModel> MeasureCost(Runtime& runtime) {
  Result<CopyEngine> copies = CopyEngine::Create(*runtime.storage, runtime.model->device());
  if (!copies.ok()) return copies.status();
  const CostProbe probe =
      MakeMachineProbe(*runtime.model, *runtime.storage, copies.value(), *runtime.pool);
  const bool on_host = runtime.model->device().properties().is_host;
  const Calibration calibration = Calibrate(probe, on_host ? kHostCalibration : kDeviceCalibration);
  CostModel cost(CostProfile{.query_tile = probe.query_tile,
                             .window_tokens = probe.window_tokens,
                             .full_share = probe.full_share});
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
  const LayerGroups& groups = runtime.storage->shape().groups;
  config.kv.groups = groups.count;
  config.kv.full_groups = groups.full;
  config.kv.window_tokens = groups.window_tokens;
  config.policy = options.policy;
  config.slo = options.slo;
  config.context_tokens_max = runtime.model->context_tokens_max();
  config.step_tokens_max = runtime.model->step_tokens_max();
  config.saturation_tokens = options.saturation_tokens;
  config.slices_max = runtime.backend.slices_max;
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
  info.block_groups = runtime.storage->shape().groups.count;
  info.device_blocks = runtime.storage->device_blocks();
  info.host_blocks = runtime.storage->host_blocks();
  info.bytes_per_token = runtime.storage->shape().token_bytes();
  info.weight_bytes = WeightBytes(runtime.model->spec());
  info.saturation_tokens =
      options.saturation_tokens != 0 ? options.saturation_tokens : cost.SaturationTokens();
  return info;
}

}  // namespace

Result<Runtime> LoadRuntime(ModelSpec spec, const RuntimeOptions& options, TokenTable table,
                            const ReportProgress& report) {
  Result<Backend> backend = OpenBackend(spec.hyperparameters, options);
  if (!backend.ok()) return backend.status();
  Runtime runtime;
  runtime.backend = std::move(backend).Take();
  runtime.sequences_max = options.sequences_max;
  runtime.pool = std::make_unique<ThreadPool>(
      ThreadCount(options.threads),
      options.pin_threads ? ThreadPlacement::kPinned : ThreadPlacement::kFree);

  Result<std::unique_ptr<Model>> model =
      LoadModel(std::move(spec), options, runtime.backend, *runtime.pool, report);
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
