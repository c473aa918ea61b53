// Everything one engine computes with, built once from a model and options. Owner and thread: the
// engine.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/kv_storage.h"
#include "engine/backend.h"
#include "engine/engine_info.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "model/model.h"
#include "model/model_spec.h"
#include "sched/scheduler.h"
#include "text/token_table.h"

namespace infercept {

// What a user may choose; TypeScript fills in every default.
struct RuntimeOptions {
  std::string device = "auto";  // "auto", "cpu", "cuda", "cuda:N"
  // A token's bits do not depend on what else is in its step, on any device.
  bool deterministic = false;
  size_t kv_bytes = 0;  // of the device tier; at least one block
  // Instead of kv_bytes what is left, where the device has memory of its own.
  bool kv_fills_device = false;
  std::string kv_dtype = "auto";  // "auto", "f32", "f16", "bf16", "q8_0"
  // Instead of files, for benchmarks: weights of this type that mean nothing, of the
  // specification's hyperparameters alone.
  std::optional<DType> random_weights = std::nullopt;
  // What matrices of floats are quantized to at load.
  std::optional<DType> quantize = std::nullopt;
  uint32_t block_tokens = 16;
  size_t host_bytes = 0;  // of the host tier; 0: none
  PolicyKind policy = PolicyKind::kAdaptive;
  SloWeights slo = {};
  uint32_t threads = 0;  // 0: one per core
  bool pin_threads = false;
  uint32_t context_tokens = 0;  // longest context of a sequence; 0: the model's
  uint32_t step_tokens = 512;
  uint32_t saturation_tokens = 0;  // 0: measured
  bool prefix_cache = true;
  uint32_t sequences_max = 1 << 16;
  std::vector<LearnedDurations> durations = {};  // what an earlier engine learnt
};

// Members are destroyed bottom up: what stands below uses what stands above.
struct Runtime {
  std::unique_ptr<ThreadPool> pool;
  Backend backend;
  std::unique_ptr<Model> model;
  std::unique_ptr<KvStorage> storage;
  std::unique_ptr<GenerationTable> generations;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Scheduler> scheduler;
  EngineInfo info;
  uint32_t sequences_max = 1 << 16;
};

// False cancels the load.
using ReportProgress = std::function<bool(const ProgressNotice& progress)>;

// Maps the weights, reserves both tiers, measures costs. kModelFormat, kModelUnsupported,
// kOutOfMemory, kDevice, kInvalidArgument, kAborted (cancelled).
Result<Runtime> LoadRuntime(ModelSpec spec, const RuntimeOptions& options, TokenTable table,
                            const ReportProgress& report);

}  // namespace infercept
