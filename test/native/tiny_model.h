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

// Models that between them call every op: as Llama, GPT-J, Gemma and gpt-oss do.
inline std::vector<Hyperparameters> TinyFamilies(
    const Hyperparameters& shape = TinyHyperparameters()) {
  std::vector<Hyperparameters> all(4, shape);
  all[1].norm = NormKind::kLayer;
  all[1].parallel_blocks = true;
  all[1].gated = false;
  all[1].rope.interleaved = true;
  all[1].feed_forward_bias = all[1].output_bias = true;
  all[2].norm_weight_offset = 1;
  all[2].post_norms = all[2].query_key_norm = all[2].tied_embeddings = true;
  all[2].activation = Activation::kGelu;
  all[2].embedding_scale = 8;
  all[2].attention_soft_cap = 20;
  all[2].logit_soft_cap = 10;
  all[2].windows = {6, 0};
  all[2].window_rope = all[2].rope;
  all[2].window_rope->base = 100;
  all[3].query_key_value_bias = all[3].attention_output_bias = all[3].attention_sinks = true;
  all[3].windows = {0, 9};
  return all;
}

// As Mixtral, Qwen 3 MoE and gpt-oss are.
inline std::vector<Hyperparameters> TinyExpertFamilies(
    const Hyperparameters& shape = TinyHyperparameters()) {
  std::vector<Hyperparameters> all(3, shape);
  all[0].experts = {.count = 4, .used = 2};
  all[1].experts = {.count = 9, .used = 4};
  all[1].query_key_norm = true;
  all[2].experts = {.count = 5, .used = 2};
  all[2].activation = Activation::kClampedSwiglu;
  all[2].swiglu = {.alpha = 1.702f, .limit = 7};
  all[2].query_key_value_bias = all[2].attention_output_bias = all[2].attention_sinks = true;
  all[2].feed_forward_bias = all[2].router_bias = true;
  all[2].windows = {9, 0};
  return all;
}

struct TinyModel {
  explicit TinyModel(const Ops& ops, DType weights = DType::kF32, DType kv = DType::kF32,
                     const Hyperparameters& hyperparameters = TinyHyperparameters(),
                     uint32_t threads = 2, uint32_t block_tokens = 4, uint32_t blocks = 64)
      : pool(threads),
        model(Model::CreateRandom(hyperparameters, weights, 1,
                                  {.ops = &ops, .step_tokens_max = 64, .progress = {}}, pool)
                  .Take()),
        storage(KvStorage::Create(model->kv_shape(block_tokens, kv), blocks, 32).Take()) {}

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
