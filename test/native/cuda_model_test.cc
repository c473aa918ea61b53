// Goal: a whole model runs on the CUDA kernels, through the same model and executor as on the CPU.
// Method: the same steps (prefill in chunks, mixed steps, decodes as graphs) computed by the
// reference ops in double, within what BF16 inputs allow; and stories told under memory of any size
// (swaps, copies on write, recompute) bit for bit as each alone. In emulation on the fake device,
// which reports every access that streams and events do not order.
#include "cuda_model.h"

#include <array>
#include <bit>
#include <cmath>

#include "device/arena_writer.h"
#include "kernels/cuda/matmul_library.h"
#include "kernels/half.h"
#include "ops_support.h"
#include "stories.h"
#include "test.h"

namespace infercept::test {
namespace {

using stories::Story;
using stories::Teller;
using stories::World;

constexpr uint32_t kBlockTokens = CudaModel::kBlockTokens;

// Sequences that grow step by step, each on blocks of its own.
class Sequences {
 public:
  Sequences(const Hyperparameters& h, uint64_t seed) : h_(h), random_(seed) {
    for (uint32_t i = 0; i < h.context_tokens; ++i) {
      text_.push_back(static_cast<TokenId>(random_.Below(h.vocabulary_size)));
    }
  }

  // All have the same text.
  void BeAlike() { apart_ = 0; }
  // From now on all have their first blocks where sequence 0 has them, instead of where they wrote
  // them: nothing changes if they are alike.
  void Share(uint32_t blocks) { shared_blocks_ = blocks; }

  // Appends `counts[i]` tokens to sequence i; the last of each has its logits wanted.
  ForwardInput Next(std::span<const uint32_t> counts) {
    tokens_.clear();
    positions_.clear();
    slices_.clear();
    logit_rows_.clear();
    lengths_.resize(counts.size());
    tables_.resize(counts.size());
    const uint32_t blocks = DivCeil(h_.context_tokens, kBlockTokens);
    for (uint32_t i = 0; i < counts.size(); ++i) {
      tables_[i] = BlockRange(i * blocks, blocks);
      std::copy_n(tables_[0].begin(), shared_blocks_, tables_[i].begin());
      const auto first_row = static_cast<uint32_t>(tokens_.size());
      slices_.push_back({first_row, counts[i], lengths_[i], tables_[i].data()});
      for (uint32_t k = 0; k < counts[i]; ++k) {
        tokens_.push_back(text_[(lengths_[i] + i * apart_) % text_.size()]);
        positions_.push_back(lengths_[i]++);
      }
      logit_rows_.push_back(static_cast<uint32_t>(tokens_.size()) - 1);
    }
    return {tokens_, positions_, slices_, logit_rows_};
  }

  uint32_t blocks(uint32_t sequences) const {
    return sequences * DivCeil(h_.context_tokens, kBlockTokens);
  }

