// The forward pass: against a float64 model written plainly here, and bit-identical however its
// tokens are cut into steps and whatever else is in them.
#include "model/model.h"

#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>

#include "base/rng.h"
#include "batch/batch.h"
#include "model/forward_pass.h"
#include "temporary_file.h"
#include "test.h"
#include "tiny_model.h"

namespace infercept {
namespace {

using test::AddSlice;
using test::BlockRange;
using test::TinyModel;

using Vector = std::vector<double>;

// The Llama architecture in double precision, one token after the other, no cache blocks, no batch.
class PlainLlama {
 public:
  PlainLlama(const ModelSpec& spec, TensorSource& source) : h_(spec.hyperparameters) {
    for (const TensorSpec& tensor : spec.tensors) {
      const std::span<const std::byte> bytes = source.Read(tensor).Take();
      std::vector<float> values(bytes.size() / sizeof(float));
      std::memcpy(values.data(), bytes.data(), bytes.size());
      tensors_[tensor.name] = Vector(values.begin(), values.end());
    }
    keys_.resize(h_.layers);
    values_.resize(h_.layers);
  }

  // Logits after `token`, which is the next of the sequence.
  Vector Next(TokenId token) {
    const Vector& table = tensors_["embedding"];
    Vector x(table.begin() + token * h_.width, table.begin() + (token + 1) * h_.width);
    for (uint32_t layer = 0; layer < h_.layers; ++layer) {
      const std::string name = "layers." + std::to_string(layer) + ".";
      AddTo(x, Attention(name + "attention.", layer, Norm(x, name + "attentionNorm")));
      const Vector normed = Norm(x, name + "feedForwardNorm");
      Vector hidden = Multiply(name + "feedForward.gate", normed);
      const Vector up = Multiply(name + "feedForward.up", normed);
      for (size_t i = 0; i < hidden.size(); ++i) hidden[i] *= up[i] / (1 + std::exp(-hidden[i]));
      AddTo(x, Multiply(name + "feedForward.down", hidden));
    }
    ++position_;
    return Multiply(h_.tied_embeddings ? "embedding" : "output", Norm(x, "outputNorm"));
  }

