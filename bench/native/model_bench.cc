// The whole forward pass of a 1.1 B Llama with random weights: prefill, and decode of 1, 8 and 16
// sequences, beside what the machine's read bandwidth allows (every decode step reads all weights
// once).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <numeric>

#include "harness.h"
#include "limits.h"
#include "model/model.h"
#include "timed_ops.h"

namespace infercept::bench {
namespace {

constexpr Hyperparameters kHyperparameters = {
    .layers = 22,
    .width = 2048,
    .heads = 32,
    .kv_heads = 4,
    .head_dim = 64,
    .ffn_width = 5632,
    .vocabulary_size = 32000,
    .context_tokens = 4096,
    .norm_epsilon = 1e-5f,
    .rope = {.dimension = 64, .base = 10000, .scaling = {}, .interleaved = true}};
constexpr uint32_t kPrefillTokens = 256;
constexpr uint32_t kContextTokens = 128;  // of each decoding sequence
constexpr uint32_t kSequencesMax = 16;
constexpr uint32_t kBlockTokens = 16;
constexpr uint32_t kSequenceBlocks = 32;  // 512 tokens

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

constexpr Item kItems[] = {{"prefill", 1, 0, kPrefillTokens},
                           {"decode 1", 1, kContextTokens, 1},
                           {"decode 8", 8, kContextTokens, 1},
                           {"decode 16", 16, kContextTokens, 1}};

// One step: every sequence gets its tokens, and logits of its last one.
class Step {
 public:
  explicit Step(const Item& item) {
    for (uint32_t s = 0; s < item.sequences; ++s) {
      for (uint32_t i = 0; i < kSequenceBlocks; ++i)
        blocks_.push_back(BlockId{s * kSequenceBlocks + i});
    }
    for (uint32_t s = 0; s < item.sequences; ++s) {
      slices_.push_back({s * item.tokens, item.tokens, item.first_position,
                         blocks_.data() + s * kSequenceBlocks});
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

// What every step reads: all matrices but the embedding.
size_t StepWeightBytes(const Hyperparameters& h, DType dtype) {
  const size_t kv_width = size_t{h.kv_heads} * h.head_dim;
  const size_t layer = size_t{h.width} * (2 * h.width + 2 * kv_width + 3 * h.ffn_width);
  return RowBytes(dtype, h.layers * layer + size_t{h.vocabulary_size} * h.width);
}

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
    std::printf("%-10s", name);
    for (const double seconds : least_) std::printf(" %9.0f", seconds * 1e6);
    std::printf("\n");
  }

  static void PrintHeader() {
    std::printf("%-10s", "us");
    for (const std::string_view name : TimedOps::kNames) {
      std::printf(" %9s", std::string(name).c_str());
    }
    std::printf(" %9s\n", "between");
  }

 private:
  TimedOps& ops_;
  std::array<double, TimedOps::kOps + 1> least_;
};

DType TypeNamed(const std::string& name) {
  for (const DTypeTraits& traits : kDTypeTraits) {
    if (traits.name == name) return traits.dtype;
  }
  throw std::runtime_error("no type of weights is called " + name);
}

double ProcessorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

std::string RunModel(const Options& options) {
  const DType dtype = TypeNamed(options.type);
  ThreadPool pool(options.threads);
  const Ops* ops = FindOps(options.isa);
  if (ops == nullptr) throw std::runtime_error("this machine does not run " + options.isa);
  std::printf("%s, %s\n", MachineHeader(options.threads).c_str(), std::string(ops->isa()).c_str());
  ModelOptions model_options;
  TimedOps timed(*ops);
  model_options.ops = &timed;
  model_options.step_tokens_max = kPrefillTokens;
  const auto model = Take(Model::CreateRandom(kHyperparameters, dtype, 1, model_options, pool));
  const auto storage = Take(KvStorage::Create(model->kv_shape(kBlockTokens, DType::kF16),
                                              kSequencesMax * kSequenceBlocks, 0));
  std::printf("%-10s %12s %20s %12s\n", options.type.c_str(), "tokens/s", "processor ms/token",
              "weights GB/s");
  const double weight_bytes = static_cast<double>(StepWeightBytes(kHyperparameters, dtype));
  std::string figures;
  std::vector<Breakdown> breakdowns(std::size(kItems), Breakdown(timed));
  for (const Item& item : kItems) {
    const Step step(item);
    const uint32_t samples = options.quick ? 5 : 20;
    const double processor_before = ProcessorSeconds();
    Breakdown& breakdown = breakdowns[static_cast<size_t>(&item - kItems)];
    const double seconds = MedianSeconds(samples, [&] {
      breakdown.Sample([&] {
        model->Forward(step.input(), *storage, pool);
        Keep(model->Logits(0, step.logit_rows(), pool).value());
      });
    });
    const double processor_ms =
        (ProcessorSeconds() - processor_before) * 1e3 / ((samples + 1) * step.tokens());
    std::printf("%-10s %12.1f %20.2f %12.1f\n", item.name, step.tokens() / seconds, processor_ms,
                weight_bytes / seconds / 1e9);
    char line[128];
    std::snprintf(line, sizeof(line), R"(%s"%s":{"tokensPerSecond":%.2f,"processorMs":%.3f})",
                  figures.empty() ? "" : ",", item.name, step.tokens() / seconds, processor_ms);
    figures += line;
  }
  Breakdown::PrintHeader();
  for (size_t i = 0; i < std::size(kItems); ++i) breakdowns[i].Print(kItems[i].name);
  return "{" + figures + "}";
}

}  // namespace infercept::bench
