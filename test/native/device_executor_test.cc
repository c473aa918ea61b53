// The executor and the model on a device that delays and reorders what it may: whatever the
// scheduler plans (swaps in both directions, copies on write, blocks used again), nothing touches
// memory out of order, and the stories told are bit for bit those that the CPU tells, with every
// step begun before the one before it has finished or not.
#include "device_model.h"
#include "stories.h"
#include "test.h"

namespace infercept {
namespace {

using stories::Story;
using stories::Teller;
using stories::World;
using test::AddSlice;
using test::Blocks;
using test::DeviceModel;

const std::vector<TokenId> kPrompt = {5, 17, 3, 42, 8, 23, 60, 2, 11, 7};  // two blocks and a half
constexpr SeqId kSeq{1};

// One sequence on a device, with plans written by hand.
struct Fixture {
  explicit Fixture(uint64_t seed)
      : tiny({.seed = seed}),
        storage(
            KvStorage::Create(tiny.model().kv_shape(4, DType::kF16), 16, 8, tiny.device).Take()),
        generations(TokenTable{}, 80, tiny.model().context_tokens_max()),
        executor(ModelExecutor::Create(tiny.model(), *storage, generations, tiny.pool).Take()) {
    EXPECT_TRUE(generations.BeginTurn(kSeq, Turn{}, kPrompt).ok());
  }

  DeviceModel tiny;
  std::unique_ptr<KvStorage> storage;
  GenerationTable generations;
  std::unique_ptr<ModelExecutor> executor;
  StepResult result;
};

}  // namespace

// Kernels find the matrices of an expert by its number alone: they must be equally long.
TEST(DeviceModel, RefusesExpertsOfSeveralTypes) {
  DeviceModel tiny({});
  const auto load = [&](DType second) {
    const ModelSpec spec = {.architecture = "test",
                            .hyperparameters = test::TinyExpertFamilies()[0],
                            .files = {},
                            .tensors = {{"layers.0.experts.0.up", DType::kQ8_0, 96, 64, 0, 0, 0},
                                        {"layers.0.experts.0.down", DType::kQ4_0, 64, 96, 0, 0, 0},
                                        {"layers.0.experts.0.up.bias", DType::kF32, 1, 96, 0, 0, 0},
                                        {"layers.0.experts.1.up", second, 96, 64, 0, 0, 0}}};
    return Model::Load(spec,
                       {.ops = &tiny.ops,
                        .device = &tiny.device,
                        .stream = tiny.stream.get(),
                        .step_tokens_max = DeviceModel::kRowsMax,
                        .progress = {}},
                       tiny.pool)
        .status();
  };
  const Status refused = load(DType::kQ4_0);
  EXPECT_EQ(refused.code(), StatusCode::kModelUnsupported);
  EXPECT_NE(refused.message().find("layers.0.experts.1.up is q4_0"), std::string::npos);
  EXPECT_EQ(load(DType::kQ8_0).code(), StatusCode::kModelFormat);  // tensors are missing
}

TEST(DeviceExecutor, TellsTheStoriesThatTheCpuTells) {
  std::vector<Hyperparameters> families = test::TinyFamilies();
  for (const Hyperparameters& family : test::TinyExpertFamilies()) families.push_back(family);
  std::vector<std::unique_ptr<test::TinyModel>> cpus;
  for (const Hyperparameters& family : families) {
    cpus.push_back(
        std::make_unique<test::TinyModel>(*FindOps(""), DType::kQ8_0, DType::kF16, family));
  }
  uint64_t swapped = 0;
  uint64_t operations = 0;
  uint64_t graphs = 0;
  uint64_t voids = 0;
  for (uint64_t seed = 0; seed < 80; ++seed) {
    Rng random(seed);
    const std::vector<Story> told = stories::RandomStories(random, 20);
    const World world = stories::RandomWorld(random, stories::kContextMax);
    const size_t family = seed % families.size();
    DeviceModel tiny({.seed = seed,
                      .weights = DType::kQ8_0,
                      .block_tokens = world.block_tokens,
                      .hyperparameters = families[family]});
    Teller teller(tiny.model(), DType::kF16, tiny.pool, world, told);
    const auto transcripts = seed / families.size() % 2 == 0 ? teller.Tell() : teller.TellAhead();
    ASSERT_TRUE(tiny.device.violations().empty())
        << "seed " << seed << ": " << tiny.device.violations()[0];
    const auto alone = stories::TellAlone(*cpus[family], told, stories::kContextMax);
    for (size_t story = 0; story < told.size(); ++story) {
      ASSERT_TRUE(transcripts[story] == alone[story])
          << "seed " << seed << " story " << story << " family " << family;
    }
    swapped += teller.Stats().swapped_in_blocks;
    operations += tiny.device.submitted();
    graphs += tiny.device.launched_graphs();
    voids += teller.voids();
  }
  EXPECT_GT(swapped, 100u);
  EXPECT_GT(graphs, 100u);
  EXPECT_GT(voids, 100u);
  EXPECT_GT(operations, 50'000u);
}

// The book sees through the executor: plans that break the rules of StepPlan are found.
TEST(DeviceExecutor, PlansThatBreakTheRulesAreFound) {
  const auto plan_that_reads = [](BlockId block) {
    StepPlan plan;
    AddSlice(plan, kSeq, 0, kPrompt, {block, BlockId{2}, BlockId{3}});
    return plan;
  };
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Fixture read_too_early(seed);
    StepPlan plan = plan_that_reads(BlockId{1});
    plan.swap_in = {{BlockId{0}, BlockId{1}}};
    static_cast<void>(read_too_early.executor->Execute(plan, read_too_early.result));
    EXPECT_FALSE(read_too_early.tiny.device.violations().empty()) << "seed " << seed;

    Fixture reused_too_early(seed);
    plan = plan_that_reads(BlockId{1});
    plan.swap_out = {{BlockId{1}, BlockId{0}}};
    static_cast<void>(reused_too_early.executor->Execute(plan, reused_too_early.result));
    EXPECT_FALSE(reused_too_early.tiny.device.violations().empty()) << "seed " << seed;

    Fixture waits(seed);  // the same is right when the step waits for its copies
    plan.swaps_block_compute = true;
    EXPECT_TRUE(waits.executor->Execute(plan, waits.result).ok());
    EXPECT_TRUE(waits.tiny.device.violations().empty()) << "seed " << seed;
  }
}

TEST(DeviceExecutor, ADeviceThatFailsIsATypedError) {
  uint64_t failed = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Fixture fixture(seed);
    StepPlan plan;
    plan.copies = {{BlockId{5}, BlockId{6}}};
    plan.swap_out = {{BlockId{7}, BlockId{0}}};
    plan.swap_in = {{BlockId{1}, BlockId{8}}};
    AddSlice(plan, kSeq, 0, kPrompt, Blocks({1, 2, 3}));
    fixture.tiny.device.FailOperation(seed);
    const Status status = fixture.executor->Execute(plan, fixture.result);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kDevice) << status.DebugString();
    failed += !status.ok();
  }
  EXPECT_GT(failed, 30u);
}

