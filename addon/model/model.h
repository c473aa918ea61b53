// A loaded model: weights, rotary tables, workspace, and the pass through its layers. Which tensors
// there are and what a layer computes are facts of its Hyperparameters.
// Owner: the engine (one executor). Thread: whoever executes steps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/cpu_device.h"
#include "device/kv_storage.h"
#include "kernels/ops.h"
#include "model/decode_graphs.h"
#include "model/forward_input.h"
#include "model/model_spec.h"
#include "model/rope_table.h"
#include "model/wanted_rows.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace infercept {

struct ForwardPass;

struct ModelOptions {
  const Ops* ops = nullptr;  // REQUIRED; outlives the model
  // Where the ops compute, and what they enqueue their work on; outlive the model.
  Device* device = &CpuDevice();
  Stream* stream = &CpuStream();
  uint32_t step_tokens_max = 512;  // rows of one Forward
  // The longest context that will be used. 0, or more than the model's: the model's, at most 2^20.
  uint32_t context_tokens_max = 0;
  // What matrices of floats are quantized to (quantizing_source.h); they stay by default.
  std::optional<DType> quantize = std::nullopt;
  // Of CreateRandom.
  RandomPlace random_place = RandomPlace::kHost;
  // Called at least every few megabytes, and when all is loaded; false cancels (kAborted).
  LoadProgress progress;
};

// The longest context that will be used, of ModelOptions::context_tokens_max.
uint32_t ContextTokens(const Hyperparameters& hyperparameters, uint32_t wanted);

class Model {
 public:
  // Maps the files, checks every tensor, packs the weights. kModelFormat: the files are not what
  // the spec says; kModelUnsupported: the device cannot run it; kOutOfMemory; kAborted: progress
  // said so.
  static Result<std::unique_ptr<Model>> Load(ModelSpec spec, const ModelOptions& options,
                                             ThreadPool& pool);

  // The same model without files: random weights of `dtype` (or what QuantizedDType says where
  // blocks do not fit), a function of `seed`. For tests and benchmarks.
  static Result<std::unique_ptr<Model>> CreateRandom(const Hyperparameters& hyperparameters,
                                                     DType dtype, uint64_t seed,
                                                     const ModelOptions& options, ThreadPool& pool);

  const ModelSpec& spec() const { return spec_; }
  const Hyperparameters& hyperparameters() const { return spec_.hyperparameters; }
  const Ops& ops() const { return *ops_; }
  Device& device() const { return *device_; }
  Stream& stream() const { return *stream_; }
  uint32_t step_tokens_max() const { return workspace_.rows_max(); }
  uint32_t context_tokens_max() const { return context_tokens_max_; }
  // Of the shape that storage for this model's KV must have; with or without layer_groups.
  KvShape kv_shape(uint32_t block_tokens, DType dtype) const;
  // Storage that has them may be without the blocks that no layer of a group sees any more.
  LayerGroups layer_groups() const;

  // Computes all rows and stores their keys and values in `storage`. REQUIRES: rows <=
  // step_tokens_max, logit_rows <= rows, positions below context_tokens_max, token ids below the
  // vocabulary.
  void Forward(const ForwardInput& input, const KvStorage& storage, ThreadPool& pool);

  // Enqueues the logits of logit_rows [first, first + count) of the last Forward, for both of the
  // next two. REQUIRES: count <= logit_rows_max().
  void ComputeLogits(uint32_t first, uint32_t count, ThreadPool& pool);
  // They in memory of the host, [count][vocabulary_size], valid until the next ones are computed.
  // Waits for the device: kDevice.
  Result<std::span<const float>> ReadLogits();
  // Enqueues what `rows` ask for to be sampled from them. REQUIRES: the device is not the host; as
  // many rows as `count`.
  void Sample(SampleRows rows) const;
  // The first two in one.
  Result<std::span<const float>> Logits(uint32_t first, uint32_t count, ThreadPool& pool);
  uint32_t logit_rows_max() const { return workspace_.logit_rows_max(); }

 private:
  Model(ModelSpec spec, const ModelOptions& options);
  static Result<std::unique_ptr<Model>> Build(ModelSpec spec, const ModelOptions& options,
                                              std::unique_ptr<TensorSource> source,
                                              ThreadPool& pool);
  void CheckInput(const ForwardInput& input, const KvStorage& storage) const;
  Status CreateRopeTables(ThreadPool& pool);
  void RunLayers(const ForwardInput& input, const KvStorage& storage, ThreadPool& pool);
  void Embed(const ForwardPass& pass) const;
  void PickAwaited(const TokenPicks& awaited) const;

  // Constant after construction.
  ModelSpec spec_;
  const Ops* ops_;
  Device* device_;
  Stream* stream_;
  uint32_t context_tokens_max_;
  Weights weights_;
  RopeTable rope_;
  RopeTable window_rope_;  // empty unless Hyperparameters::window_rope

  // Ops that compute on another device are called by one thread, for all rows at once.
  ThreadPool caller_{1};

  // Overwritten by every Forward.
  Workspace workspace_;
  WantedRows wanted_;
  DecodeGraphs graphs_;
  uint32_t logit_rows_ = 0;       // in workspace_.logit_inputs
  uint32_t computed_logits_ = 0;  // rows in workspace_.logits
};

}  // namespace infercept
