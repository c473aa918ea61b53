#include "scenario.h"

#include <algorithm>

#include "saved_profile.h"
#include "sessions.h"
#include "shapes.h"

namespace infercept::bench {
namespace {

// The paper's tokens by an eighth, so that a prompt is a few steps' work, and its durations by a
// fiftieth, so that sessions end within a run. Some ten contexts fit, and as many on the host.
Scenario OnProcessor() {
  return {
      .shape = "tiny",
      .weights = DType::kQ8_0,
      .device_tokens = 1024,
      .host_tokens = 1024,
      .step_tokens = 512,
      .mix = {.seconds = 4, .context_tokens_max = 250, .time_scale = 0.02, .token_scale = 0.125},
      .loads = {0.1, 0.35, 0.7, 1.1}};
}

// Some thirty contexts of half the paper's tokens; prompts are one step's work.
Scenario OnDevice() {
  return {.shape = "gpt-j-6b",
          .weights = DType::kBF16,
          .device_tokens = 16384,
          .host_tokens = 16384,
          .step_tokens = 2048,
          .mix = {.seconds = 8, .context_tokens_max = 1000, .time_scale = 0.02, .token_scale = 0.5},
          .loads = {0.1, 0.35, 0.7, 1.1}};
}

// F16 keys and values.
size_t TokenBytes(const Hyperparameters& h) {
  return size_t{2} * sizeof(uint16_t) * h.layers * h.kv_heads * h.head_dim;
}

// One thread is left to what the benchmark does, and to copies of the processor.
uint32_t Threads(const Options& options) {
  return options.device == "cpu" ? std::max(1u, options.threads - 1) : options.threads;
}

}  // namespace

Scenario ScenarioFor(const Options& options) {
  Scenario scenario = options.device == "cpu" ? OnProcessor() : OnDevice();
  if (!options.shape.empty()) scenario.shape = options.shape;
  if (!options.type.empty()) scenario.weights = TypeNamed(options.type);
  if (options.seconds > 0) scenario.mix.seconds = options.seconds;
  if (options.quick) scenario.loads = {1.1};
  return scenario;
}

std::vector<SimSession> Arrivals(const Scenario& scenario, double rate) {
  MixOptions mix = scenario.mix;
  mix.rate = rate;
  return MakeSessions(mix);
}

RuntimeOptions EngineOptions(const Scenario& scenario, PolicyKind policy, const Options& options) {
  const size_t token_bytes = TokenBytes(ShapeNamed(scenario.shape));
  RuntimeOptions engine;
  engine.device = options.device;
  engine.kv_bytes = scenario.device_tokens * token_bytes;
  engine.random_weights = scenario.weights;
  engine.block_tokens = kBlockTokens;
  engine.host_bytes = scenario.host_tokens * token_bytes;
  engine.policy = policy;
  engine.threads = Threads(options);
  engine.step_tokens = scenario.step_tokens;
  engine.prefix_cache = false;  // what is discarded is gone, as in the paper
  return engine;
}

}  // namespace infercept::bench