 private:
  static void AddTo(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  Vector Multiply(const std::string& name, const Vector& x) {
    const Vector& matrix = tensors_.at(name);
    Vector y(matrix.size() / x.size());
    for (size_t i = 0; i < matrix.size(); ++i) y[i / x.size()] += matrix[i] * x[i % x.size()];
    return y;
  }

  Vector Norm(const Vector& x, const std::string& name) {
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double root =
        std::sqrt(squares / static_cast<double>(x.size()) + double{h_.norm_epsilon});
    Vector y = x;
    for (size_t i = 0; i < x.size(); ++i) y[i] *= tensors_.at(name)[i] / root;
    return y;
  }

  double Frequency(uint32_t pair) const {
    const RopeScaling& scaling = h_.rope.scaling;
    const double plain = std::pow(h_.rope.base, -2.0 * pair / h_.rope.dimension);
    if (scaling.kind == RopeScaling::Kind::kLinear) return plain / scaling.factor;
    if (scaling.kind == RopeScaling::Kind::kFactors)
      return plain / tensors_.at("ropeFactors")[pair];
    if (scaling.kind == RopeScaling::Kind::kNone) return plain;
    // Llama 3: turns over the original context decide.
    const double turns = scaling.original_context_tokens * plain / (2 * M_PI);
    if (turns > scaling.high_frequency_factor) return plain;
    if (turns < scaling.low_frequency_factor) return plain / scaling.factor;
    const double share = (turns - scaling.low_frequency_factor) /
                         (scaling.high_frequency_factor - scaling.low_frequency_factor);
    return plain * ((1 - share) / scaling.factor + share);
  }

  void Rotate(Vector& x) const {
    for (size_t head = 0; head < x.size(); head += h_.head_dim) {
      for (uint32_t i = 0; i < h_.rope.dimension / 2; ++i) {
        double& a = x[head + (h_.rope.interleaved ? 2 * i : i)];
        double& b = x[head + (h_.rope.interleaved ? 2 * i + 1 : i + h_.rope.dimension / 2)];
        const double angle = position_ * Frequency(i);
        const double a_before = a;
        a = a_before * std::cos(angle) - b * std::sin(angle);
        b = a_before * std::sin(angle) + b * std::cos(angle);
      }
    }
  }

  Vector Attention(const std::string& name, uint32_t layer, const Vector& x) {
    Vector query = Multiply(name + "query", x);
    Vector key = Multiply(name + "key", x);
    Rotate(query);
    Rotate(key);
    keys_[layer].push_back(key);
    values_[layer].push_back(Multiply(name + "value", x));
    Vector mixed(query.size());
    for (uint32_t head = 0; head < h_.heads; ++head) {
      const uint32_t shared = head / (h_.heads / h_.kv_heads) * h_.head_dim;
      Vector weights;
      double total = 0;
      for (const Vector& past : keys_[layer]) {
        double dot = 0;
        for (uint32_t d = 0; d < h_.head_dim; ++d) {
          dot += query[head * h_.head_dim + d] * past[shared + d];
        }
        weights.push_back(std::exp(dot / std::sqrt(h_.head_dim)));
        total += weights.back();
      }
      for (size_t p = 0; p < weights.size(); ++p) {
        for (uint32_t d = 0; d < h_.head_dim; ++d) {
          mixed[head * h_.head_dim + d] += weights[p] / total * values_[layer][p][shared + d];
        }
      }
    }
    return Multiply(name + "output", mixed);
  }

  const Hyperparameters h_;
  std::map<std::string, Vector> tensors_;
  std::vector<std::vector<Vector>> keys_;    // [layers][positions]
  std::vector<std::vector<Vector>> values_;  // [layers][positions]
  uint32_t position_ = 0;
};

std::vector<TokenId> RandomTokens(uint32_t count, uint64_t seed) {
  Rng random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.Below(80));
  return tokens;
}

std::vector<TokenId> Part(const std::vector<TokenId>& tokens, uint32_t first, uint32_t count) {
  return {tokens.begin() + first, tokens.begin() + first + count};
}

// Logits of all sampled rows of the plan.
std::vector<float> Run(TinyModel& tiny, const StepPlan& plan) {
  Batch batch;
  batch.Assign(plan, tiny.storage->shape().block_tokens);
  tiny.model->Forward(batch.input(), *tiny.storage, tiny.pool);
  const auto rows = static_cast<uint32_t>(batch.sampled_slices().size());
  const std::span<const float> logits = tiny.model->Logits(0, rows, tiny.pool).value();
  return {logits.begin(), logits.end()};
}

std::vector<const Ops*> AllOps() {
  std::vector<const Ops*> all = SupportedOps();
  all.push_back(&ReferenceOps());
  return all;
}

void ExpectNear(const Hyperparameters& h, const Ops& ops, const char* what) {
  TinyModel tiny(ops, DType::kF32, DType::kF32, h);
  const auto source = GenerateTensors(1, RandomPlace::kHost, tiny.pool);
  PlainLlama plain(tiny.model->spec(), *source);
  const std::vector<TokenId> tokens = RandomTokens(37, 5);
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    StepPlan plan;
    AddSlice(plan, SeqId{0}, i, {tokens[i]}, BlockRange(0, i / 4 + 1));
    const std::vector<float> logits = Run(tiny, plan);
    const Vector expected = plain.Next(tokens[i]);
    double error = 0;
    double norm = 0;
    for (size_t id = 0; id < expected.size(); ++id) {
      error += (logits[id] - expected[id]) * (logits[id] - expected[id]);
      norm += expected[id] * expected[id];
    }
    ASSERT_LE(std::sqrt(error / norm), 1e-5) << what << ", " << ops.isa() << ", position " << i;
  }
}

struct Storage {
  DType weights;
  DType kv;
};
constexpr Storage kStorages[] = {{DType::kF32, DType::kF32},
                                 {DType::kF16, DType::kF16},
                                 {DType::kBF16, DType::kBF16},
                                 {DType::kQ8_0, DType::kF16}};

}  // namespace

