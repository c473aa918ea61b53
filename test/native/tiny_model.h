// A very small random model with storage and threads, and plans written by hand.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "device/kv_storage.h"
#include "model/model.h"
#include "sched/step_plan.h"

namespace infercept::test {

inline Hyperparameters TinyHyperparameters() {
  return {.layers = 2,
          .width = 64,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .ffn_width = 96,
          .vocabulary_size = 80,
          .context_tokens = 128,
          .norm_epsilon = 1e-5f,
          .rope = {.dimension = 16, .base = 10000, .scaling = {}, .interleaved = false},
          .tied_embeddings = false};
}

struct TinyModel {
  explicit TinyModel(const Ops& ops, DType weights = DType::kF32, DType kv = DType::kF32,
                     const Hyperparameters& hyperparameters = TinyHyperparameters(),
                     uint32_t threads = 2, uint32_t block_tokens = 4)
      : pool(threads),
        model(Model::CreateRandom(hyperparameters, weights, 1,
                                  {.ops = &ops, .step_tokens_max = 64, .progress = {}}, pool)
                  .Take()),
        storage(KvStorage::Create(model->kv_shape(block_tokens, kv), 64, 32).Take()) {}

  ThreadPool pool;
  std::unique_ptr<Model> model;
  std::unique_ptr<KvStorage> storage;
};

// Adds the tokens [first_position, first_position + tokens.size()) of a sequence.
inline void AddSlice(StepPlan& plan, SeqId seq, uint32_t first_position,
                     const std::vector<TokenId>& tokens, const std::vector<BlockId>& blocks,
                     bool sample = true) {
  plan.slices.push_back({seq, first_position, static_cast<uint32_t>(tokens.size()), sample});
  plan.tokens.insert(plan.tokens.end(), tokens.begin(), tokens.end());
  // A plan refers to tables that others keep; these stay until the tests end.
  static std::deque<std::vector<BlockId>> tables;
  plan.block_tables.push_back(tables.emplace_back(blocks));
}

inline std::vector<BlockId> Blocks(std::initializer_list<uint32_t> ids) {
  std::vector<BlockId> blocks;
  for (const uint32_t id : ids) blocks.push_back(BlockId{id});
  return blocks;
}

inline std::vector<BlockId> BlockRange(uint32_t first, uint32_t count) {
  std::vector<BlockId> blocks;
  for (uint32_t i = 0; i < count; ++i) blocks.push_back(BlockId{first + i});
  return blocks;
}

}  // namespace infercept::test