// Of two steps under way, whose second one awaits the first one's token: what fails in either is
// said at the latest where the host waits for it, and nothing waits for ever.
TEST(DeviceExecutor, AFailureAheadIsSaidWhereTheStepFinishes) {
  uint64_t failed = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Fixture fixture(seed);
    StepPlan first;
    AddSlice(first, kSeq, 0, kPrompt, Blocks({1, 2, 3}));
    StepPlan second;
    second.swap_out = {{BlockId{7}, BlockId{0}}};
    AddSlice(second, kSeq, 10, {kAwaitedToken}, Blocks({1, 2, 3}));
    second.awaited = {{.row = 0, .sample = 0}};
    fixture.tiny.device.FailOperation(2 * seed);
    Status status = fixture.executor->Begin(first);
    if (status.ok()) status = fixture.executor->Begin(second);
    for (uint32_t i = 0; i < 2 && status.ok(); ++i) {
      status = fixture.executor->Finish(fixture.result);
      EXPECT_TRUE(!status.ok() || fixture.result.sampled.size() == 1);
    }
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kDevice) << status.DebugString();
    EXPECT_TRUE(fixture.tiny.device.violations().empty());
    failed += !status.ok();
  }
  EXPECT_GT(failed, 30u);
}

TEST(DeviceModel, LoadsInPiecesAndSaysHowFarItIs) {
  uint64_t last = 0;
  uint64_t total = 0;
  DeviceModel tiny({.progress = [&](uint64_t loaded, uint64_t all) {
    EXPECT_TRUE(loaded >= last);
    last = loaded;
    total = all;
    return true;
  }});
  EXPECT_TRUE(tiny.loaded.ok());
  EXPECT_GT(total, 0u);
  EXPECT_EQ(last, total);
  EXPECT_TRUE(tiny.device.violations().empty());
  DeviceModel cancelled({.progress = [](uint64_t, uint64_t) { return false; }});
  EXPECT_EQ(cancelled.loaded.status().code(), StatusCode::kAborted);
}

TEST(DeviceModel, ADeviceThatIsTooSmallIsATypedError) {
  // Room for the arrays of a step, and not for the weights.
  const DeviceModel tiny({.memory_bytes = 100'000});
  EXPECT_EQ(tiny.loaded.status().code(), StatusCode::kOutOfMemory);
}

TEST(DeviceModel, SaysHowLargeAKvCacheWouldFit) {
  DeviceModel tiny({.memory_bytes = 2'000'000});
  ASSERT_TRUE(tiny.loaded.ok());
  const KvShape shape = tiny.model().kv_shape(4, DType::kF16);
  const size_t left = tiny.device.Memory().value().free - shape.block_bytes();  // for padding
  const auto too_large = static_cast<uint32_t>(left / shape.block_bytes() + 1);
  const Status status = KvStorage::Create(shape, too_large, 0, tiny.device).status();
  EXPECT_EQ(status.code(), StatusCode::kOutOfMemory);
  EXPECT_NE(status.message().find("has " + std::to_string(left) + " of 2000000"),
            std::string::npos);
  EXPECT_TRUE(KvStorage::Create(shape, too_large - 1, 0, tiny.device).ok());
}

}  // namespace infercept