 private:
  Hyperparameters h_;
  Rng random_;
  std::vector<TokenId> text_;  // [context_tokens]
  uint32_t apart_ = 17;        // where sequence i + 1 begins in the text, if sequence i begins at 0
  uint32_t shared_blocks_ = 0;
  std::vector<uint32_t> lengths_;
  std::vector<std::vector<BlockId>> tables_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> positions_;
  std::vector<AttentionSlice> slices_;
  std::vector<uint32_t> logit_rows_;
};

std::vector<float> Forward(Model& model, const KvStorage& storage, const ForwardInput& input,
                           ThreadPool& pool) {
  model.Forward(input, storage, pool);
  const auto rows = static_cast<uint32_t>(input.logit_rows.size());
  const auto logits = model.Logits(0, rows, pool).value();
  return {logits.begin(), logits.end()};
}

// Root mean square of the difference, in units of that of what is expected.
double Difference(std::span<const float> expected, std::span<const float> found) {
  double squares = 0;
  double differences = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += double{expected[i]} * expected[i];
    differences += std::pow(double{expected[i]} - found[i], 2);
  }
  return std::sqrt(differences / squares);
}

// On the device, through its pinned memory.
Arena Upload(CudaModel& cuda, std::span<const std::byte> bytes) {
  ArenaWriter writer =
      ArenaWriter::Create(*cuda.device, *cuda.stream, bytes.size(), bytes.size(), "a test").Take();
  EXPECT_TRUE(writer.Write(bytes).ok());
  return writer.Finish().Take();
}

// Nine inputs of products are rounded to BF16 one after the other, by 2^-9 / sqrt(3) in the mean:
// 0.4 %; normalized queries and keys, and capped scores, make more of it.
constexpr double kTolerance = 0.02;

// The same steps on both, with `counts[i]` new tokens for sequence i.
void ExpectSameLogits(const Hyperparameters& h, DType weights,
                      std::span<const std::array<uint32_t, 2>> steps, uint64_t seed = 5) {
  CudaModel cuda({.weights = weights, .hyperparameters = h});
  Sequences sequences(h, seed);
  TinyModel plain(ReferenceOps(), weights, DType::kF16, h, 2, kBlockTokens, sequences.blocks(2));
  const auto storage = cuda.MakeStorage(sequences.blocks(2));
  for (const auto& counts : steps) {
    const ForwardInput input = sequences.Next(counts);
    const auto expected = Forward(*plain.model, *plain.storage, input, plain.pool);
    const auto found = Forward(*cuda.model, *storage, input, cuda.pool);
    EXPECT_LE(Difference(expected, found), kTolerance) << DTypeName(weights);
  }
  EXPECT_EQ(FirstViolation(*cuda.device), "");
  EXPECT_GT(LaunchedGraphs(*cuda.device).value_or(1), 0u);
}

// Two stories whose prompts begin alike and are long enough for the library, in steps of up to 256
// tokens, under memory for one and a half of them: chunks differ from those of each story alone.
constexpr uint32_t kLongContext = 240;
std::vector<Story> LongStories(Rng& random) {
  const std::vector<TokenId> prefix = stories::RandomTokens(random, 150);
  std::vector<Story> all(2);
  for (Story& story : all) {
    story.prompt = prefix;
    for (const TokenId token : stories::RandomTokens(random, 10 + random.Below(40)))
      story.prompt.push_back(token);
    story.max_tokens = 4;
    story.pauses.push_back({2, stories::RandomTokens(random, 5), 2});
  }
  return all;
}
constexpr World kLongWorld = {.policy = PolicyKind::kDiscard,
                              .block_tokens = kBlockTokens,
                              .device_blocks = 20,
                              .host_blocks = 0,
                              .step_tokens_max = 256,
                              .saturation_tokens = 256,
                              .prefix_cache = false,
                              .context_max = kLongContext};

// Told together, and each alone.
struct Told {
  std::vector<stories::Transcript> together;
  std::vector<stories::Transcript> alone;
};
Told TellLongStories(CudaModel& cuda, uint64_t seed) {
  Rng random(seed);
  const std::vector<Story> told = LongStories(random);
  Teller teller(*cuda.model, DType::kF16, cuda.pool, kLongWorld, told);
  Told found;
  found.together = teller.Tell();
  World ample = kLongWorld;
  ample.device_blocks = 64;
  // Prompts in chunks that are too short for the library.
  ample.step_tokens_max = ample.saturation_tokens = cuda::kLibraryTokens / 2;
  for (const Story& story : told) {
    found.alone.push_back(
        Teller(*cuda.model, DType::kF16, cuda.pool, ample, std::span(&story, 1)).Tell().front());
  }
  EXPECT_EQ(FirstViolation(*cuda.device), "");
  return found;
}

float Logprob(const stories::Sampled& sampled, size_t place) {
  return std::bit_cast<float>(sampled.logprob_bits[place]);
}

CudaModelOptions WithLibrary() {
  CudaModelOptions options = {.weights = DType::kBF16, .rows = 256, .library = TestMatrixLibrary()};
  options.hyperparameters.context_tokens = kLongContext;
  return options;
}

}  // namespace

// Query, key and value may be of three types: Q4_K_M has such.
TEST(CudaOps, MultipliesMatricesOfSeveralTypesInOneCall) {
  constexpr uint32_t kColumns = 96;
  constexpr uint32_t kRows = 21;
  constexpr uint32_t kTokens = 3;
  const DType dtypes[] = {DType::kQ4_0, DType::kBF16, DType::kQ4_0};
  Random random(11);
  CudaModel cuda({});
  const std::vector<float> x = random.Activations(kTokens * kColumns);
  const Arena inputs = Upload(cuda, std::as_bytes(std::span(x)));
  const Arena out = cuda.device->Allocate(3 * kTokens * kRows * sizeof(float), "a test").Take();
  const size_t scratch_bytes = cuda.ops->MatMulScratchBytes(DType::kBF16, kTokens, kColumns);
  const Arena scratch = cuda.device->Allocate(scratch_bytes, "a test").Take();
  std::vector<Matrix> matrices;
  std::vector<Arena> packed;
  std::vector<MatMulProduct> products;
  for (const DType dtype : dtypes) {
    const Matrix& matrix = matrices.emplace_back(MakeMatrix(random, dtype, kRows, kColumns));
    std::vector<std::byte> bytes(cuda.ops->PackedBytes(dtype, kRows, kColumns));
    cuda.ops->Pack(matrix.view(), bytes, cuda.pool);
    packed.push_back(Upload(cuda, bytes));
    products.push_back({{dtype, packed.back().data(), kRows, kColumns},
                        reinterpret_cast<float*>(out.data()) + products.size() * kRows,
                        3 * kRows});
  }
  cuda.ops->MatMul(products, reinterpret_cast<const float*>(inputs.data()), kTokens,
                   {scratch.data(), scratch.size()}, cuda.pool);
  const Arena host = cuda.device->AllocatePinned(out.size(), "a test").Take();
  cuda.stream->Copy(host.data(), out.data(), out.size());
  ASSERT_TRUE(cuda.stream->Synchronize().ok());
  const auto* found = reinterpret_cast<const float*>(host.data());
  for (size_t t = 0; t < kTokens; ++t) {
    for (uint32_t i = 0; i < 3 * kRows; ++i) {
      const std::vector<float> row = matrices[i / kRows].Row(i % kRows);
      double sum = 0;
      double magnitude = 0;
      for (uint32_t c = 0; c < kColumns; ++c) {
        const double input = ToFloat(ToBF16(x[t * kColumns + c]));
        sum += row[c] * input;
        magnitude += std::fabs(row[c] * input);
      }
      EXPECT_NEAR(found[t * 3 * kRows + i], sum, 1e-5 * magnitude);
    }
  }
  EXPECT_EQ(FirstViolation(*cuda.device), "");
}

