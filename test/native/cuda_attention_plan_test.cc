// Goal: the lists of a step's attention cover every row's splits once, have what slices share in
// one task, fit where they say they do, and have lengths that a graph can rely on. Method: random
// slices over few blocks; what must hold is counted.
#include <array>
#include <map>

#include "kernels/cuda/attention_plan.h"
#include "ops_support.h"
#include "test.h"

namespace infercept::test {
namespace {

// Slices with tables of their own.
struct Step {
  std::vector<AttentionSlice> slices;
  std::vector<std::vector<BlockId>> tables;
  uint32_t rows = 0;

  // Blocks from row `fork` on are the slice's alone. Those of all groups but the first are gone
  // behind a window of 100.
  void Add(uint32_t slice_rows, uint32_t position, uint32_t fork, uint32_t block_tokens,
           uint32_t groups = 1) {
    const auto number = static_cast<uint32_t>(slices.size());
    const uint32_t blocks = DivCeil(position + slice_rows, block_tokens) * groups;
    std::vector<BlockId>& table = tables.emplace_back(blocks);
    const uint32_t first_seen = position < 100 ? 0 : (position - 99) / block_tokens;
    for (uint32_t i = 0; i < table.size(); ++i) {
      table[i] = BlockId{i < fork * groups ? i : (number + 1) * 10000 + i};
      if (i % groups > 0 && i / groups < first_seen) table[i] = kNoBlock;
    }
    slices.push_back({rows, slice_rows, position, table.data()});
    rows += slice_rows;
  }
};

// Each fork is where some others are, too.
Step RandomStep(Random& random, uint32_t block_tokens, uint32_t count, uint32_t context,
                uint32_t groups = 1) {
  Step step;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t rows = random.Below(4) == 0 ? random.Below(40) : 1;
    const uint32_t fork = random.Below(4) * (700 / block_tokens);
    step.Add(rows, random.Below(context), fork, block_tokens, groups);
  }
  return step;
}

// How often the tasks have a row's split, and what holds for those that several slices share.
struct Coverage {
  std::map<std::array<uint32_t, 3>, uint32_t> times;  // slice, row, split
  uint32_t shared_tasks = 0;

  Coverage(const Step& step, const cuda::AttentionPlan& plan,
           const cuda::AttentionPlanShape& shape) {
    for (const cuda::AttentionTask& task : plan.few) Count(step, plan, task, shape, 16);
    for (const cuda::AttentionTask& task : plan.many) {
      Count(step, plan, task, shape, cuda::ManyQueries(shape.head_dim));
    }
  }

