#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "model/forward_pass.h"
#include "model/model_tensors.h"
#include "model/quantizing_source.h"
#include "model/transformer_layer.h"

namespace infercept {
namespace {

Status FormatError(const std::string& what) { return Status(StatusCode::kModelFormat, what); }

Status CheckRope(const Hyperparameters& h, const RopeSpec& rope) {
  const uint32_t dimension = rope.dimension;
  if (dimension == 0 || dimension % 2 != 0 || dimension > h.head_dim) {
    return FormatError("rope dimension " + std::to_string(dimension) +
                       " must be even and at most the head dimension " +
                       std::to_string(h.head_dim));
  }
  if (!(rope.base > 0) || !std::isfinite(rope.base)) {
    return FormatError("rope base must be positive");
  }
  const RopeScaling& scaling = rope.scaling;
  if (scaling.kind == RopeScaling::Kind::kDynamic && dimension <= 2) {
    return FormatError("rope dimension 2 cannot be stretched by another base");
  }
  if (scaling.kind == RopeScaling::Kind::kLongRope &&
      (scaling.short_factors.size() != dimension / 2 ||
       scaling.long_factors.size() != dimension / 2)) {
    return FormatError("rope factors must be " + std::to_string(dimension / 2));
  }
  return Status();
}

// What the arithmetic below and in the kernels relies on. TypeScript has said it more kindly
// before.
Status CheckHyperparameters(const Hyperparameters& h) {
  constexpr uint32_t kMax = 1u << 24;  // of any one of them; products of two then fit 64 bits
  for (const uint32_t value : {h.layers, h.width, h.heads, h.kv_heads, h.head_dim, h.ffn_width,
                               h.vocabulary_size, h.context_tokens}) {
    if (value == 0 || value > kMax) {
      return FormatError("a hyperparameter is " + std::to_string(value) + ", allowed are 1 to " +
                         std::to_string(kMax));
    }
  }
  if (h.heads % h.kv_heads != 0) {
    return FormatError(std::to_string(h.heads) + " heads cannot share " +
                       std::to_string(h.kv_heads) + " key-value heads evenly");
  }
  if (uint64_t{h.heads + 2 * h.kv_heads} * h.head_dim > kMax) {
    return FormatError(std::to_string(h.heads) + " heads of " + std::to_string(h.head_dim) +
                       " elements are more than " + std::to_string(kMax));
  }
  constexpr uint32_t kExpertsMax = 4096;  // far more than any model has
  if (h.experts.count > kExpertsMax || h.experts.used > h.experts.count ||
      (h.experts.count > 0) != (h.experts.used > 0)) {
    return FormatError("a token cannot use " + std::to_string(h.experts.used) + " of " +
                       std::to_string(h.experts.count) + " experts");
  }
  if (!(h.norm_epsilon >= 0)) return FormatError("norm epsilon must not be negative");
  if (!h.windows.empty() && h.windows.size() != h.layers) {
    return FormatError("there must be a window for each of the " + std::to_string(h.layers) +
                       " layers");
  }
  if (Status status = CheckRope(h, h.rope); !status.ok()) return status;
  return h.window_rope ? CheckRope(h, *h.window_rope) : Status();
}

// Kernels find the matrices of an expert by its number: those of a layer must take the same bytes.
Status CheckExperts(std::span<const TensorSpec> tensors) {
  constexpr std::string_view kExperts = ".experts.";
  std::map<std::string, DType> dtypes;  // by name without the expert's number
  for (const TensorSpec& tensor : tensors) {
    const size_t end = tensor.name.find(kExperts);
    if (end == std::string::npos || tensor.rows == 1) continue;
    const size_t number_end =
        std::min(tensor.name.find('.', end + kExperts.size()), tensor.name.size());
    const std::string name = tensor.name.substr(0, end) + tensor.name.substr(number_end);
    const DType dtype = dtypes.emplace(name, tensor.dtype).first->second;
    if (dtype == tensor.dtype) continue;
    return Status(StatusCode::kModelUnsupported,
                  "tensor " + tensor.name + " is " + std::string(DTypeName(tensor.dtype)) +
                      ", that of another expert " + std::string(DTypeName(dtype)) +
                      "; on a device they must be the same. Use device: 'cpu'");
  }
  return Status();
}

// Vectors are F32.
DType RandomDType(const TensorSpec& tensor, DType wanted) {
  if (IsQuantized(wanted)) return QuantizedDType(tensor, wanted);
  return tensor.rows == 1 ? DType::kF32 : wanted;
}

// A spec whose tensors lie one behind the other in one imagined file.
ModelSpec LayOut(const Hyperparameters& h, DType dtype) {
  ModelSpec spec{.architecture = "random", .hyperparameters = h, .files = {}, .tensors = {}};
  uint64_t offset = 0;
  const auto add = [&](std::string name, uint32_t rows, uint32_t columns) {
    TensorSpec tensor = {std::move(name), DType::kF32, rows, columns, 0, offset, 0};
    tensor.dtype = RandomDType(tensor, dtype);
    tensor.byte_length = RowBytes(tensor.dtype, columns) * uint64_t{rows};
    offset += tensor.byte_length;
    spec.tensors.push_back(std::move(tensor));
  };
  add("embedding", h.vocabulary_size, h.width);
  Weights weights;
  for (const TensorPlace& place : PlaceTensors(h, weights)) {
    if (place.name != "embedding") add(place.name, place.rows, place.columns);
  }
  return spec;
}

// A header may claim any context. The rotary table of a longer one would take more than half a
// gibibyte for heads of 128 elements; who needs it has to say so here.
constexpr uint32_t kContextTokensMax = 1u << 20;

}  // namespace

uint32_t ContextTokens(const Hyperparameters& hyperparameters, uint32_t wanted) {
  const uint32_t possible = std::min(hyperparameters.context_tokens, kContextTokensMax);
  return wanted == 0 ? possible : std::min(wanted, possible);
}

Model::Model(ModelSpec spec, const ModelOptions& options)
    : spec_(std::move(spec)),
      ops_(options.ops),
      device_(options.device),
      stream_(options.stream),
      context_tokens_max_(ContextTokens(spec_.hyperparameters, options.context_tokens_max)) {
  float& scale = spec_.hyperparameters.attention_scale;
  if (scale == 0) scale = 1.0f / std::sqrt(static_cast<float>(spec_.hyperparameters.head_dim));
}

Result<std::unique_ptr<Model>> Model::Load(ModelSpec spec, const ModelOptions& options,
                                           ThreadPool& pool) {
  if (Status status = CheckHyperparameters(spec.hyperparameters); !status.ok()) return status;
  Result<std::unique_ptr<TensorSource>> source = OpenFiles(spec);
  if (!source.ok()) return source.status();
  std::unique_ptr<TensorSource> tensors = std::move(source).Take();
  if (options.quantize.has_value()) {
    tensors = QuantizeTensors(std::move(tensors), *options.quantize, pool, spec);
  }
  return Build(std::move(spec), options, std::move(tensors), pool);
}

Result<std::unique_ptr<Model>> Model::CreateRandom(const Hyperparameters& hyperparameters,
                                                   DType dtype, uint64_t seed,
                                                   const ModelOptions& options, ThreadPool& pool) {
  if (Status status = CheckHyperparameters(hyperparameters); !status.ok()) return status;
  ModelSpec spec = LayOut(hyperparameters, dtype);
  return Build(std::move(spec), options, GenerateTensors(seed, options.random_place, pool), pool);
}

Result<std::unique_ptr<Model>> Model::Build(ModelSpec spec, const ModelOptions& options,
                                            std::unique_ptr<TensorSource> source,
                                            ThreadPool& pool) {
  IC_CHECK(options.ops != nullptr && options.step_tokens_max > 0);
  if (!options.device->properties().is_host) {
    if (Status status = CheckExperts(spec.tensors); !status.ok()) return status;
  }
  std::unique_ptr<Model> model(new Model(std::move(spec), options));
  Result<Weights> weights = LoadWeights(model->spec_, std::move(source), *options.ops,
                                        options.progress, pool, *options.device, *options.stream);
  if (!weights.ok()) return weights.status();
  model->weights_ = std::move(weights).Take();
  if (Status status = model->CreateRopeTables(pool); !status.ok()) return status;

  Result<Workspace> workspace = Workspace::Create(
      model->spec_, *options.ops,
      {options.step_tokens_max, model->context_tokens_max_, pool.threads()}, *options.device);
  if (!workspace.ok()) return workspace.status();
  model->workspace_ = std::move(workspace).Take();
  model->wanted_ = WantedRows(options.step_tokens_max);
  model->graphs_ = DecodeGraphs(options.step_tokens_max);
  return model;
}

Status Model::CreateRopeTables(ThreadPool& pool) {
  const Hyperparameters& h = hyperparameters();
  const size_t factors = weights_.rope_factors == nullptr ? 0 : h.rope.dimension / 2;
  Result<RopeTable> rope =
      RopeTable::Create(h.rope, context_tokens_max_, std::span(weights_.rope_factors, factors),
                        pool, *device_, *stream_);
  if (!rope.ok()) return rope.status();
  rope_ = std::move(rope).Take();
  if (!h.window_rope) return Status();
  Result<RopeTable> window =
      RopeTable::Create(*h.window_rope, context_tokens_max_, {}, pool, *device_, *stream_);
  if (!window.ok()) return window.status();
  window_rope_ = std::move(window).Take();
  return Status();
}

KvShape Model::kv_shape(uint32_t block_tokens, DType dtype) const {
  const Hyperparameters& h = hyperparameters();
  return {.layers = h.layers,
          .kv_heads = h.kv_heads,
          .head_dim = h.head_dim,
          .block_tokens = block_tokens,
          .dtype = dtype};
}

LayerGroups Model::layer_groups() const {
  return GroupLayers(hyperparameters().windows, context_tokens_max_);
}

void Model::CheckInput(const ForwardInput& input, const KvStorage& storage) const {
  const Hyperparameters& h = hyperparameters();
  const KvShape& shape = storage.shape();
  IC_CHECK(!input.tokens.empty() && input.tokens.size() <= step_tokens_max());
  IC_CHECK(input.positions.size() == input.tokens.size());
  IC_CHECK(input.logit_rows.size() <= input.tokens.size());
  IC_CHECK(shape.layers == h.layers && shape.kv_heads == h.kv_heads &&
           shape.head_dim == h.head_dim);
  size_t awaited = 0;
  for (const TokenId token : input.tokens) {
    IC_CHECK(token >= -1 && token < static_cast<TokenId>(h.vocabulary_size));
    awaited += token == -1;
  }
  IC_CHECK(awaited == input.awaited.picks.size());
  for (const uint32_t position : input.positions) IC_CHECK(position < context_tokens_max_);
  const LayerGroups& groups = shape.groups;
  const AttentionRules seen = {.window_tokens = groups.window_tokens};
  for (const AttentionSlice& slice : input.slices) {
    const uint32_t rows = DivCeil(slice.first_position + slice.rows, shape.block_tokens);
    const uint32_t first = seen.FirstVisible(slice.first_position) / shape.block_tokens;
    for (uint32_t row = 0; row < rows; ++row) {
      const BlockId* blocks = slice.block_table + size_t{row} * groups.count;
      for (uint32_t i = 0; i < (row < first ? groups.full : groups.count); ++i) {
        IC_CHECK(Index(blocks[i]) < storage.device_blocks());
      }
    }
  }
}

void Model::Forward(const ForwardInput& input, const KvStorage& storage, ThreadPool& pool) {
  CheckInput(input, storage);
  wanted_.Assign(input);
  logit_rows_ = static_cast<uint32_t>(input.logit_rows.size());
  if (device_->properties().graphs && graphs_.Takes(input)) {
    const ForwardInput padded = graphs_.Pad(input, storage);
    const uint32_t context = ContextBucket(LongestContext(input.slices));
    const uint32_t form = ops_->Bind(padded.tokens, padded.positions, padded.slices, context);
    PickAwaited(input.awaited);
    graphs_.Run({static_cast<uint32_t>(padded.tokens.size()), context, form}, storage, *stream_,
                [&] { RunLayers(padded, storage, caller_); });
    return;
  }
  ops_->Bind(input.tokens, input.positions, input.slices, LongestContext(input.slices));
  PickAwaited(input.awaited);
  RunLayers(input, storage, device_->properties().is_host ? pool : caller_);
}

// After Bind, whose arrays it completes, and outside of graphs: there are as many as there are.
void Model::PickAwaited(const TokenPicks& awaited) const {
  if (!awaited.picks.empty()) ops_->PickTokens(awaited, ops_->BoundTokens());
}

void Model::RunLayers(const ForwardInput& input, const KvStorage& storage, ThreadPool& pool) {
  const Hyperparameters& h = hyperparameters();
  ForwardPass pass = {h, *ops_, workspace_, pool, *stream_, input};
  const bool all_wanted = input.logit_rows.size() == input.tokens.size();
  Embed(pass);
  for (uint32_t layer = 0; layer < h.layers; ++layer) {
    if (layer + 1 == h.layers && !all_wanted) pass.wanted = &wanted_;
    pass.window_tokens = h.windows.empty() ? 0 : h.windows[layer];
    pass.rope = pass.window_tokens != 0 && h.window_rope ? window_rope_.view() : rope_.view();
    TransformerLayer(weights_.layers[layer], storage.Layer(layer), pass);
  }
  if (!all_wanted) pass.input = wanted_.input();
  pass.AddAndNorm(weights_.output_norm, workspace_.logit_inputs);
}

void Model::Embed(const ForwardPass& pass) const {
  const size_t width = hyperparameters().width;
  const float scale = hyperparameters().embedding_scale;
  pass.ForRows(width, [&](size_t first, size_t count) {
    float* rows = workspace_.residual + first * width;
    ops_->Embed(weights_.embedding, pass.input.tokens.subspan(first, count), rows);
    if (scale != 1) ops_->Scale(scale, count * width, rows);
  });
  stream_->Fill(workspace_.projection, 0, pass.rows() * width * sizeof(float));
}

void Model::ComputeLogits(uint32_t first, uint32_t count, ThreadPool& pool) {
  IC_CHECK(count <= logit_rows_max() && first + count <= logit_rows_);
  const Hyperparameters& h = hyperparameters();
  computed_logits_ = count;
  ops_->MatMul({weights_.output, workspace_.logits, h.vocabulary_size},
               workspace_.logit_inputs + size_t{first} * h.width, count, workspace_.scratch,
               device_->properties().is_host ? pool : caller_);
  if (h.output_bias) {
    ops_->AddBias(weights_.output_bias, h.vocabulary_size, count, workspace_.logits,
                  h.vocabulary_size);
  }
  if (h.logit_soft_cap == 0) return;
  ops_->SoftCap(h.logit_soft_cap, size_t{count} * h.vocabulary_size, workspace_.logits);
}

Result<std::span<const float>> Model::ReadLogits() {
  const std::span<const float> logits(workspace_.host_logits,
                                      size_t{computed_logits_} * hyperparameters().vocabulary_size);
  if (device_->properties().is_host) return logits;
  stream_->Copy(workspace_.host_logits, workspace_.logits, logits.size_bytes());
  if (Status status = stream_->Synchronize(); !status.ok()) return status;
  return logits;
}

void Model::Sample(SampleRows rows) const {
  IC_CHECK(rows.rows.size() == computed_logits_);
  rows.logits = workspace_.logits;
  rows.adjusted = workspace_.adjusted_logits;
  ops_->Sample(rows, hyperparameters().vocabulary_size);
}

Result<std::span<const float>> Model::Logits(uint32_t first, uint32_t count, ThreadPool& pool) {
  ComputeLogits(first, count, pool);
  return ReadLogits();
}

}  // namespace infercept