TEST(Model, AgreesWithAFloat64Model) {
  for (const Ops* ops : AllOps()) {
    Hyperparameters h = test::TinyHyperparameters();
    ExpectNear(h, *ops, "half layout");
    h.rope.interleaved = true;
    h.tied_embeddings = true;
    ExpectNear(h, *ops, "interleaved layout, tied");
    h.rope.dimension = 8;
    ExpectNear(h, *ops, "partial rotation");
    h.kv_heads = 4;
    h.rope.scaling = {.kind = RopeScaling::Kind::kLinear, .factor = 2.5};
    ExpectNear(h, *ops, "linear scaling, no grouping");
    h.rope.scaling = {.kind = RopeScaling::Kind::kLlama3,
                      .factor = 8,
                      .low_frequency_factor = 1,
                      .high_frequency_factor = 4,
                      .original_context_tokens = 64};
    ExpectNear(h, *ops, "Llama 3 scaling");
    h.rope.scaling = {.kind = RopeScaling::Kind::kFactors};
    ExpectNear(h, *ops, "frequency factors");
  }
}

namespace {

// As GPT-J: blocks side by side, layer norms, biases, no gate.
Hyperparameters ParallelHyperparameters() {
  Hyperparameters h = test::TinyHyperparameters();
  h.norm = NormKind::kLayer;
  h.parallel_blocks = true;
  h.feed_forward_bias = true;
  h.output_bias = true;
  h.gated = false;
  h.activation = Activation::kGelu;
  h.rope.interleaved = true;
  return h;
}

// Everything else at once: norms everywhere, windows with positions of their own, caps, sinks,
// biases.
Hyperparameters RuledHyperparameters() {
  Hyperparameters h = test::TinyHyperparameters();
  h.norm_weight_offset = 1;
  h.post_norms = true;
  h.query_key_norm = true;
  h.query_key_value_bias = true;
  h.attention_output_bias = true;
  h.activation = Activation::kGelu;
  h.embedding_scale = 3;
  h.attention_scale = 0.4f;
  h.attention_soft_cap = 5;
  h.logit_soft_cap = 4;
  h.attention_sinks = true;
  h.windows = {7, 0};
  h.window_rope = h.rope;
  h.window_rope->base = 500;
  return h;
}

Hyperparameters ExpertHyperparameters() {
  Hyperparameters h = test::TinyHyperparameters();
  h.experts = {.count = 5, .used = 2, .normalized = false};
  h.router_bias = true;
  h.feed_forward_bias = true;
  h.activation = Activation::kClampedSwiglu;
  h.swiglu = {1.7f, 2};
  return h;
}

std::vector<Hyperparameters> Families() {
  return {test::TinyHyperparameters(), ParallelHyperparameters(), RuledHyperparameters(),
          ExpertHyperparameters()};
}

void ExpectChunksDoNotMatter(const Ops& ops, const Storage& storage, const Hyperparameters& h) {
  const std::vector<TokenId> tokens = RandomTokens(30, 6);
  TinyModel tiny(ops, storage.weights, storage.kv, h);
  StepPlan whole;
  AddSlice(whole, SeqId{0}, 0, tokens, BlockRange(0, 8));
  const std::vector<float> expected = Run(tiny, whole);
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Rng random(seed);
    std::vector<float> logits;
    for (uint32_t done = 0; done < tokens.size();) {
      const auto left = static_cast<uint32_t>(tokens.size()) - done;
      const uint32_t count = 1 + random.Below(std::min(left, 9u));
      StepPlan plan;
      const uint32_t before = random.Below(4);
      const uint32_t after = random.Below(4);
      for (uint32_t i = 0; i < before; ++i) {
        AddSlice(plan, SeqId{2 + i}, 0, RandomTokens(1 + random.Below(6), seed + i),
                 BlockRange(32 + 2 * i, 2));
      }
      AddSlice(plan, SeqId{0}, done, Part(tokens, done, count), BlockRange(16, 8));
      for (uint32_t i = 0; i < after; ++i) {
        AddSlice(plan, SeqId{9 + i}, 0, RandomTokens(1 + random.Below(6), seed + i),
                 BlockRange(40 + 2 * i, 2));
      }
      const std::vector<float> all = Run(tiny, plan);
      logits.assign(all.begin() + before * 80, all.begin() + (before + 1) * 80);
      done += count;
    }
    ASSERT_TRUE(logits == expected)
        << ops.isa() << ", weights " << DTypeName(storage.weights) << ", seed " << seed;
  }
}

}  // namespace

