// From plan to flat arrays: rows, positions and sampled rows stand where the kernels look for them.
#include "batch/batch.h"

#include "test.h"
#include "tiny_model.h"

namespace infercept {

using test::AddSlice;
using test::Blocks;

TEST(Batch, LaysSlicesOneBehindTheOther) {
  StepPlan plan;
  AddSlice(plan, SeqId{5}, 7, {11}, Blocks({3, 1}));
  AddSlice(plan, SeqId{6}, 0, {21, 22, 23}, Blocks({2}), /*sample=*/false);
  AddSlice(plan, SeqId{7}, 2, {31, 32}, Blocks({0}));
  Batch batch;
  batch.Assign(plan, 4);
  const ForwardInput input = batch.input();
  EXPECT_EQ(input.tokens.size(), 6u);
  EXPECT_EQ(input.positions[0], 7u);
  EXPECT_EQ(input.positions[3], 2u);
  EXPECT_EQ(input.positions[4], 2u);
  ASSERT_EQ(input.slices.size(), 3u);
  EXPECT_EQ(input.slices[2].first_row, 4u);
  EXPECT_EQ(input.slices[2].rows, 2u);
  EXPECT_EQ(input.slices[0].block_table[1], BlockId{1});
  ASSERT_EQ(input.logit_rows.size(), 2u);
  EXPECT_EQ(input.logit_rows[1], 5u);
  EXPECT_EQ(batch.sampled_slices()[1], 2u);
}

TEST(Batch, RefusesPlansWhoseBlocksDoNotCoverTheirTokens) {
  StepPlan plan;
  AddSlice(plan, SeqId{0}, 3, {1, 2}, Blocks({0}));
  Batch batch;
  EXPECT_THROW(batch.Assign(plan, 4), InternalError);
}

}  // namespace infercept
