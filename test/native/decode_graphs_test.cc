// Buckets waste little, and a step is captured the second time it happens.
#include "model/decode_graphs.h"

#include <set>

#include "device_model.h"
#include "test.h"

namespace infercept {
namespace {

using test::DeviceModel;

// `rows` sequences, each of whose next token has position `context` - 1, on blocks of their own.
struct Decode {
  Decode(uint32_t rows, uint32_t context, uint32_t blocks)
      : tokens(rows, 7), positions(rows, context - 1) {
    for (uint32_t i = 0; i < rows; ++i) tables.push_back(test::BlockRange(i * blocks, blocks));
    for (uint32_t i = 0; i < rows; ++i) {
      slices.push_back({i, 1, context - 1, tables[i].data()});
      logit_rows.push_back(i);
    }
  }
  ForwardInput input() const { return {tokens, positions, slices, logit_rows}; }

  std::vector<TokenId> tokens;
  std::vector<uint32_t> positions;
  std::vector<std::vector<BlockId>> tables;
  std::vector<AttentionSlice> slices;
  std::vector<uint32_t> logit_rows;
};

std::vector<float> Forward(Model& model, const KvStorage& storage, const Decode& decode,
                           ThreadPool& pool) {
  model.Forward(decode.input(), storage, pool);
  const auto logits = model.Logits(0, static_cast<uint32_t>(decode.tokens.size()), pool).value();
  return {logits.begin(), logits.end()};
}

}  // namespace

TEST(DecodeGraphs, BucketsHoldTheirRowsAndWasteLittle) {
  std::set<uint32_t> buckets;
  for (uint32_t rows = 1; rows <= 1024; ++rows) {
    const uint32_t bucket = RowBucket(rows);
    ASSERT_TRUE(bucket >= rows && bucket >= RowBucket(std::max(rows, 2u) - 1)) << rows;
    ASSERT_TRUE(bucket <= 8 || bucket - rows <= rows / 8) << rows << " in " << bucket;
    ASSERT_EQ(RowBucket(bucket), bucket);
    buckets.insert(bucket);
  }
  EXPECT_LE(buckets.size(), 64u);
  EXPECT_EQ(ContextBucket(1), 256u);
  EXPECT_EQ(ContextBucket(256), 256u);
  EXPECT_EQ(ContextBucket(257), 512u);
}

TEST(DecodeGraphs, TakesDecodesAlone) {
  const DecodeGraphs graphs(20);
  Decode decode(3, 5, 2);
  EXPECT_TRUE(graphs.Takes(decode.input()));
  EXPECT_TRUE(graphs.Takes(Decode(20, 5, 2).input()));
  EXPECT_FALSE(graphs.Takes(Decode(21, 5, 2).input()));
  EXPECT_FALSE(DecodeGraphs(19).Takes(Decode(19, 5, 2).input()));  // their bucket has 20
  decode.logit_rows.pop_back();
  EXPECT_FALSE(graphs.Takes(decode.input()));
  decode = Decode(3, 5, 2);
  decode.slices.pop_back();
  decode.slices.back().rows = 2;
  EXPECT_FALSE(graphs.Takes(decode.input()));
}

TEST(DecodeGraphs, AStepIsCapturedTheSecondTimeAndComputesTheSame) {
  test::TinyModel cpu(*FindOps(""), DType::kF32, DType::kF16);
  for (uint64_t seed = 0; seed < 10; ++seed) {
    DeviceModel tiny({.seed = seed});
    const auto storage =
        KvStorage::Create(tiny.model().kv_shape(4, DType::kF16), 64, 0, tiny.device).Take();
    const auto step = [&](const Decode& decode) {
      return Forward(tiny.model(), *storage, decode, tiny.pool) ==
             Forward(*cpu.model, *cpu.storage, decode, cpu.pool);
    };
    // Position by position: every step reads what the ones before have written.
    for (uint32_t context = 1; context <= 9; ++context) {
      ASSERT_TRUE(step(Decode(5, context, 3))) << "seed " << seed << " context " << context;
      EXPECT_EQ(tiny.device.launched_graphs(), context - 1);
    }
    ASSERT_TRUE(step(Decode(7, 1, 3)));  // another number of rows of the same bucket
    EXPECT_EQ(tiny.device.launched_graphs(), 9u);
    ASSERT_TRUE(step(Decode(4, 1, 3)));  // another bucket
    EXPECT_EQ(tiny.device.launched_graphs(), 9u);
    ASSERT_TRUE(tiny.device.violations().empty()) << tiny.device.violations()[0];
  }
}

}  // namespace infercept