TEST(Model, ChunksAndNeighboursDoNotChangeABit) {
  for (const Ops* ops : AllOps()) {
    for (const Storage& storage : kStorages) {
      for (const Hyperparameters& h : Families()) ExpectChunksDoNotMatter(*ops, storage, h);
    }
  }
}

namespace {

// Logits of some rows of two sequences (9 and 6 tokens) in one step, then of one more token of
// each.
std::vector<float> RunRows(TinyModel& tiny, std::span<const uint32_t> rows) {
  StepPlan first;
  AddSlice(first, SeqId{0}, 0, RandomTokens(9, 8), BlockRange(0, 3));
  AddSlice(first, SeqId{1}, 0, RandomTokens(6, 9), BlockRange(8, 2));
  Batch batch;
  batch.Assign(first, tiny.storage->shape().block_tokens);
  ForwardInput input = batch.input();
  input.logit_rows = rows;
  tiny.model->Forward(input, *tiny.storage, tiny.pool);
  const auto logits = tiny.model->Logits(0, static_cast<uint32_t>(rows.size()), tiny.pool).value();
  std::vector<float> all(logits.begin(), logits.end());
  StepPlan next;
  AddSlice(next, SeqId{0}, 9, {1}, BlockRange(0, 3));
  AddSlice(next, SeqId{1}, 6, {2}, BlockRange(8, 2));
  std::ranges::copy(Run(tiny, next), std::back_inserter(all));
  return all;
}

}  // namespace

// The last layer computes the wanted rows alone, but stores the keys and values of all.
TEST(Model, WhichLogitsAreWantedDoesNotChangeABit) {
  const std::vector<std::vector<uint32_t>> choices = {{}, {14}, {8, 14}, {0, 3, 9}, {5, 6, 7, 8}};
  std::vector<uint32_t> every(15);
  std::iota(every.begin(), every.end(), 0u);
  for (const Hyperparameters& h : Families()) {
    for (const Ops* ops : AllOps()) {
      TinyModel tiny(*ops, DType::kQ8_0, DType::kF16, h);
      const std::vector<float> all = RunRows(tiny, every);
      for (const std::vector<uint32_t>& rows : choices) {
        std::vector<float> expected;
        for (const uint32_t row : rows) {
          expected.insert(expected.end(), all.begin() + row * 80, all.begin() + (row + 1) * 80);
        }
        expected.insert(expected.end(), all.begin() + 15 * 80, all.end());
        ASSERT_TRUE(RunRows(tiny, rows) == expected)
            << ops->isa() << ", " << rows.size() << " rows";
      }
    }
  }
}

// Wide enough that element-wise work is split among the threads.
TEST(Model, ThreadsDoNotChangeABit) {
  Hyperparameters h = test::TinyHyperparameters();
  h.width = 512;
  h.heads = 8;
  h.head_dim = 64;
  h.rope.dimension = 64;
  h.ffn_width = 768;
  ASSERT_GT(60u * h.width, 2 * ForwardPass::kPartElements);
  const std::vector<TokenId> tokens = RandomTokens(60, 7);
  StepPlan whole;
  AddSlice(whole, SeqId{0}, 0, tokens, BlockRange(0, 15));
  const Ops& ops = *FindOps("");
  TinyModel one(ops, DType::kQ8_0, DType::kF16, h, 1);
  TinyModel three(ops, DType::kQ8_0, DType::kF16, h, 3);
  const std::vector<float> expected = Run(one, whole);
  for (int round = 0; round < 20; ++round) ASSERT_TRUE(Run(three, whole) == expected);
  // Keys and values, too: the last token again, which reads all of them.
  StepPlan last;
  AddSlice(last, SeqId{0}, 59, {tokens[59]}, BlockRange(0, 15));
  EXPECT_TRUE(Run(three, last) == expected);
}