// Prefill, mixed steps, and decodes: the first as it is, the second captured, later ones replayed.
TEST(CudaModel, ComputesWhatTheReferenceComputes) {
  const std::array<uint32_t, 2> steps[] = {{37, 5}, {16, 1}, {1, 1}, {1, 1},
                                           {1, 1},  {3, 40}, {1, 1}};
  const DType weights[] = {DType::kBF16, DType::kQ8_0, DType::kF16, DType::kQ4_0};
  const std::vector<Hyperparameters> families = TinyFamilies(TinyCudaHyperparameters());
  for (size_t i = 0; i < families.size(); ++i) ExpectSameLogits(families[i], weights[i], steps);
}

// No reference has these weights: what comes out is as large as it should be, and the order of work
// is right.
TEST(CudaModel, RunsOnWeightsThatTheDeviceMadeUp) {
  CudaModelOptions options = {.weights = DType::kBF16};
  options.random_place = RandomPlace::kDevice;
  CudaModel made(options);
  CudaModel packed({.weights = DType::kBF16});
  const auto logits = [](CudaModel& model) {
    Sequences sequences(model.model->hyperparameters(), 5);
    const auto storage = model.MakeStorage(sequences.blocks(2));
    const std::array<uint32_t, 2> counts = {9, 5};
    const ForwardInput input = sequences.Next(counts);
    model.model->Forward(input, *storage, model.pool);
    const auto rows = model.model->Logits(0, 2, model.pool).Take();
    return std::vector<float>(rows.begin(), rows.end());
  };
  const auto norm = [](const std::vector<float>& values) {
    double sum = 0;
    for (const float value : values) sum += double{value} * double{value};
    return std::sqrt(sum);
  };
  const std::vector<float> ours = logits(made);
  const std::vector<float> theirs = logits(packed);
  EXPECT_TRUE(ours != theirs);
  EXPECT_NEAR(norm(ours) / norm(theirs), 1, 0.5);
  EXPECT_EQ(FirstViolation(*made.device), "");
}

// Where two scores are nearly equal, inputs in BF16 may choose another expert than the reference
// does: with these tokens that does not happen, nor where a token takes all experts.
TEST(CudaModel, ComputesWhatTheReferenceComputesWithExperts) {
  const std::array<uint32_t, 2> steps[] = {{20, 5}, {1, 1}, {1, 1}, {1, 1}, {3, 40}, {1, 1}};
  const DType weights[] = {DType::kBF16, DType::kQ4_0, DType::kMXFP4};
  const std::vector<Hyperparameters> families = TinyExpertFamilies(TinyCudaHyperparameters());
  for (size_t i = 0; i < families.size(); ++i) ExpectSameLogits(families[i], weights[i], steps, 6);
  Hyperparameters all_used = families[0];
  all_used.experts.used = all_used.experts.count;
  for (const uint64_t seed : {5u, 10u, 12u}) ExpectSameLogits(all_used, weights[0], steps, seed);
}

// Contexts of one and two splits, then both of two in the graph that was captured before; with
// groups of heads that the kernels for few and for many queries take.
TEST(CudaModel, LongContextsAreFoldedInGraphs) {
  std::vector<std::array<uint32_t, 2>> steps(10, {55, 1});
  steps.insert(steps.end(), 3, {1, 1});
  steps.insert(steps.end(), 10, {1, 55});
  steps.insert(steps.end(), 2, {1, 1});
  for (const uint32_t heads : {4u, 20u}) {
    Hyperparameters h = TinyCudaHyperparameters();
    h.layers = 1;
    h.context_tokens = 600;
    h.heads = heads;
    h.kv_heads = 1;
    ExpectSameLogits(h, DType::kBF16, steps);
  }
}

