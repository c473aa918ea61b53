#include "engine/machine_probe.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

namespace infercept {
namespace {

// Longer contexts tell the line of the cost model nothing new.
constexpr uint32_t kContextTokensMax = 4096;
// Blocks of the longest copy: megabytes, so that caches do not flatter it, and few enough for
// milliseconds.
constexpr uint32_t kCopyBlocksMax = 16;

template <typename Body>
Nanos Time(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  const auto duration = std::chrono::steady_clock::now() - begin;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

uint32_t ContextTokensMax(const Model& model, const KvStorage& storage) {
  const uint64_t capacity = uint64_t{storage.device_blocks()} * storage.shape().block_tokens;
  return static_cast<uint32_t>(std::min<uint64_t>(
      {capacity, uint64_t{model.context_tokens_max()}, uint64_t{kContextTokensMax}}));
}

// Steps of equal slices that all stand on the same blocks: what lies in them does not matter for
// the time.
class StepProbe {
 public:
  StepProbe(Model& model, const KvStorage& storage, ThreadPool& pool)
      : model_(model),
        storage_(storage),
        pool_(pool),
        blocks_(DivCeil(ContextTokensMax(model, storage), storage.shape().block_tokens)) {
    for (uint32_t i = 0; i < blocks_.size(); ++i) blocks_[i] = BlockId{i};
  }

  Nanos operator()(const ProbedStep& step) {
    Prepare(step);
    const ForwardInput input = {tokens_, positions_, slices_, logit_rows_};
    return Time([&] {
      model_.Forward(input, storage_, pool_);
      // What failed, the first step says again.
      static_cast<void>(model_.Logits(0, std::min(step.slices, model_.logit_rows_max()), pool_));
    });
  }

 private:
  void Prepare(const ProbedStep& step) {
    const auto& [slices, count, context] = step;
    tokens_.assign(slices * count, 0);
    positions_.clear();
    slices_.clear();
    logit_rows_.clear();
    for (uint32_t slice = 0; slice < slices; ++slice) {
      slices_.push_back({slice * count, count, context - count, blocks_.data()});
      for (uint32_t i = 0; i < count; ++i) positions_.push_back(context - count + i);
      logit_rows_.push_back(slice * count + count - 1);
    }
  }

  Model& model_;
  const KvStorage& storage_;
  ThreadPool& pool_;
  std::vector<BlockId> blocks_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> positions_;
  std::vector<AttentionSlice> slices_;
  std::vector<uint32_t> logit_rows_;
};

// The last `count` of those that may be copied.
std::vector<BlockCopy> Copies(uint32_t count, uint32_t blocks_max) {
  std::vector<BlockCopy> copies;
  for (uint32_t i = blocks_max - count; i < blocks_max; ++i)
    copies.push_back({BlockId{i}, BlockId{i}});
  return copies;
}

}  // namespace

CostProbe MakeMachineProbe(Model& model, const KvStorage& storage, CopyEngine& copies,
                           ThreadPool& pool) {
  const uint32_t blocks_max =
      std::min({storage.device_blocks(), storage.host_blocks(), kCopyBlocksMax});
  return {.step_tokens_max = model.step_tokens_max(),
          .context_tokens_max = ContextTokensMax(model, storage),
          .copy_blocks_max = blocks_max,
          .window_tokens = WindowOfAllLayers(model.hyperparameters()),
          // Shared, because functions are copied and its buffers are to be kept.
          .step = [probe = std::make_shared<StepProbe>(model, storage, pool)](
                      const ProbedStep& step) { return (*probe)(step); },
          .copy =
              [&copies, blocks_max](CopyDirection direction, uint32_t blocks) {
                const std::vector<BlockCopy> list = Copies(blocks, blocks_max);
                return Time([&] {
                  direction == CopyDirection::kOut ? copies.Start(list, {})
                                                   : copies.Start({}, list);
                  static_cast<void>(copies.Wait());  // The first step says what failed.
                });
              }};
}

}  // namespace infercept
