#include "engine/machine_probe.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/attention_plan.h"

namespace infercept {
namespace {

// Longer contexts tell the line of the cost model nothing new: on a processor attention counts from
// the first hundred positions on, on a device that reads a context a thousand times as fast only
// where there are many.
constexpr uint32_t kContextTokensMaxOfHost = 4096;
constexpr uint32_t kContextTokensMax = 32768;
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

bool OnHost(const Model& model) { return model.device().properties().is_host; }

uint32_t ContextTokensMax(const Model& model, const KvStorage& storage) {
  const KvShape& shape = storage.shape();
  const uint64_t rows = storage.device_blocks() / shape.groups.count;
  const uint64_t capacity = rows * shape.block_tokens;
  const uint64_t useful = OnHost(model) ? kContextTokensMaxOfHost : kContextTokensMax;
  return static_cast<uint32_t>(
      std::min<uint64_t>({capacity, uint64_t{model.context_tokens_max()}, useful}));
}

uint32_t ContextBlocks(const Model& model, const KvStorage& storage) {
  const KvShape& shape = storage.shape();
  return DivCeil(ContextTokensMax(model, storage), shape.block_tokens) * shape.groups.count;
}

// Steps of equal slices; what lies in their blocks does not matter for the time. On the host they
// all stand on the same ones: others would have to be committed first. On a device, whose memory is
// there and whose caches and kernels would make less of what is the same, each has its own.
class StepProbe {
 public:
  StepProbe(Model& model, const KvStorage& storage, ThreadPool& pool)
      : model_(model),
        storage_(storage),
        pool_(pool),
        blocks_(OnHost(model) ? ContextBlocks(model, storage) : storage.device_blocks()) {
    for (uint32_t i = 0; i < blocks_.size(); ++i) blocks_[i] = BlockId{i};
  }

  Nanos operator()(const ProbedStep& step) {
    Prepare(step);
    const ForwardInput input = {tokens_, positions_, slices_, logit_rows_};
    return Time([&] {
      model_.Forward(input, storage_, pool_);
      model_.ComputeLogits(0, std::min(step.slices, model_.logit_rows_max()), pool_);
      static_cast<void>(model_.stream().Synchronize());  // What failed, the first step says again.
    });
  }

 private:
  void Prepare(const ProbedStep& step) {
    const auto& [slices, count, context] = step;
    const KvShape& shape = storage_.shape();
    const size_t own = size_t{DivCeil(context, shape.block_tokens)} * shape.groups.count;
    const bool apart = slices * own <= blocks_.size();
    tokens_.assign(slices * count, 0);
    positions_.clear();
    slices_.clear();
    logit_rows_.clear();
    for (uint32_t slice = 0; slice < slices; ++slice) {
      const BlockId* blocks = blocks_.data() + (apart ? slice * own : 0);
      slices_.push_back({slice * count, count, context - count, blocks});
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
  CostProbe probe = {.step_tokens_max = model.step_tokens_max(),
                     .context_tokens_max = ContextTokensMax(model, storage),
                     .copy_blocks_max = blocks_max,
                     .window_tokens = storage.shape().groups.window_tokens,
                     .full_share = storage.shape().groups.full_share(),
                     // Shared, because functions are copied and its buffers are to be kept.
                     .step = [probe = std::make_shared<StepProbe>(model, storage, pool)](
                                 const ProbedStep& step) { return (*probe)(step); },
                     .copy =
                         [&copies, blocks_max](CopyDirection direction, uint32_t blocks) {
                           const std::vector<BlockCopy> list = Copies(blocks, blocks_max);
                           return Time([&] {
                             direction == CopyDirection::kOut ? copies.Start(0, list, {})
                                                              : copies.Start(0, {}, list);
                             static_cast<void>(copies.Wait(0));  // The first step says what failed.
                           });
                         }};
  if (!OnHost(model)) {
    probe.prefill_tokens_max = model.step_tokens_max();
    const Hyperparameters& h = model.hyperparameters();
    probe.query_tile = std::max(1u, cuda::ManyQueries(h.head_dim) / (h.heads / h.kv_heads));
    probe.far_slices_max =
        std::max(1u, storage.device_blocks() / std::max(1u, ContextBlocks(model, storage)));
  }
  return probe;
}

}  // namespace infercept