namespace {

// The tensors of a random model as one file, and the spec that points into it.
struct ModelFile {
  explicit ModelFile(const TinyModel& tiny) : spec(tiny.model->spec()) {
    ThreadPool pool(1);
    const auto source = GenerateTensors(1, RandomPlace::kHost, pool);
    std::vector<std::byte> bytes;
    for (const TensorSpec& tensor : spec.tensors) {
      const auto window = source->Read(tensor).Take();
      bytes.insert(bytes.end(), window.begin(), window.end());
    }
    file.emplace(bytes);
    spec.files = {file->path()};
  }

  ModelSpec spec;
  std::optional<test::TemporaryFile> file;
};

StatusCode LoadCode(ModelSpec spec, ThreadPool& pool) {
  return Model::Load(std::move(spec), {.ops = FindOps(""), .progress = {}}, pool).status().code();
}

}  // namespace

TEST(Model, LoadsWhatIsInTheFile) {
  TinyModel tiny(*FindOps(""), DType::kQ8_0);
  const ModelFile file(tiny);
  StepPlan plan;
  AddSlice(plan, SeqId{0}, 0, RandomTokens(12, 8), BlockRange(0, 3));
  const std::vector<float> expected = Run(tiny, plan);
  uint64_t last = 0;
  uint64_t all = 0;
  const auto progress = [&](uint64_t loaded, uint64_t total) {
    EXPECT_TRUE(last <= loaded && loaded <= total);
    last = loaded;
    all = total;
    return true;
  };
  tiny.model =
      Model::Load(file.spec, {.ops = FindOps(""), .step_tokens_max = 64, .progress = progress},
                  tiny.pool)
          .Take();
  EXPECT_TRUE(Run(tiny, plan) == expected);
  EXPECT_GT(last, 0u);
  EXPECT_EQ(last, all);
}

TEST(Model, RefusesSpecsThatDoNotFit) {
  TinyModel tiny(*FindOps(""));
  const ModelFile file(tiny);
  ModelSpec spec = file.spec;
  spec.tensors.push_back(spec.tensors.back());
  spec.tensors.back().name = "layers.0.attention.query.bias";
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.tensors.pop_back();
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.ffn_width = 128;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.tensors.back().offset += 4;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.kv_heads = 3;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.rope.dimension = 18;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.experts = {.count = 2, .used = 3};
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.windows = {4};
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.rope.scaling.kind = RopeScaling::Kind::kLongRope;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
  spec = file.spec;
  spec.hyperparameters.rope.dimension = 2;
  spec.hyperparameters.rope.scaling.kind = RopeScaling::Kind::kDynamic;
  EXPECT_EQ(LoadCode(spec, tiny.pool), StatusCode::kModelFormat);
}

TEST(Model, AClaimedContextIsBounded) {
  Hyperparameters h = test::TinyHyperparameters();
  h.context_tokens = 1u << 24;
  h.rope.dimension = 2;
  TinyModel tiny(*FindOps(""), DType::kF32, DType::kF32, h);
  EXPECT_EQ(tiny.model->context_tokens_max(), 1u << 20);
}

TEST(Model, LoadingCanBeCancelled) {
  TinyModel tiny(*FindOps(""));
  const ModelFile file(tiny);
  const auto result = Model::Load(
      file.spec,
      {.ops = FindOps(""), .progress = [](uint64_t loaded, uint64_t) { return loaded < 30'000; }},
      tiny.pool);
  EXPECT_EQ(result.status().code(), StatusCode::kAborted);
}

TEST(Model, RefusesTokensAndBlocksThatDoNotExist) {
  TinyModel tiny(*FindOps(""));
  StepPlan token;
  AddSlice(token, SeqId{0}, 0, {80}, BlockRange(0, 1));
  EXPECT_THROW(Run(tiny, token), InternalError);
  StepPlan block;
  AddSlice(block, SeqId{0}, 0, {1}, BlockRange(64, 1));
  EXPECT_THROW(Run(tiny, block), InternalError);
}

}  // namespace infercept