// By turns, in steps of one bucket: both forms are captured, and each is replayed for its own.
TEST(CudaModel, SharedBeginningsHaveGraphsOfTheirOwn) {
  Hyperparameters h = TinyCudaHyperparameters();
  h.layers = 1;
  h.context_tokens = 600;
  h.heads = 20;  // more than the kernel for few queries takes
  h.kv_heads = 1;
  CudaModel cuda({.hyperparameters = h});
  Sequences sequences(h, 5);
  sequences.BeAlike();
  TinyModel plain(ReferenceOps(), DType::kF32, DType::kF16, h, 2, kBlockTokens,
                  sequences.blocks(2));
  const auto storage = cuda.MakeStorage(sequences.blocks(2));
  const auto expect_same = [&](uint32_t tokens) {
    const uint32_t counts[] = {tokens, tokens};
    const ForwardInput input = sequences.Next(counts);
    const auto expected = Forward(*plain.model, *plain.storage, input, plain.pool);
    EXPECT_LE(Difference(expected, Forward(*cuda.model, *storage, input, cuda.pool)), kTolerance);
  };
  for (int i = 0; i < 17; ++i) expect_same(32);
  for (int i = 0; i < 8; ++i) {
    sequences.Share(i % 2 == 0 ? 0 : 512 / kBlockTokens);
    expect_same(1);
  }
  EXPECT_EQ(FirstViolation(*cuda.device), "");
  EXPECT_EQ(LaunchedGraphs(*cuda.device).value_or(6), 6u);
}

// Under memory of any size: swaps, copies on write, recompute; with experts and without.
TEST(CudaModel, TellsTheSameStoriesWhateverTheScheduler) {
  uint64_t swapped = 0;
  const std::vector<Hyperparameters> experts = TinyExpertFamilies(TinyCudaHyperparameters());
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Rng random(seed);
    const std::vector<Story> told = stories::RandomStories(random, 20);
    World world = stories::RandomWorld(random, stories::kContextMax);
    world.block_tokens = kBlockTokens;
    world.device_blocks = 6 + random.Below(4);
    world.host_blocks = 8;
    world.policy = seed % 2 == 0 ? PolicyKind::kSwap : PolicyKind::kAdaptive;
    CudaModel cuda({.seed = seed,
                    .weights = DType::kQ8_0,
                    .hyperparameters = seed < 2 ? TinyCudaHyperparameters() : experts[seed - 1]});
    Teller teller(*cuda.model, DType::kF16, cuda.pool, world, told);
    const auto transcripts = seed % 2 == 0 ? teller.Tell() : teller.TellAhead();
    const auto alone = stories::TellAlone(*cuda.model, DType::kF16, cuda.pool, told,
                                          stories::kContextMax, kBlockTokens);
    for (size_t story = 0; story < told.size(); ++story) {
      ASSERT_TRUE(transcripts[story] == alone[story]) << "seed " << seed << " story " << story;
    }
    ASSERT_TRUE(FirstViolation(*cuda.device).empty()) << FirstViolation(*cuda.device);
    swapped += teller.Stats().swapped_in_blocks;
  }
  EXPECT_GT(swapped, 5u);
}

// A library that adds up in another order than our kernels: the same stories within a tolerance,
// up to a token that was as likely as the one that was sampled instead.
TEST(CudaModel, TellsNearlyTheSameStoriesWithALibrary) {
  if (!TestMatrixLibrary()) return;
  size_t compared = 0;
  size_t other_bits = 0;
  for (uint64_t seed = 0; seed < 2; ++seed) {
    CudaModel cuda(WithLibrary());
    const Told told = TellLongStories(cuda, seed);
    for (size_t story = 0; story < told.alone.size(); ++story) {
      for (size_t i = 0; i < told.alone[story].size(); ++i) {
        const stories::Sampled& expected = told.alone[story][i];
        const stories::Sampled& found = told.together[story][i];
        ++compared;
        other_bits += found.logprob_bits != expected.logprob_bits;
        EXPECT_NEAR(Logprob(found, 0), Logprob(expected, 0), kTolerance);
        if (found.token == expected.token) continue;
        EXPECT_LE(Logprob(expected, 0) - Logprob(expected, 1), kTolerance);
        break;  // From here on they are other stories.
      }
    }
  }
  EXPECT_GT(compared, 10u);
  EXPECT_GT(other_bits, 0u);
}

// And bit for bit with the option that leaves the library alone.
TEST(CudaModel, TellsTheSameStoriesIfDeterministic) {
  CudaModelOptions options = WithLibrary();
  options.deterministic = true;
  CudaModel cuda(options);
  const Told told = TellLongStories(cuda, 0);
  EXPECT_TRUE(told.together == told.alone);
}

}  // namespace infercept::test