 private:
  void Count(const Step& step, const cuda::AttentionPlan& plan, const cuda::AttentionTask& task,
             const cuda::AttentionPlanShape& shape, uint32_t queries_max) {
    if (task.split_begin == task.split_end) return;
    const uint32_t first = task.first_query / shape.group_heads;
    if (task.shared_tokens == 0) {
      const AttentionSlice& slice = step.slices[task.slice];
      const uint32_t end = std::min(slice.rows * shape.group_heads, task.first_query + queries_max);
      for (uint32_t query = task.first_query; query < end; ++query) {
        if (query % shape.group_heads == 0) Cover(task, task.slice, query / shape.group_heads);
      }
      return;
    }
    ++shared_tasks;
    EXPECT_EQ(task.first_query % shape.group_heads, 0u);
    EXPECT_LE(task.shared_tokens * shape.group_heads, queries_max);
    for (uint32_t i = first; i < first + task.shared_tokens; ++i) {
      const cuda::AttentionMerge& merge = plan.merges[i];
      Cover(task, merge.slice, merge.row);
      const AttentionSlice& own = step.slices[merge.slice];
      EXPECT_GE(own.first_position, task.split_end * cuda::kSplitTokens);
      EXPECT_GE(own.first_position, step.slices[task.slice].first_position);
      const uint32_t end =
          DivCeil(task.split_end * cuda::kSplitTokens, shape.block_tokens) * shape.groups;
      EXPECT_TRUE(
          std::equal(own.block_table, own.block_table + end, step.slices[task.slice].block_table));
    }
  }
  void Cover(const cuda::AttentionTask& task, uint32_t slice, uint32_t row) {
    for (uint32_t split = task.split_begin; split < task.split_end; ++split) {
      ++times[{slice, row, split}];
    }
  }
};

TEST(CudaAttentionPlan, CoversEverySplitOnceAndSharesOnlyEqualBlocks) {
  Random random(71);
  uint32_t shared_tasks = 0;
  uint32_t many = 0;
  for (int round = 0; round < 1000; ++round) {
    const cuda::AttentionPlanShape shape = {.kv_heads = 1 + random.Below(8),
                                            .group_heads = 1 + random.Below(20),
                                            .head_dim = 64u << random.Below(3),
                                            .state_rows_max = random.Below(6) * 2000,
                                            .block_tokens = 16 + 16 * random.Below(4),
                                            .groups = round % 3 == 0 ? 3u : 1u};
    const Step step =
        RandomStep(random, shape.block_tokens, 1 + random.Below(16), 3000, shape.groups);
    cuda::AttentionPlan plan;
    plan.Make(step.slices, shape);
    Coverage coverage(step, plan, shape);
    shared_tasks += coverage.shared_tasks;
    many += plan.shares_many;
    ASSERT_LE(plan.state_rows, shape.state_rows_max);
    for (uint32_t i = 0; i < step.slices.size(); ++i) {
      const AttentionSlice& slice = step.slices[i];
      for (uint32_t row = 0; row < slice.rows; ++row) {
        const uint32_t splits = DivCeil(slice.first_position + row + 1, cuda::kSplitTokens);
        for (uint32_t split = 0; split < splits; ++split) {
          const uint32_t times = coverage.times[{i, row, split}];
          ASSERT_EQ(times, 1u) << "round " << round << " slice " << i << " row " << row << " split "
                               << split;
        }
      }
    }
  }
  EXPECT_GT(shared_tasks, 1000u);
  EXPECT_GT(many, 100u);
}

// 40 sequences with 2,100 tokens in common, 20 of them with 1,100 more.
TEST(CudaAttentionPlan, ReadsASharedBeginningOnce) {
  Step step;
  for (uint32_t i = 0; i < 40; ++i) step.Add(1, 3500, i % 2 == 0 ? 132 : 200, 16);
  cuda::AttentionPlan plan;
  plan.Make(step.slices, {.kv_heads = 8,
                          .group_heads = 2,
                          .head_dim = 128,
                          .state_rows_max = 10000,
                          .block_tokens = 16});
  std::map<uint32_t, std::vector<uint32_t>> tokens;  // of the shared tasks of each split
  for (const cuda::AttentionTask& task : plan.many) {
    for (uint32_t split = task.split_begin; split < task.split_end; ++split) {
      tokens[split].push_back(task.shared_tokens);
    }
  }
  for (uint32_t split = 0; split < 4; ++split) {
    EXPECT_TRUE(tokens[split] == std::vector<uint32_t>{40});
  }
  for (uint32_t split = 4; split < 6; ++split) {
    EXPECT_TRUE(tokens[split] == std::vector<uint32_t>{20});
  }
  EXPECT_EQ(tokens.size(), 6u);
  EXPECT_EQ(plan.few.size(), 20 * 3 + 20 * 1u);
  EXPECT_EQ(plan.merges.size(), 40u);
  EXPECT_TRUE(plan.shares_many);
  // Four are no more than a warp has.
  plan.Make(std::span(step.slices).first(8), {.kv_heads = 8,
                                              .group_heads = 2,
                                              .head_dim = 128,
                                              .state_rows_max = 10000,
                                              .block_tokens = 16});
  EXPECT_FALSE(plan.shares_many);
  EXPECT_EQ(plan.few.size(), 6 + 4 * 3 + 4 * 1u);
}

// What is behind a window is in no table: it looks alike, and nobody reads it.
TEST(CudaAttentionPlan, BeginningsThatAreGoneAreNotShared) {
  Step step;
  for (uint32_t i = 0; i < 2; ++i) {
    step.Add(1, 1500, 0, 16);
    std::fill_n(step.tables.back().begin(), 80, kNoBlock);
  }
  cuda::AttentionPlan plan;
  plan.Make(step.slices, {.head_dim = 128, .state_rows_max = 1000});
  EXPECT_EQ(plan.few.size(), 6u);
}

size_t ListBytes(const cuda::AttentionPlan& plan) {
  return (plan.few.size() + plan.many.size()) * sizeof(cuda::AttentionTask) +
         plan.merges.size() * sizeof(cuda::AttentionMerge) + plan.runs.size() * sizeof(cuda::KvRun);
}

TEST(CudaAttentionPlan, CutsByPositionsWhereStatesFit) {
  // One token at 1,100; 100 tokens behind 2,000; nothing; the first 3 tokens.
  const AttentionSlice slices[] = {
      {0, 1, 1099, nullptr}, {1, 100, 2000, nullptr}, {101, 0, 5, nullptr}, {101, 3, 0, nullptr}};
  cuda::AttentionPlan plan;
  plan.Make(slices, {.kv_heads = 8, .group_heads = 4, .head_dim = 128, .state_rows_max = 10000});
  EXPECT_EQ(plan.few.size(), 4u);  // 3 splits, and the short slice
  EXPECT_EQ(plan.few[2].split_begin, 2u);
  EXPECT_EQ(plan.few[3].first_state, cuda::kNoState);
  EXPECT_EQ(plan.many.size(), 19u);  // 3 times 128 queries by 5 splits, the first by 4
  EXPECT_EQ(plan.many[0].first_query, 384u);
  EXPECT_EQ(plan.state_rows, 3 * 4 + 5 * 400u);
  EXPECT_EQ(plan.merges.size(), 101u);
  EXPECT_EQ(plan.runs.size(), 1 + 7 + 1u);
  // No room for the 2,000 states; then for none.
  plan.Make(slices, {.kv_heads = 8, .group_heads = 4, .head_dim = 128, .state_rows_max = 100});
  EXPECT_EQ(plan.many.size(), 4u);
  EXPECT_EQ(plan.many[0].split_end, 5u);
  EXPECT_EQ(plan.state_rows, 12u);
  plan.Make(slices, {.kv_heads = 8, .group_heads = 4, .head_dim = 128, .state_rows_max = 0});
  EXPECT_EQ(plan.few.size(), 1u);
  EXPECT_EQ(plan.many.size(), 5u);
  EXPECT_EQ(plan.state_rows, 0u);
  // Blocks enough without cutting.
  plan.Make(slices, {.kv_heads = 64, .group_heads = 4, .head_dim = 128, .state_rows_max = 10000});
  EXPECT_EQ(plan.many.size(), 4u);
}

// Graphs are launched again with other contexts: the numbers of blocks may not depend on them.
TEST(CudaAttentionPlan, PaddedDecodesOfOneBucketAreAlike) {
  Random random(64);
  for (int round = 0; round < 300; ++round) {
    const cuda::AttentionPlanShape shape = {.kv_heads = 1 + random.Below(8),
                                            .group_heads = 1 + random.Below(40),
                                            .head_dim = 64u << random.Below(3),
                                            .state_rows_max = random.Below(5) * 1000};
    const uint32_t count = 1 + random.Below(40);
    const uint32_t context = 200u << random.Below(6);
    std::array<std::vector<std::array<size_t, 4>>, 2> lengths;  // of both forms
    for (int content = 0; content < 12; ++content) {
      Step step;
      for (uint32_t i = 0; i < count; ++i) {
        step.Add(1, random.Below(context), content / 4 * random.Below(80), 16);
      }
      cuda::AttentionPlan plan;
      plan.Make(step.slices, shape);
      const size_t few = plan.few.size();
      plan.Pad(count, context, shape);
      std::vector<std::array<size_t, 4>>& form = lengths[plan.shares_many];
      form.push_back({plan.few.size(), plan.many.size(), plan.merges.size(), plan.runs.size()});
      ASSERT_TRUE(form.back() == form.front()) << "round " << round;
      for (size_t i = few; i < plan.few.size(); ++i) {
        ASSERT_EQ(plan.few[i].split_begin, plan.few[i].split_end);
      }
      ASSERT_LE(ListBytes(plan), cuda::AttentionPlanBytes(count, shape));
    }
  }
}

TEST(CudaAttentionPlan, AnyStepFitsWhereItSaysSo) {
  Random random(65);
  for (int round = 0; round < 300; ++round) {
    const cuda::AttentionPlanShape shape = {.kv_heads = 1 + random.Below(8),
                                            .group_heads = 1 + random.Below(40),
                                            .head_dim = 64u << random.Below(3),
                                            .state_rows_max = random.Below(5) * 10000};
    Step step;
    while (random.Below(10) > 0) {
      step.Add(random.Below(2) == 0 ? 1 : random.Below(300), random.Below(20000),
               random.Below(3) * 100, 16);
    }
    cuda::AttentionPlan plan;
    plan.Make(step.slices, shape);
    ASSERT_LE(ListBytes(plan), cuda::AttentionPlanBytes(step.rows, shape)) << "round " << round;
  }
}

}  // namespace
}  // namespace infercept::test
