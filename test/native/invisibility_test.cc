// Interceptions are invisible: hundreds of random worlds (policy, block size, pool size, chunk
// size, interception points, weights and KV formats) sample the same tokens from bit-identical
// logits as each story told alone in ample memory.
#include <cstdlib>

#include "stories.h"
#include "test.h"

namespace infercept {
namespace {

using namespace stories;  // NOLINT: the helpers are the vocabulary of this file

// Contexts of several of attention's splits, most of them shared.
constexpr uint32_t kLongContextMax = 700;
constexpr uint32_t kLongPrefix = 600;

struct Format {
  DType weights;
  DType kv;
};

// Q8_0 keys and values need heads of 32.
Hyperparameters ModelFor(DType kv, uint32_t context_max) {
  Hyperparameters model = test::TinyHyperparameters();
  model.context_tokens = std::max(model.context_tokens, context_max);
  if (!IsQuantized(kv)) return model;
  model.heads = 2;
  model.kv_heads = 1;
  model.head_dim = 32;
  model.rope.dimension = 32;
  return model;
}

// All that run here, or the one that INFERCEPT_ISA names.
std::vector<const Ops*> TestedOps() {
  if (std::getenv("INFERCEPT_ISA") == nullptr) return SupportedOps();
  return {FindOps("")};
}

// How hard the worlds were.
struct Hardship {
  uint64_t swapped = 0;
  uint64_t recomputed = 0;
  uint64_t shared = 0;
  uint64_t beyond_pool = 0;  // contexts that were longer than what the device holds
};

// The stories of one seed in three worlds. Told alone, everything is kept that no window shows.
void TellInWorlds(test::TinyModel& tiny, const Ops& ops, uint64_t seed, Rng& random,
                  const std::vector<Story>& stories, uint32_t context_max, Hardship& hardship) {
  const std::vector<Transcript> alone = TellAlone(tiny, stories, context_max);
  for (int i = 0; i < 3; ++i) {
    const World world = RandomWorld(random, context_max, tiny.model->layer_groups());
    Teller teller(*tiny.model, tiny.storage->shape().dtype, tiny.pool, world, stories);
    const std::vector<Transcript> together = teller.Tell();
    for (size_t story = 0; story < stories.size(); ++story) {
      const size_t tokens = stories[story].prompt.size() + together[story].size();
      const uint32_t pool = world.device_blocks * world.block_tokens / world.groups.count;
      hardship.beyond_pool += tokens > pool;
      ASSERT_TRUE(together[story] == alone[story])
          << "seed " << seed << " world " << i << " story " << story << " policy "
          << PolicyName(world.policy) << " isa " << ops.isa() << " keys and values "
          << DTypeName(tiny.storage->shape().dtype);
    }
    hardship.swapped += teller.Stats().swapped_in_blocks;
    hardship.recomputed += teller.Stats().recomputed_tokens;
    hardship.shared += teller.Stats().cached_tokens;
  }
}

}  // namespace

TEST(Invisibility, EveryWorldTellsTheSameStories) {
  Hardship hardship;
  for (const Format format : {Format{DType::kF32, DType::kF32}, Format{DType::kF16, DType::kF16},
                              Format{DType::kBF16, DType::kF16}, Format{DType::kQ8_0, DType::kBF16},
                              Format{DType::kF32, DType::kQ8_0}}) {
    for (const Ops* ops : TestedOps()) {
      test::TinyModel tiny(*ops, format.weights, format.kv, ModelFor(format.kv, kContextMax));
      for (uint64_t seed = 0; seed < 60; ++seed) {
        Rng random(seed * 7919 + static_cast<uint64_t>(format.weights));
        const std::vector<Story> stories = RandomStories(random, 20);
        TellInWorlds(tiny, *ops, seed, random, stories, kContextMax, hardship);
      }
    }
  }
  // The worlds were hard enough to mean something, on each instruction set.
  EXPECT_GT(hardship.swapped, 1000 * TestedOps().size());
  EXPECT_GT(hardship.recomputed, 1000 * TestedOps().size());
  EXPECT_GT(hardship.shared, 1000 * TestedOps().size());
}

// Contexts that attention cuts into splits, shared between sequences and threads in one world and
// computed alone in the other.
TEST(Invisibility, EveryWorldTellsTheSameLongStories) {
  Hardship hardship;
  for (const DType kv : {DType::kF16, DType::kQ8_0}) {
    for (const Ops* ops : TestedOps()) {
      test::TinyModel tiny(*ops, DType::kF32, kv, ModelFor(kv, kLongContextMax));
      for (uint64_t seed = 0; seed < 12; ++seed) {
        Rng random(seed * 104729 + static_cast<uint64_t>(kv));
        const std::vector<Story> stories = RandomStories(random, kLongPrefix);
        TellInWorlds(tiny, *ops, seed, random, stories, kLongContextMax, hardship);
      }
    }
  }
  EXPECT_GT(hardship.recomputed, 1000 * TestedOps().size());
  EXPECT_GT(hardship.shared, 10000 * TestedOps().size());
}

// Windows in all layers: what is behind them is given up, in pools that hold little more.
TEST(Invisibility, EveryWorldTellsTheSameStoriesBehindWindows) {
  Hardship hardship;
  for (const DType kv : {DType::kF16, DType::kQ8_0}) {
    for (const Ops* ops : TestedOps()) {
      Hyperparameters model = ModelFor(kv, kLongContextMax);
      model.windows = {40, 17};
      test::TinyModel tiny(*ops, DType::kF32, kv, model);
      for (uint64_t seed = 0; seed < 12; ++seed) {
        Rng random(seed * 15485863 + static_cast<uint64_t>(kv));
        const std::vector<Story> stories = RandomStories(random, kLongPrefix);
        TellInWorlds(tiny, *ops, seed, random, stories, kLongContextMax, hardship);
      }
    }
  }
  EXPECT_GT(hardship.swapped, 100 * TestedOps().size());
  EXPECT_GT(hardship.recomputed, 1000 * TestedOps().size());
  EXPECT_GT(hardship.shared, 500 * TestedOps().size());
  EXPECT_GT(hardship.beyond_pool, 100 * TestedOps().size());
}

// Windows in some layers: what these do not see any more is given up, and the others keep
// everything. Like Gemma, with two sliding groups beside a full one, and like gpt-oss.
TEST(Invisibility, EveryWorldTellsTheSameStoriesWhereSomeLayersHaveWindows) {
  Hyperparameters shape = ModelFor(DType::kF16, kLongContextMax);
  shape.layers = 3;
  std::vector<Hyperparameters> families = test::TinyFamilies(shape);
  families[2].windows = {30, 30, 0};
  families[3].layers = 2;
  families[3].windows = {24, 0};
  Hardship hardship;
  for (const size_t family : {2, 3}) {
    for (const Ops* ops : TestedOps()) {
      test::TinyModel tiny(*ops, DType::kF32, DType::kF16, families[family]);
      ASSERT_EQ(tiny.model->layer_groups().count, family == 2 ? 3u : 2u);
      for (uint64_t seed = 0; seed < 16; ++seed) {
        Rng random(seed * 15485863 + family);
        const std::vector<Story> stories = RandomStories(random, kLongPrefix);
        TellInWorlds(tiny, *ops, seed, random, stories, kLongContextMax, hardship);
      }
    }
  }
  EXPECT_GT(hardship.swapped, 1000 * TestedOps().size());
  EXPECT_GT(hardship.recomputed, 1000 * TestedOps().size());
  EXPECT_GT(hardship.shared, 500 * TestedOps().size());
  EXPECT_GT(hardship.beyond_pool, 3 * TestedOps().size());
}

}  // namespace infercept
