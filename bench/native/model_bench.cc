// The whole forward pass of a model with random weights, by default a Llama of 1.1 B on the CPU and
// Llama3-8B on a CUDA device: prefill, and decode of several sequences, beside what the bandwidth
// of memory allows (every decode step reads all weights once).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <numeric>

#include "engine/backend.h"
#include "engine/runtime.h"
#include "harness.h"
#include "limits.h"
#include "model/model.h"
#include "shapes.h"
#include "timed_ops.h"

namespace infercept::bench {
namespace {

constexpr uint32_t kStepTokensMax = 2048;
constexpr uint32_t kContextTokens = 128;  // of each decoding sequence
constexpr uint32_t kBlockTokens = 16;

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().DebugString());
  return std::move(result).Take();
}

struct Item {
  const char* name;
  uint32_t sequences;
  uint32_t first_position;
  uint32_t tokens;  // of each sequence
};

constexpr Item kItems[] = {{"prefill", 1, 0, 256},
                           {"decode 1", 1, kContextTokens, 1},
                           {"decode 8", 8, kContextTokens, 1},
                           {"decode 16", 16, kContextTokens, 1}};
constexpr Item kDeviceItems[] = {{"prefill 512", 1, 0, 512},
                                 {"prefill 2048", 1, 0, 2048},
                                 {"decode 1", 1, kContextTokens, 1},
                                 {"decode 16", 16, kContextTokens, 1},
                                 {"decode 64", 64, kContextTokens, 1}};

// Of each sequence.
uint32_t BlocksOf(const Item& item) {
  return DivCeil(item.first_position + item.tokens, kBlockTokens);
}

// One step: every sequence gets its tokens, and logits of its last one.
class Step {
 public:
  explicit Step(const Item& item) {
    const uint32_t blocks = BlocksOf(item);
    for (uint32_t i = 0; i < item.sequences * blocks; ++i) blocks_.push_back(BlockId{i});
    for (uint32_t s = 0; s < item.sequences; ++s) {
      slices_.push_back(
          {s * item.tokens, item.tokens, item.first_position, blocks_.data() + s * blocks});
      for (uint32_t i = 0; i < item.tokens; ++i) {
        tokens_.push_back(static_cast<TokenId>(tokens_.size() % 1000));
        positions_.push_back(item.first_position + i);
      }
      logit_rows_.push_back((s + 1) * item.tokens - 1);
    }
  }
  ForwardInput input() const { return {tokens_, positions_, slices_, logit_rows_}; }
  uint32_t tokens() const { return static_cast<uint32_t>(tokens_.size()); }
  uint32_t logit_rows() const { return static_cast<uint32_t>(logit_rows_.size()); }

 private:
  std::vector<BlockId> blocks_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> positions_;
  std::vector<AttentionSlice> slices_;
  std::vector<uint32_t> logit_rows_;
};

// Microseconds of one step, per op on the calling thread: of each the least of all samples, because
// other work of the machine only ever adds. "between" is what no op accounts for.
class Breakdown {
 public:
  explicit Breakdown(TimedOps& ops) : ops_(ops) { least_.fill(1e9); }

  template <typename Body>
  void Sample(const Body& body) {
    ops_.Reset();
    const auto begin = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    double between = elapsed.count();
    for (size_t i = 0; i < TimedOps::kOps; ++i) {
      const double seconds = ops_.Seconds(static_cast<TimedOps::Op>(i));
      least_[i] = std::min(least_[i], seconds);
      between -= seconds;
    }
    least_.back() = std::min(least_.back(), between);
  }

  void Print(const char* name) const {
    std::printf("%-12s", name);
    for (const double seconds : least_) std::printf(" %9.0f", seconds * 1e6);
    std::printf("\n");
  }

  static void PrintHeader() {
    std::printf("%-12s", "us");
    for (const std::string_view name : TimedOps::kNames) {
      std::printf(" %9s", std::string(name).c_str());
    }
    std::printf(" %9s\n", "between");
  }

 private:
  TimedOps& ops_;
  std::array<double, TimedOps::kOps + 1> least_;
};

// Prints a row of the table and returns it as JSON.
std::string Row(const char* name, double tokens_per_second, double processor_ms,
                double gigabytes_per_second) {
  std::printf("%-12s %12.1f %20.2f %12.1f\n", name, tokens_per_second, processor_ms,
              gigabytes_per_second);
  char text[160];
  std::snprintf(
      text, sizeof(text),
      R"("%s":{"tokensPerSecond":%.2f,"processorMs":%.3f,"weightGigabytesPerSecond":%.1f})", name,
      tokens_per_second, processor_ms, gigabytes_per_second);
  return text;
}

double ProcessorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

std::string RunModel(const Options& options) {
  const bool on_host = options.device == "cpu";
  const char* own_shape = on_host ? "1b" : "llama3-8b";
  const Hyperparameters h = ShapeNamed(options.shape.empty() ? own_shape : options.shape);
  const std::span<const Item> items = on_host ? std::span<const Item>(kItems) : kDeviceItems;
  const DType dtype = TypeNamed(options.type.empty() ? "q8_0" : options.type);
  ThreadPool pool(options.threads);
  Backend backend = Take(OpenBackend(h, {.device = options.device, .step_tokens = kStepTokensMax}));
  if (on_host) backend.ops = FindOps(options.isa);
  if (backend.ops == nullptr) throw std::runtime_error("this machine does not run " + options.isa);
  std::printf("%s, %s %s\n", MachineHeader(options.threads).c_str(),
              backend.device->properties().name.c_str(), std::string(backend.ops->isa()).c_str());
  TimedOps timed(*backend.ops);
  const auto model = Take(Model::CreateRandom(h, dtype, 1,
                                              {.ops = &timed,
                                               .device = backend.device,
                                               .stream = backend.stream,
                                               .step_tokens_max = kStepTokensMax,
                                               .random_place = RandomPlace::kDevice,
                                               .progress = {}},
                                              pool));
  uint32_t blocks = 0;
  for (const Item& item : items) blocks = std::max(blocks, item.sequences * BlocksOf(item));
  const auto storage = Take(
      KvStorage::Create(model->kv_shape(kBlockTokens, DType::kF16), blocks, 0, *backend.device));
  std::printf("%-12s %12s %20s %12s\n", std::string(DTypeName(dtype)).c_str(), "tokens/s",
              "processor ms/token", "weights GB/s");
  const double weight_bytes = static_cast<double>(RowBytes(dtype, StepWeights(h)));
  std::string figures;
  std::vector<Breakdown> breakdowns(items.size(), Breakdown(timed));
  for (const Item& item : items) {
    const Step step(item);
    const uint32_t samples = options.quick ? 5 : 20;
    const double processor_before = ProcessorSeconds();
    Breakdown& breakdown = breakdowns[static_cast<size_t>(&item - items.data())];
    const double seconds = MedianSeconds(samples, [&] {
      breakdown.Sample([&] {
        model->Forward(step.input(), *storage, pool);
        Keep(Take(model->Logits(0, step.logit_rows(), pool)));
      });
    });
    const double processor_ms =
        (ProcessorSeconds() - processor_before) * 1e3 / ((samples + 1) * step.tokens());
    figures += (figures.empty() ? "" : ",") +
               Row(item.name, step.tokens() / seconds, processor_ms, weight_bytes / seconds / 1e9);
  }
  // Of a device the time to enqueue: "between" waits for it, and graphs enqueue no op.
  Breakdown::PrintHeader();
  for (size_t i = 0; i < items.size(); ++i) breakdowns[i].Print(items[i].name);
  return "{" + figures + "}";
}

}  // namespace infercept::bench
